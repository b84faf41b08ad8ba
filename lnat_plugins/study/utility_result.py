"""`utility` of one student from the units that are done, with its calibration and its costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lnat_plugins.formatting import plural
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.units import Unit
from lnat_plugins.study.utility import BEFORE, Calibration, changes

_KINDS: Final = ("before", "calibration", "utility")


@dataclass(frozen=True)
class UtilityResult:
    """What came out, and what it took.

    Attributes:
        calibration: of the update.
        changes: teacher -> held-out prompt -> change by the update; of those that are done.
        updates, seconds: of all units; the seconds are those of scoring too.
        of_calibration: the updates that were for the calibration alone.
        left_out: reason -> held-out responses that were not scored; None where an older version did
            not count them.
    """

    calibration: Calibration
    changes: Mapping[str, Mapping[str, float]]
    updates: int
    seconds: float
    of_calibration: int
    left_out: Mapping[str, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null; the changes are among the metrics' figures.

        Without the seconds: a study that was killed and run again has the same result.
        """
        names = ("updates", "of_calibration")
        costs = {name: getattr(self, name) for name in names}
        left_out = None if self.left_out is None else dict(self.left_out)
        return self.calibration.as_dict() | {"costs": costs, "left_out": left_out}

    def to_markdown(self) -> str:
        """The calibration's table, the costs, and what was left out."""
        costs = (
            f"utility took {plural(self.updates, 'update')} ({self.of_calibration} of them for "
            f"the calibration alone) and {self.seconds:.0f} seconds with its scoring"
        )
        blocks = [self.calibration.to_markdown(), costs]
        if self.left_out:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            total = plural(sum(self.left_out.values()), "held-out response")
            blocks.append(f"utility leaves out {total}: {counts}")
        return "\n\n".join(blocks)


def read_utility(run: StudyRun, student: str) -> UtilityResult | None:
    """Of one student; None while its update is not calibrated, or if the study has no `utility`."""
    if run.spec.utility is None or (calibration := run.calibration(student)) is None:
        return None
    units = [unit for unit in run.units if unit.student == student and unit.kind in _KINDS]
    done = {unit: found for unit in units if (found := run.done(unit)) is not None}
    start = done[Unit("before", student)]
    before = start["log_probs"][BEFORE]
    rate = f"{calibration.chosen.learning_rate:g}"
    trained = {unit.arm: one for unit, one in done.items() if unit.kind != "before"}
    updates = sum(one["updates"] for one in trained.values())
    return UtilityResult(
        calibration,
        {arm: changes(one["log_probs"][rate], before) for arm, one in trained.items()},
        updates,
        round(sum(one["seconds"] for one in done.values()), 3),
        updates - len(trained) * calibration.updates,
        start.get("left_out"),
    )
