"""What a score may only be echoing: length, steps, loops, the whole context, the student's family.

Knows nothing of intervals. Shapes: P prompts, T teachers, R responses with a defined value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.ranking import confound_notes as notes
from lnat_plugins.ranking.cells import Cells, Floats, build_cells
from lnat_plugins.ranking.context import shown_context
from lnat_plugins.ranking.control_correlation import ControlCorrelation, control_correlation
from lnat_plugins.ranking.family import families
from lnat_plugins.ranking.plain import plain
from lnat_plugins.ranking.repetition import repetition
from lnat_plugins.ranking.winners import winners

CONTROLS: Final = ("n_tokens", "n_steps", "mean_step_tokens", "first_token_ratio")


@dataclass(frozen=True)
class Confounds:
    """The panel beside a ranking.

    Attributes:
        correlations: with each control, in the order of `CONTROLS`.
        repetition: teacher -> share of its words, over all its responses, that lie in a stretch
            of 20 words said before in the same response; empty where no texts were given, NaN for
            a teacher without a word.
        context: window -> share of the preceding tokens that it shows, without the global window.
        composition: teacher -> share of the matched prompts on which it is best; of a tie, the
            first row. Empty where no prompt is matched.
        families: what the student's name says of its family; several for a merged name.
        same_family: teachers whose names share a family with the student's.
        notes: what of this a reader must know before trusting the order.
    """

    correlations: tuple[ControlCorrelation, ...]
    repetition: Mapping[str, float]
    context: Mapping[str, float]
    composition: Mapping[str, float]
    families: tuple[str, ...]
    same_family: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found


def confounds(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metric: Metric,
    window: str,
    texts: Sequence[str] | None = None,
    student: str = "",
) -> Confounds:
    """The panel for one metric.

    Args:
        rows, prompts, metric, window: as for `rank`.
        texts: the responses, one a row; without them nothing is said of repetition.
        student: its name or path; without it nothing is said of families.
    """
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    cells = build_cells(rows, prompts, teachers, metric, window)
    return panel(cells, control_values(cells, rows), rows, metric, window, texts, student)


def panel(
    cells: Cells,
    controls: Mapping[str, Floats],
    rows: Sequence[Scored],
    metric: Metric,
    window: str,
    texts: Sequence[str] | None,
    student: str,
) -> Confounds:
    """The same from cells and the controls of their responses."""
    repeated = {} if texts is None else _repetition(cells.teachers, rows, texts)
    context = shown_context(row.record for row in rows)
    own = families(student)
    same = tuple(teacher for teacher in cells.teachers if own & families(teacher))
    correlations = tuple(
        control_correlation(name, control_R, cells, bool(metric.higher_is_better))
        for name, control_R in controls.items()
    )
    found = (
        *notes.count_notes(correlations),
        *notes.context_notes(context, metric.window_read(window)),
        *notes.repetition_notes(repeated),
        *notes.family_notes(own, same),
    )
    return Confounds(
        correlations=correlations,
        repetition=repeated,
        context=context,
        composition=composition(cells, bool(metric.higher_is_better)),
        families=tuple(sorted(own)),
        same_family=same,
        notes=found,
    )


def control_values(cells: Cells, rows: Sequence[Scored]) -> dict[str, Floats]:
    """Control -> (R,) its value for every response that has a defined score."""
    defined = [rows[index] for index in cells.defined]
    return {name: np.array(METRICS[name].rate(defined, "").values) for name in CONTROLS}


def composition(cells: Cells, higher: bool) -> dict[str, float]:
    """Teacher -> share of the matched prompts on which it is best; empty where there are none."""
    used_P = cells.matched
    if not used_P.any():
        return {}
    winner_P, _ = winners(cells.values[used_P], cells.first_row[used_P], higher)
    shares = np.bincount(winner_P, minlength=len(cells.teachers)) / len(winner_P)
    return dict(zip(cells.teachers, map(float, shares), strict=True))


def _repetition(
    teachers: Sequence[str], rows: Sequence[Scored], texts: Sequence[str]
) -> dict[str, float]:
    repeated, words = dict.fromkeys(teachers, 0), dict.fromkeys(teachers, 0)
    for row, text in zip(rows, texts, strict=True):
        found = repetition(text)
        repeated[row.teacher] += found.repeated
        words[row.teacher] += found.words
    return {name: repeated[name] / words[name] if words[name] else math.nan for name in teachers}
