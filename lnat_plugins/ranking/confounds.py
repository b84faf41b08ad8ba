"""What a score may only be echoing: length, steps, loops, the whole context, the student's family.

Knows nothing of intervals. Shapes: P prompts, T teachers, R responses with a defined value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.ranking.cells import Cells, Floats, Ints, build_cells
from lnat_plugins.ranking.context import shown_context
from lnat_plugins.ranking.correlation import spearman
from lnat_plugins.ranking.family import families
from lnat_plugins.ranking.plain import plain
from lnat_plugins.ranking.repetition import WINDOW, repetition
from lnat_plugins.ranking.winners import winners

CONTROLS: Final = ("n_tokens", "n_steps", "mean_step_tokens", "first_token_ratio")

NEARLY_ALL: Final = 0.9
"""From this share of the context on, a window is the global one under another name."""

MUCH_REPEATED: Final = 0.1
"""From this share of repeated words on, a teacher's loops are told."""


NEARLY_ALONE: Final = 0.9
"""From this correlation on, up or down, a score says little but the control."""

_MEANS: Final = {
    "n_tokens": "length", "n_steps": "the number of steps", "mean_step_tokens": "the steps' length",
}  # fmt: skip
_LEAST_SPARE: Final = 4
"""Responses beyond one a prompt: with fewer, any two figures go together."""


@dataclass(frozen=True)
class ControlCorrelation:
    """Spearman's correlation of the score with a control, by the metric's direction.

    Positive = more of the control goes with a better score, whether that is a higher one or not.

    Attributes:
        control: its name.
        overall: over all responses with a defined score, matched prompts or not.
        responses: how many those are.
        within_prompt: mean of the correlations inside each prompt.
        prompts: prompts that have one: two responses or more, neither figure constant.
    """

    control: str
    overall: float
    responses: int
    within_prompt: float
    prompts: int


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
        _correlation(name, control_R, cells, bool(metric.higher_is_better))
        for name, control_R in controls.items()
    )
    found = (
        *_count_notes(correlations),
        *_context_notes(context, metric.window_read(window)),
        *_repetition_notes(repeated),
        *_family_notes(own, same),
    )
    return Confounds(
        correlations=correlations,
        repetition=repeated,
        context=context,
        composition=_composition(cells, bool(metric.higher_is_better)),
        families=tuple(sorted(own)),
        same_family=same,
        notes=found,
    )


def control_values(cells: Cells, rows: Sequence[Scored]) -> dict[str, Floats]:
    """Control -> (R,) its value for every response that has a defined score."""
    defined = [rows[index] for index in cells.defined]
    return {name: np.array(METRICS[name].rate(defined, "").values) for name in CONTROLS}


def _correlation(name: str, control_R: Floats, cells: Cells, higher: bool) -> ControlCorrelation:
    better_R = cells.response_values if higher else -cells.response_values
    inside = [spearman(better_R[one], control_R[one]) for one in by_prompt(cells.response_prompt)]
    known = [value for value in inside if not math.isnan(value)]
    return ControlCorrelation(
        control=name,
        overall=spearman(better_R, control_R),
        responses=len(control_R),
        within_prompt=math.fsum(known) / len(known) if known else math.nan,
        prompts=len(known),
    )


def by_prompt(prompt_R: Ints) -> list[Ints]:
    """The responses of each prompt, as indices."""
    order = np.argsort(prompt_R, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(prompt_R[order])) + 1)


def _composition(cells: Cells, higher: bool) -> dict[str, float]:
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


def _count_notes(correlations: Sequence[ControlCorrelation]) -> Iterator[str]:
    for one in correlations:
        inside = not math.isnan(one.within_prompt)
        found = one.within_prompt if inside else one.overall
        spare = one.responses - (one.prompts if inside else 1)
        # A correlation of NaN is never as large as this.
        if one.control in _MEANS and spare >= _LEAST_SPARE and abs(found) >= NEARLY_ALONE:
            yield (
                f"{'Within prompts' if inside else 'Over all responses'} the score goes with "
                f"{one.control} almost alone (Spearman {found:.3f}): choosing by it is choosing by "
                f"{_MEANS[one.control]}."
            )


def _context_notes(context: Mapping[str, float], read: str | None) -> Iterator[str]:
    if read is None or read not in context:
        return
    shown = context[read]
    if math.isnan(shown):
        yield (
            f"No response has a second step, so that window {read} shows what global shows: this "
            "is global naturalness under another name."
        )
    elif shown >= NEARLY_ALL:
        yield (
            f"Window {read} shows {100 * shown:.0f}% of what precedes a step here: this is global "
            "naturalness under another name."
        )


def _repetition_notes(repeated: Mapping[str, float]) -> Iterator[str]:
    loops = [f"{name} {100 * share:.0f}%" for name, share in repeated.items()
             if share >= MUCH_REPEATED]  # fmt: skip
    if loops:
        yield (
            f"Words in stretches of {WINDOW} that the same response had said before: "
            f"{', '.join(loops)}. What repeats is easy to predict, so loops score well."
        )


def _family_notes(own: frozenset[str], same: Sequence[str]) -> Iterator[str]:
    if same:
        verb = "is" if len(same) == 1 else "are"
        yield (
            f"By name, {', '.join(same)} {verb} of the student's own family "
            f"({', '.join(sorted(own))}): a student finds its own family's text likely, whatever "
            "it would learn from it."
        )
