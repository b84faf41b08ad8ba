"""Which teachers carry the agreement: every metric's tau with teachers left out of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.formatting import plain
from lnat_plugins.ranking.orders import ranks, tau_b
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.scores import MetricScores


@dataclass(frozen=True)
class LeftOut:
    """The pool without some teachers.

    Attributes:
        name: the teacher, or the group's name.
        teachers: who is left out.
        tau: metric -> Kendall's tau-b of the others.
        change: metric -> that minus tau of the whole pool. Below 0: they carry the agreement.
            Above 0: they spoil it.
    """

    name: str
    teachers: tuple[str, ...]
    tau: Mapping[str, float]
    change: Mapping[str, float]


@dataclass(frozen=True)
class Ablation:
    """Of one student and family of tasks.

    Attributes:
        tau: metric -> Kendall's tau-b of the whole pool.
        without: a teacher each in order, then a group each.
    """

    tau: Mapping[str, float]
    without: tuple[LeftOut, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}

    def largest(self, metric: str) -> LeftOut | None:
        """What changes the metric's tau most; None if nothing changes it."""
        changing = [one for one in self.without if abs(one.change[metric]) > 0]
        return max(changing, key=lambda one: abs(one.change[metric]), default=None)


def ablation(
    outcomes: Outcomes, scores: MetricScores, groups: Mapping[str, Sequence[str]] | None = None
) -> Ablation:
    """Leave out each teacher, and each group of teachers.

    Scores stay those on the prompts matched for the whole pool, so that a change comes from the
    order of the teachers alone. Metrics without such a prompt are left out; tau is NaN where fewer
    than two teachers are left or all tie.

    Raises:
        DataError: a group names a teacher that was not trained on, or a teacher has no scores.
    """
    teachers = outcomes.teachers
    scores = scores.of(teachers)
    accuracy_1T = outcomes.means[outcomes.columns(teachers)][None]
    score_1T = {
        name: scores.means(index, used_P)
        for index, (name, used_P) in enumerate(zip(scores.metrics, scores.matched, strict=True))
        if used_P.any()
    }
    left_out: dict[str, tuple[str, ...]] = {name: (name,) for name in teachers}
    for group, members in (groups or {}).items():
        for name in members:
            if name not in teachers:
                raise DataError(
                    "a group names an unknown teacher", where=f"group {group!r}", found=name,
                    remedy=did_you_mean(name, teachers),
                )  # fmt: skip
        left_out[f"group {group}" if group in teachers else group] = tuple(members)

    def tau(without: Sequence[str]) -> dict[str, float]:
        kept = np.array([name not in without for name in teachers])
        known_1T = ranks(accuracy_1T[:, kept]).better
        return {
            name: float(tau_b(ranks(one_1T[:, kept]).better, known_1T)[0])
            for name, one_1T in score_1T.items()
        }

    whole = tau(())
    return Ablation(whole, tuple(
        LeftOut(name, members, found, {each: found[each] - whole[each] for each in found})
        for name, members in left_out.items()
        for found in [tau(members)]
    ))  # fmt: skip
