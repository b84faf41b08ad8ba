"""From a figure's values of all prompts to the one value that lm-eval prints.

On several ranks lm-eval gathers the figures that the first rank has from all ranks, and fails
where one lacks a figure. So every prompt gives every figure, None where it has no value; the Nones
are removed here, from the list itself, so that lm-eval counts what was counted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lm_eval.api.metrics import mean

from lnat_plugins.metrics import Metric, Scored


class Parts(NamedTuple):
    """Numerator and denominator of one prompt."""

    above: float
    below: float

    @property
    def ratio(self) -> float:
        """Of this prompt alone."""
        return self.above / self.below if self.below else math.nan


class Held:
    """The responses to one prompt, for a metric that looks at all of them together."""

    def __init__(self, rows: tuple[Scored, ...]) -> None:
        self.rows = rows

    def __str__(self) -> str:
        return "computed from all prompts together"


class Carried(float):
    """A figure that brings the responses to its prompt along."""

    rows: tuple[Scored, ...]

    def __new__(cls, value: float, rows: tuple[Scored, ...]) -> Carried:
        """The figure with its responses."""
        made = super().__new__(cls, value)
        made.rows = rows
        return made

    def __getnewargs__(self) -> tuple[float, tuple[Scored, ...]]:  # type: ignore[override]
        return float(self), self.rows


class MeanOfScored:
    """The mean over the prompts that have a value; NaN if none has.

    After the call lm-eval takes the standard error that goes with its own `mean`: so this equals
    `mean`.
    """

    def __call__(self, values: list[Any]) -> float:
        """Removes the Nones and gives the mean of the rest."""
        values[:] = [value for value in values if value is not None]
        return float(mean(values)) if values else math.nan

    def __eq__(self, other: object) -> bool:
        return other is mean or isinstance(other, MeanOfScored)

    def __hash__(self) -> int:
        return hash(mean)


class CoverageThenRest(MeanOfScored):
    """Takes the mean, and hands the responses of all prompts on."""

    def __init__(self, hand_on: Callable[[Sequence[Any]], None]) -> None:
        self._hand_on = hand_on

    def __call__(self, values: list[Any]) -> float:
        """The mean."""
        self._hand_on([row for value in values for row in value.rows])
        return super().__call__(values)

    __hash__ = MeanOfScored.__hash__


class RatioOfMeans:
    """The mean of the numerators by that of the denominators, over prompts that have one."""

    def __call__(self, values: list[Any]) -> float:
        """Removes the Nones and gives the ratio of the rest."""
        values[:] = [value for value in values if value is not None]
        below = math.fsum(value.below for value in values)
        return math.fsum(value.above for value in values) / below if below else math.nan


class RatedTogether:
    """A teacher's figure of a metric that looks at all responses."""

    def __init__(self, metric: Metric, window: str, teacher: str) -> None:
        self._metric = metric
        self._window = window
        self._teacher = teacher

    def __call__(self, values: list[Any]) -> float:
        """The mean over prompts; NaN if none has a value."""
        rows = [row for value in values for row in value.rows]
        rated = self._metric.rate(rows, self._window).values
        found = teacher_figure(self._metric, rows, rated, self._teacher, self._window)
        return math.nan if found is None else found


def teacher_figure(
    metric: Metric, rows: Sequence[Scored], values: Sequence[float], teacher: str, window: str
) -> float | None:
    """A teacher's figure over prompts, a prompt's value being that of its samples; None if none."""
    by_prompt: dict[str, list[Any]] = {}
    for row, value in zip(rows, values, strict=True):
        if row.teacher == teacher and math.isfinite(value):
            one = metric.parts(row.record, window) if metric.parts else (value, 1.0)
            by_prompt.setdefault(row.prompt_id, []).append(one)
    if not by_prompt:
        return None
    cells = [tuple(map(statistics.fmean, zip(*own, strict=True))) for own in by_prompt.values()]
    above, below = (math.fsum(side) for side in zip(*cells, strict=True))
    return above / below if below else None
