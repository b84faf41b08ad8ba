"""The table that teachers are ranked by: one score per prompt and teacher, higher = better.

The metric's direction is applied here, once: whatever is computed from a `ScoreTable` takes higher
for better, and only what is printed goes back to the metric's own scale. Shapes: P prompts,
T teachers, K parts of a value (1, or 2 for a ratio of means), R responses with a defined value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.metrics import Metric, Scored, score_again

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIE: Final = 1e-12
"""Values this near each other, relative to their size (absolutely below 1), are equal: far
below any difference between scores, above the rounding of a mean."""


def best_mask(scores: Floats) -> Bools:
    """Where each row's highest value stands; several columns in a tie. Shape as `scores`."""
    best = scores.max(axis=1, keepdims=True)
    mask: Bools = scores >= best - TIE * np.maximum(1.0, np.abs(best))
    return mask


def winners(scores_PT: Floats, first_row_PT: Ints) -> tuple[Ints, int]:
    """The column that wins each prompt, and the number of prompts with a tie.

    Args:
        scores_PT: higher = better, defined everywhere.
        first_row_PT: decides ties; the lowest wins.
    """
    best_PT = best_mask(scores_PT)
    last = np.iinfo(np.int64).max
    winner_P: Ints = np.where(best_PT, first_row_PT, last).argmin(axis=1)
    return winner_P, int((best_PT.sum(axis=1) > 1).sum())


@dataclass(frozen=True)
class ScoreTable:
    """One metric over a set of responses, turned so that higher = better.

    Attributes:
        teachers: T names; the order of the columns.
        sign: 1, or -1 for a metric of which lower is better; scores times `sign` are in the
            metric's own unit.
        parts: (K, P, T) means over the samples of a prompt and teacher that have a defined value;
            NaN if none has. K = 1: of the scores. K = 2: of the numerators of the scores, and of
            the denominators.
        first_row: (P, T) index of the first such row; decides ties.
        defined: (R,) indices of the rows with a defined value.
        response_scores: (R,) their scores.
        response_prompt, response_teacher: (R,) their prompt's and teacher's index.
        responses: T counts of rows, undefined ones included.
        undefined: T times reason -> rows without a defined value.
    """

    teachers: tuple[str, ...]
    sign: int
    parts: Floats
    first_row: Ints
    defined: Ints
    response_scores: Floats
    response_prompt: Ints
    response_teacher: Ints
    responses: tuple[int, ...]
    undefined: tuple[Mapping[str, int], ...]

    @property
    def scores(self) -> Floats:
        """(P, T) one score per prompt and teacher; of a ratio of means its ratio, NaN by 0."""
        return self.parts[0] if len(self.parts) == 1 else _ratio(self.parts[0], self.parts[1])

    def metric_scale(self, scores: Floats) -> Floats:
        """Scores in the metric's own unit and direction; any shape."""
        return np.asarray(scores * self.sign + 0.0)  # never -0.0

    @property
    def matched(self) -> NDArray[np.bool_]:
        """(P,) whether the prompt has a defined value for every teacher."""
        defined = np.isfinite(self.scores)
        return np.asarray(defined.all(axis=1))

    def columns(self, used_P: NDArray[np.bool_]) -> Floats:
        """(prompts used, K·T): what is averaged over prompts, part after part."""
        return np.concatenate(list(self.parts[:, used_P]), axis=1)

    def of_means(self, means: Floats) -> Floats:
        """The teachers' scores from means of `columns`: (…, K·T) -> (…, T), NaN by 0."""
        if len(self.parts) == 1:
            return means
        n_teachers = len(self.teachers)
        return _ratio(means[..., :n_teachers], means[..., n_teachers:])

    def mean(self, values_R: Floats) -> Floats:
        """(P, T): the mean of a number that every defined response has."""
        shape = self.parts.shape[1:]
        cell_R = self.response_prompt * shape[1] + self.response_teacher
        size = shape[0] * shape[1]
        counts = np.bincount(cell_R, minlength=size).astype(np.float64)
        sums = np.bincount(cell_R, weights=values_R, minlength=size)
        return np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0).reshape(shape)


def score_table(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    teachers: Sequence[str],
    metric: Metric,
    window: str,
) -> ScoreTable:
    """Compute the metric for every row and average the samples of each prompt and teacher."""
    sign = -1 if metric.higher_is_better is False else 1
    prompt_index = {prompt: index for index, prompt in enumerate(prompts)}
    teacher_index = {teacher: index for index, teacher in enumerate(teachers)}
    shape = (len(prompts), len(teachers))
    first_row_PT = np.full(shape, len(rows), dtype=np.int64)
    responses = [0] * len(teachers)
    undefined: list[Counter[str]] = [Counter() for _ in teachers]
    defined: list[tuple[int, int, int]] = []
    scores: list[float] = []
    parts: list[tuple[float, ...]] = []

    for index, (row, value, reason) in enumerate(
        zip(rows, *metric.rate(rows, window), strict=True)
    ):
        cell = prompt_index[row.prompt_id], teacher_index[row.teacher]
        responses[cell[1]] += 1
        of_row = _parts(metric, row, window, value)
        if not all(map(math.isfinite, (value, *of_row))):
            undefined[cell[1]][reason or "the value is not finite"] += 1
            continue
        if metric.parts is not None and of_row[1] == 0:
            undefined[cell[1]]["the denominator is 0"] += 1
            continue
        defined.append((index, *cell))
        scores.append(sign * value)
        parts.append((sign * of_row[0], *of_row[1:]))
        first_row_PT[cell] = min(first_row_PT[cell], index)

    defined_R3 = np.array(defined, dtype=np.int64).reshape(-1, 3)
    n_parts = 1 if metric.parts is None else 2
    parts_RK = np.array(parts, dtype=np.float64).reshape(-1, n_parts)
    table = ScoreTable(
        teachers=tuple(teachers),
        sign=sign,
        parts=np.empty((n_parts, *shape)),
        first_row=first_row_PT,
        defined=defined_R3[:, 0],
        response_scores=np.array(scores, dtype=np.float64),
        response_prompt=defined_R3[:, 1],
        response_teacher=defined_R3[:, 2],
        responses=tuple(responses),
        undefined=tuple(dict(reasons) for reasons in undefined),
    )
    for part_PT, values_R in zip(table.parts, parts_RK.T, strict=True):
        part_PT[:] = table.mean(values_R)
    return table


def _ratio(numerators: Floats, denominators: Floats) -> Floats:
    nothing = np.full(numerators.shape, np.nan)
    found: Floats = np.divide(numerators, denominators, out=nothing, where=denominators != 0)
    return found


def _parts(metric: Metric, row: Scored, window: str, value: float) -> tuple[float, ...]:
    """What is averaged: the value, or its numerator and denominator."""
    if metric.parts is None or not math.isfinite(value):
        return (value,)
    return metric.parts_of(row.record, window)


_BY_ZERO: Final = "the denominators add up to 0"
_REWARD: Final = "give the rows a column `reward` and score again"


def check_metric(
    metric: Metric, metrics: Mapping[str, Metric], rows: Sequence[Scored], window: str
) -> None:
    """Refuse a metric without a direction, or whose window was not scored."""
    if metric.higher_is_better is None:
        directed = [name for name, each in metrics.items() if each.higher_is_better is not None]
        raise ConfigError(
            f"nothing can be ranked by {metric.name!r}: it describes, and has no better or worse",
            remedy=f"rank by one of {', '.join(directed)}",
        )
    read = metric.window_read(window)
    scored = {each for row in rows for each in row.record.sums}
    if read is not None and read not in scored:
        raise ConfigError(
            f"metric {metric.name!r} needs window {read!r}, which was not scored",
            remedy=did_you_mean(read, scored),
        )


def check_resampling(bootstrap_iters: int, seed: int) -> None:
    """Refuse numbers below 0."""
    for name, number in (("bootstrap_iters", bootstrap_iters), ("seed", seed)):
        if number < 0:
            raise ConfigError(f"{name} is below 0", found=number, remedy="give 0 or more")


def undefined_everywhere(table: ScoreTable) -> str:
    """The reasons, with counts, where no response has a value; "" where one has."""
    if len(table.defined):
        return ""
    reasons: Counter[str] = Counter()
    for of_teacher in table.undefined:
        reasons.update(of_teacher)
    return counted(reasons)


def counted(reasons: Mapping[str, int]) -> str:
    """Reason after reason, each with its count."""
    return "; ".join(f"{reason} ({count})" for reason, count in reasons.items())


def not_gathered(metric: Metric, rows: Sequence[Scored]) -> bool:
    """Whether the scoring run did not gather what the metric needs, and could have."""
    return any(
        (row.record.path != "loglikelihood" or name == "reward")
        and not any(name in held for held in (
            row.record.undefined, row.record.statistics, row.record.step_statistics
        ))
        for row in rows
        for name in metric.needs
    )  # fmt: skip


def cannot_compare(table: ScoreTable, metric: Metric, rows: Sequence[Scored]) -> str:
    """Why this metric cannot be set beside others, and what would help; "" if it can."""
    if metric.higher_is_better is None:
        return "it describes, and has no better or worse"
    if why := undefined_everywhere(table):
        if not_gathered(metric, rows):
            return f"not gathered: {score_again('it')}"
        return f"{why}: {_REWARD}" if _without_reward(metric, rows) else why
    if table.matched.any():
        scores_T = table.of_means(table.columns(table.matched).mean(axis=0))
        without = [name for name, known in zip(table.teachers, np.isfinite(scores_T), strict=True)
                   if not known]  # fmt: skip
        return f"{_BY_ZERO} of {', '.join(without)}" if without else ""
    scored_T = np.isfinite(table.scores).sum(axis=0)
    least = int(scored_T.argmin())
    reasons = counted(table.undefined[least])
    return f"no prompt has it for every teacher, least often {table.teachers[least]}" + (
        f": {reasons}" if reasons else ""
    )


def none_compares(why: str, metrics: Sequence[Metric], rows: Sequence[Scored]) -> DataError:
    """The error where none of several metrics can be compared."""
    again = any(not_gathered(metric, rows) for metric in metrics)
    remedy = (
        score_again("those that you want") if again else "name other metrics, or another window"
    )
    return DataError(f"none of the metrics can be compared: {why}", remedy=remedy)


def no_score(table: ScoreTable, metric: Metric, scores_T: Floats) -> DataError:
    """The error for a ratio of means whose denominators add up to 0 for a teacher."""
    without = table.teachers[int(np.isfinite(scores_T).argmin())]
    return DataError(
        f"{metric.name} is undefined: {_BY_ZERO}",
        where=f"teacher {without!r}",
        remedy="leave that teacher out (--teachers), or rank by another metric",
    )


def no_matched_prompt(table: ScoreTable, metric: Metric, rows: Sequence[Scored]) -> DataError:
    """The error for a metric that no prompt has for every teacher."""
    everywhere = undefined_everywhere(table)
    if everywhere:
        return DataError(
            f"no response has a value of {metric.name}",
            found=everywhere,
            remedy=_remedy(metric, rows),
        )
    scored_T = np.isfinite(table.scores).sum(axis=0)
    least = int(scored_T.argmin())
    why = counted(table.undefined[least])
    return DataError(
        f"no prompt has {metric.name} for every teacher, so that they cannot be compared",
        where=f"teacher {table.teachers[least]!r}",
        found=f"{scored_T[least]} of {len(table.scores)} prompts scored"
        + (f"; undefined: {why}" if why else ""),
        remedy="leave that teacher out (--teachers), or score it on the prompts of the others",
    )


def _remedy(metric: Metric, rows: Sequence[Scored]) -> str:
    if not_gathered(metric, rows):
        return score_again(metric.name)
    if _without_reward(metric, rows):
        return f"{_REWARD}, or rank by another metric"
    return "rank by another metric" + ("" if metric.needs else " or window")


def _without_reward(metric: Metric, rows: Sequence[Scored]) -> bool:
    return "reward" in metric.needs and any("reward" in row.record.undefined for row in rows)
