"""The figures of lm-eval's table: from the scored responses to a prompt to one value a teacher.

A figure's name is `<metric>/<teacher>`, so that lm-eval's table, which sorts by name, reads metric
by metric. On several ranks lm-eval gathers the figures that the first rank has from all ranks, and
fails where one lacks a figure: so every prompt gives every figure, None where it has no value. The
Nones are removed when the figures are aggregated, from the list itself, so that lm-eval counts
what was counted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from lm_eval.api.metrics import mean

from lnat_plugins.errors import visible
from lnat_plugins.metrics import Metric, get_metric
from lnat_plugins.metrics.budgeted import metric_under
from lnat_plugins.ranking.table import shared_wins
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.teacher_set.config import CHOICE

SCORES: Final = ("local_naturalness", "global_naturalness")
WIN_RATE: Final = "win_rate"
COVERAGE: Final = "coverage"


def figure(metric: str, teacher: str) -> str:
    """The figure's name. lm-eval cuts names at a comma, so a teacher's become semicolons; and it
    prints them as they are, so what a terminal would obey is written out."""
    return f"{metric}/{visible(teacher.replace(',', ';'))}"


def summary(record: StepSums, window: str) -> str:
    """One line for the samples file's `filtered_resps`."""
    goal = record.settings.get("budget", {}).get("goal")
    metrics = [metric_under(goal)] if goal else map(get_metric, SCORES)
    parts = [f"{metric.name}={metric.of(record, window):.6g}" for metric in metrics]
    of = f", of {record.whole_steps} steps and {record.whole_tokens} tokens" if record.whole else ""
    parts += [f"{record.n_steps} steps", f"{record.n_tokens} tokens{of}"]
    return f"{record.teacher}: {', '.join(parts)}"


@dataclass(frozen=True)
class DeferredValue:
    """The responses to one prompt, for a metric whose value needs those to all prompts."""

    rows: Sequence[ScoredResponse]

    def __str__(self) -> str:
        return "computed from all prompts together"


class Results:
    """What lm-eval's table shows, and how it is computed.

    Args:
        metrics: those requested.
        every: whether these are "all". Then the table shows the two scores of the paper only;
            `lnat rank --metric all` gives the others from the samples file.
        teachers: of the whole set.
        window: of metrics that read one.
    """

    def __init__(
        self, metrics: Sequence[Metric], every: bool, teachers: Sequence[str], window: str
    ) -> None:
        self._metrics = tuple(one for one in metrics if not every or one.name in SCORES)
        self._teachers = tuple(teachers)
        self._window = window
        # A win by an estimate is a win of its error: the best of many is the luckiest. A win by
        # stride scores is none by exact ones.
        unsure = {metric_under(goal).name for goal in ("best", CHOICE)}
        directed = [
            one for one in self._metrics
            if one.higher_is_better is not None and one.name not in unsure
        ]  # fmt: skip
        # A prompt is won by a metric that sees one response, or one prompt, at a time.
        self._deciding = next((one for one in directed if one.scope != "corpus"), None)

    def directions(self) -> dict[str, bool | None]:
        """Higher is better, lower is better, or neither, for every figure."""
        by_metric = {metric.name: metric.higher_is_better for metric in self._metrics}
        if self._deciding:
            by_metric |= {WIN_RATE: True}
        by_metric |= {COVERAGE: None}
        return {figure(name, t): up for t in self._teachers for name, up in by_metric.items()}

    def figures(self, rows: Sequence[ScoredResponse]) -> dict[str, Any]:
        """The figures of one prompt, the same ones for every prompt; None = no value here.

        A teacher's score is over its samples that have one. The win goes to the best by the first
        metric shown that has a direction and is not of scope "corpus"; of t equal ones each gets
        1/t. One teacher alone has nothing to win.
        """
        found: dict[str, Any] = dict.fromkeys(self.directions())
        for metric in self._metrics:
            values: dict[str, Any]
            if metric.scope == "corpus":
                values = dict.fromkeys(self._teachers, DeferredValue(rows))
            else:
                parts = _parts(metric, self._window, rows)
                values = {t: pair if metric.parts else pair[0] for t, pair in parts.items()}
            found |= {figure(metric.name, teacher): value for teacher, value in values.items()}
        first = self._metrics[0]
        if self._deciding:
            scores = {
                teacher: above / below
                for teacher, (above, below) in _parts(self._deciding, self._window, rows).items()
                if below and math.isfinite(above / below)
            }
            covered = set(scores)
            if len(scores) > 1:
                sign = 1 if self._deciding.higher_is_better else -1
                scores_1T = sign * np.array([[*scores.values()]])
                wins = zip(scores, shared_wins(scores_1T)[0].tolist(), strict=True)
                found |= {figure(WIN_RATE, teacher): win for teacher, win in wins}
        elif first.scope == "corpus":
            covered = {row.teacher for row in rows if not first.lacks(row.record, self._window)}
        else:
            covered = set(_parts(first, self._window, rows))
        return found | {figure(COVERAGE, t): float(t in covered) for t in self._teachers}

    def aggregation(self) -> dict[str, Callable[[list[Any]], float]]:
        """From a figure's values of all prompts to its value; NaN if no prompt has one."""
        found: dict[str, Callable[[list[Any]], float]]
        found = dict.fromkeys(self.directions(), MeanOfValues())
        for metric in self._metrics:
            for teacher in self._teachers:
                if metric.scope == "corpus":
                    found[figure(metric.name, teacher)] = partial(
                        _rated_together, metric, self._window, teacher
                    )
                elif metric.parts:
                    found[figure(metric.name, teacher)] = _ratio_of_means
        return found


def _parts(
    metric: Metric, window: str, rows: Sequence[ScoredResponse]
) -> dict[str, tuple[float, float]]:
    """Teacher -> mean numerator and denominator over its rows that have a value.

    They are the value and 1 unless the metric is a ratio of means.
    """
    own: dict[str, list[tuple[float, float]]] = {}
    for row, value in zip(rows, metric.rate(rows, window).values, strict=True):
        if math.isfinite(value):
            parts = metric.parts_of(row.record, window) if metric.parts else (value, 1.0)
            own.setdefault(row.teacher, []).append(parts)
    return {
        teacher: (statistics.fmean(above), statistics.fmean(below))
        for teacher, (above, below) in ((t, zip(*parts, strict=True)) for t, parts in own.items())
    }


class MeanOfValues:
    """The mean over the prompts that have a value; NaN if none has.

    After the call lm-eval looks up the standard error that goes with its own `mean`: so this
    equals `mean`.
    """

    def __call__(self, values: list[Any]) -> float:
        """Removes the Nones and returns the mean of the rest."""
        values[:] = [value for value in values if value is not None]
        return float(mean(values)) if values else math.nan

    def __eq__(self, other: object) -> bool:
        return other is mean or isinstance(other, MeanOfValues)

    def __hash__(self) -> int:
        return hash(mean)


def _ratio_of_means(values: list[Any]) -> float:
    """The mean of the numerators by that of the denominators, over prompts that have one."""
    values[:] = [value for value in values if value is not None]
    below = math.fsum(below for _, below in values)
    return math.fsum(above for above, _ in values) / below if below else math.nan


def _rated_together(
    metric: Metric, window: str, teacher: str, values: list[DeferredValue]
) -> float:
    """A teacher's mean over prompts of a metric that looks at all responses."""
    rows = [row for value in values for row in value.rows]
    by_prompt: dict[str, list[float]] = {}
    for row, value in zip(rows, metric.rate(rows, window).values, strict=True):
        if row.teacher == teacher and math.isfinite(value):
            by_prompt.setdefault(row.prompt_id, []).append(value)
    means = [*map(statistics.fmean, by_prompt.values())]
    return statistics.fmean(means) if means else math.nan
