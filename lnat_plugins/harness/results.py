"""From a figure's values of all prompts to the one value that lm-eval prints.

On several ranks lm-eval gathers the figures that the first rank has from all ranks, and fails
where one lacks a figure. So every prompt gives every figure, None where it has no value; the Nones
are removed here, from the list itself, so that lm-eval counts what was counted.

From the scored responses to one prompt to the figures that lm-eval averages.

A figure's name is `<metric>/<teacher>`, so that lm-eval's table, which sorts by name, reads
metric by metric. A teacher without a score for a prompt gives None; its coverage says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lm_eval.api.metrics import mean

from lnat_plugins.metrics import Metric, Scored, get_metric
from lnat_plugins.ranking.table import winners
from lnat_plugins.scoring.record import StepSums


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
            one = metric.parts_of(row.record, window) if metric.parts else (value, 1.0)
            by_prompt.setdefault(row.prompt_id, []).append(one)
    if not by_prompt:
        return None
    cells = [tuple(map(statistics.fmean, zip(*own, strict=True))) for own in by_prompt.values()]
    above, below = (math.fsum(side) for side in zip(*cells, strict=True))
    return above / below if below else None


SCORES = ("local_naturalness", "global_naturalness")
WIN_RATE = "win_rate"
COVERAGE = "coverage"

KeepRest = Callable[[Mapping[str, Mapping[str, float | None]]], None]


class Row(NamedTuple):
    """One scored response."""

    prompt_id: str
    teacher: str
    record: StepSums


def figure(metric: str, teacher: str) -> str:
    """The figure's name. lm-eval cuts names at a comma, so a teacher's become semicolons."""
    return f"{metric}/{teacher.replace(',', ';')}"


class Results:
    """What lm-eval's table shows, and how it comes about.

    Args:
        metrics: those requested.
        every: whether these are "all". Then the table shows the two scores of the paper only; the
            figures of the others stand in the results file.
        teachers: of the whole set.
        window: of metrics that read one.
    """

    def __init__(
        self, metrics: Sequence[Metric], every: bool, teachers: Sequence[str], window: str
    ) -> None:
        self._metrics = tuple(metrics)
        self._every = every
        self._teachers = tuple(teachers)
        self._window = window
        self._shown = tuple(metric for metric in metrics if not every or metric.name in SCORES)
        directed = [one for one in self._shown if one.higher_is_better is not None]
        # A prompt is won by a metric that sees one response, or one prompt, at a time.
        self._deciding = next((one for one in directed if one.scope != "corpus"), None)

    def directions(self) -> dict[str, bool | None]:
        """Higher is better, lower is better, or neither, for every figure."""
        by_metric = {metric.name: metric.higher_is_better for metric in self._shown}
        if self._deciding:
            by_metric |= {WIN_RATE: True}
        by_metric |= {COVERAGE: None}
        return {figure(name, t): up for t in self._teachers for name, up in by_metric.items()}

    def figures(self, prompt_id: str, records: Sequence[StepSums]) -> dict[str, Any]:
        """The figures of one prompt, the same ones for every prompt; None = no value here.

        A teacher's score is over its samples that have one. The win goes to the best by the first
        metric shown that has a direction and is not of scope "corpus"; of equal ones to the first
        row's. One teacher alone has nothing to win.

        Args:
            prompt_id: the prompt.
            records: its responses in row order.
        """
        rows = [Row(prompt_id, record.teacher, record) for record in records]
        out: dict[str, Any] = dict.fromkeys(self.directions())
        for metric in self._shown:
            for teacher, value in self._of_prompt(metric, rows).items():
                out[figure(metric.name, teacher)] = value
        values = self._plain_values(self._deciding, rows) if self._deciding else {}
        if self._deciding and len(values) > 1:
            values_1T = np.array([list(values.values())])
            order_1T = np.arange(len(values))[None]
            (best,), _ = winners(values_1T, order_1T, bool(self._deciding.higher_is_better))
            out |= {figure(WIN_RATE, one): float(i == best) for i, one in enumerate(values)}
        covered = values if self._deciding else self._covered(self._shown[0], rows)
        for teacher in self._teachers:
            out[figure(COVERAGE, teacher)] = float(teacher in covered)
        if self._every:
            first = figure(COVERAGE, self._teachers[0])
            out[first] = Carried(out[first], tuple(rows))
        return out

    def _plain_values(self, metric: Metric, rows: Sequence[Row]) -> dict[str, float]:
        values = {
            teacher: value.ratio if isinstance(value, Parts) else value
            for teacher, value in self._of_prompt(metric, rows).items()
        }
        return {teacher: value for teacher, value in values.items() if math.isfinite(value)}

    def _covered(self, metric: Metric, rows: Sequence[Row]) -> set[str]:
        """Who has what the metric reads, where its values are known only from all prompts."""
        if metric.scope == "corpus":
            return {row.teacher for row in rows if not metric.lacks(row.record, self._window)}
        return set(self._of_prompt(metric, rows))

    def _of_prompt(self, metric: Metric, rows: Sequence[Row]) -> dict[str, Any]:
        """teacher -> its value for one prompt, for those that have one."""
        if metric.scope == "corpus":
            return dict.fromkeys(self._teachers, Held(tuple(rows)))
        values = metric.rate(rows, self._window).values
        found: dict[str, Any] = {}
        for teacher in dict.fromkeys(row.teacher for row in rows):
            own = [
                (row, value)
                for row, value in zip(rows, values, strict=True)
                if row.teacher == teacher and math.isfinite(value)
            ]
            if own and metric.parts:
                both = [metric.parts_of(row.record, self._window) for row, _ in own]
                above, below = zip(*both, strict=True)
                found[teacher] = Parts(statistics.fmean(above), statistics.fmean(below))
            elif own:
                found[teacher] = statistics.fmean(value for _, value in own)
        return found

    def aggregation(self, keep_rest: KeepRest) -> dict[str, Callable[[list[Any]], float]]:
        """From a figure's values of all prompts to its value.

        Args:
            keep_rest: gets metric -> teacher -> value for what the table does not show.
        """
        found: dict[str, Callable[[list[Any]], float]]
        found = dict.fromkeys(self.directions(), MeanOfScored())
        for metric in self._shown:
            for teacher in self._teachers:
                name = figure(metric.name, teacher)
                if metric.scope == "corpus":
                    found[name] = RatedTogether(metric, self._window, teacher)
                elif metric.parts:
                    found[name] = RatioOfMeans()
        if self._every:
            first = figure(COVERAGE, self._teachers[0])
            found[first] = CoverageThenRest(lambda rows: keep_rest(self._rest(rows)))
        return found

    def _rest(self, rows: Sequence[Row]) -> dict[str, dict[str, float | None]]:
        rest: dict[str, dict[str, float | None]] = {}
        for metric in self._metrics:
            if metric not in self._shown:
                values = metric.rate(rows, self._window).values
                rest[metric.name] = {
                    teacher: teacher_figure(metric, rows, values, teacher, self._window)
                    for teacher in self._teachers
                }
        return rest


def summary(record: StepSums, window: str) -> str:
    """One line for the samples file's `filtered_resps`."""
    parts = [f"{name}={get_metric(name).of(record, window):.6g}" for name in SCORES]
    return f"{record.teacher}: {', '.join(parts)}, {record.n_steps} steps, {record.n_tokens} tokens"
