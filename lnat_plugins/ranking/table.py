"""The table that teachers are ranked by: one score per prompt and teacher, higher = better.

The metric's direction is applied here, once: whatever is computed from a table takes higher for
better, and only what is printed goes back to the metric's own scale. Shapes: P prompts,
T teachers, K parts of a value (1, or 2 for a ratio of means), R responses with a defined value.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.metrics import Metric, Ratings, Scored, score_again
from lnat_plugins.metrics.steps import Steps, in_blocks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIE: Final = 1e-12
"""Values this near each other, relative to their size (absolutely below 1), are equal: far
below any difference between scores, above the rounding of a mean."""


def winners(scores_PT: Floats, first_row_PT: Ints) -> tuple[Ints, int]:
    """The column that wins each prompt, and the number of prompts with a tie.

    Args:
        scores_PT: higher = better, defined everywhere.
        first_row_PT: decides ties; the lowest wins.
    """
    best_PT = shared_wins(scores_PT) > 0
    last = np.iinfo(np.int64).max
    winner_P: Ints = np.where(best_PT, first_row_PT, last).argmin(axis=1)
    return winner_P, int((best_PT.sum(axis=1) > 1).sum())


def shared_wins(scores_PT: Floats) -> Floats:
    """(P, T) each prompt's win: 1/t for each of the t teachers that tie for the best, else 0.

    So pairwise win rates are usually counted, a tie as half a win for either side.

    Args:
        scores_PT: higher = better, defined everywhere.
    """
    highest_P1 = scores_PT.max(axis=1, keepdims=True)
    best_PT = scores_PT >= highest_P1 - TIE * np.maximum(1.0, np.abs(highest_P1))
    return np.asarray(best_PT / best_PT.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class TeacherTable:
    """What teachers are compared by, one cell per prompt and teacher; higher = better.

    Attributes:
        teachers: T names; the order of the columns.
        parts: (K, P, T) means over the samples of a prompt and teacher that have a defined value;
            NaN if none has. K = 1: of the scores. K = 2: of the numerators of the scores, and of
            the denominators.
    """

    teachers: tuple[str, ...]
    parts: Floats

    @property
    def scores(self) -> Floats:
        """(P, T) one score per prompt and teacher; of a ratio of means its ratio, NaN by 0."""
        return self.parts[0] if len(self.parts) == 1 else _ratio(self.parts[0], self.parts[1])

    @cached_property
    def matched(self) -> Bools:
        """(P,) whether the prompt has a defined value for every teacher."""
        return np.asarray(np.isfinite(self.scores).all(axis=1))

    def columns(self, used_P: Bools) -> Floats:
        """(prompts used, K·T): what is averaged over prompts, part after part."""
        return np.concatenate(list(self.parts[:, used_P]), axis=1)

    def of_means(self, means: Floats) -> Floats:
        """The teachers' scores from means of `columns`: (…, K·T) -> (…, T), NaN by 0."""
        if len(self.parts) == 1:
            return means
        n_teachers = len(self.teachers)
        return _ratio(means[..., :n_teachers], means[..., n_teachers:])

    def teacher_scores(self, used_P: Bools) -> Floats:
        """(T,) the teachers' scores over those prompts; NaN by 0."""
        return self.of_means(self.columns(used_P).mean(axis=0))

    def influence(self, used_P: Bools) -> Floats:
        """(prompts used, T): what each prompt contributes to the scores, up to a constant.

        Of a mean its values; of a ratio R of means (numerator − R · denominator) / mean
        denominator, which is the derivative of R by the prompt's weight.
        """
        if len(self.parts) == 1:
            return np.asarray(self.parts[0, used_P])
        tops_PT, bottoms_PT = self.parts[:, used_P]
        return _ratio(
            tops_PT - self.teacher_scores(used_P) * bottoms_PT,
            np.broadcast_to(bottoms_PT.mean(axis=0), bottoms_PT.shape),
        )


@dataclass(frozen=True)
class ScoreTable(TeacherTable):
    """One metric over a set of responses, turned so that higher = better.

    Attributes:
        metric: with its own direction and unit.
        window: the window it reads; None if it reads none.
        first_row: (P, T) index of the first row with a defined value; decides ties.
        defined: (R,) indices of the rows with a defined value.
        response_scores, response_prompt, response_teacher: (R,) their scores, and the indices of
            their prompts and teachers.
        responses: T counts of rows, undefined ones included.
        undefined: T times reason -> rows without a defined value.
    """

    metric: Metric
    window: str | None
    first_row: Ints
    defined: Ints
    response_scores: Floats
    response_prompt: Ints
    response_teacher: Ints
    responses: tuple[int, ...]
    undefined: tuple[Mapping[str, int], ...]

    def metric_scale(self, scores: Floats) -> Floats:
        """Scores in the metric's own unit and direction; any shape."""
        return np.asarray(scores * _sign(self.metric) + 0.0)  # never -0.0

    def winners(self, used_P: Bools) -> tuple[Ints, int]:
        """The column that wins each of those prompts, and the number of them with a tie."""
        if np.array_equal(used_P, self.matched):
            return self._winners
        return winners(self.scores[used_P], self.first_row[used_P])

    @cached_property
    def _winners(self) -> tuple[Ints, int]:
        return winners(self.scores[self.matched], self.first_row[self.matched])

    def mean(self, values_R: Floats) -> Floats:
        """(P, T): the mean of a number that every defined response has."""
        shape = self.first_row.shape
        return cell_means(values_R, self.response_prompt, self.response_teacher, shape)


def cell_means(values_R: Floats, prompt_R: Ints, teacher_R: Ints, shape: tuple[int, ...]) -> Floats:
    """(P, T) = `shape`: the mean of the values of each prompt and teacher; NaN for none."""
    cell_R = prompt_R * shape[1] + teacher_R
    size = shape[0] * shape[1]
    counts = np.bincount(cell_R, minlength=size).astype(np.float64)
    sums = np.bincount(cell_R, values_R, minlength=size).astype(np.float64)
    return _ratio(sums, counts).reshape(shape)


def _sign(metric: Metric) -> int:
    return -1 if metric.higher_is_better is False else 1


def _ratio(numerators: Floats, denominators: Floats) -> Floats:
    nothing = np.full(numerators.shape, np.nan)
    found: Floats = np.divide(numerators, denominators, out=nothing, where=denominators != 0)
    return found


@dataclass(frozen=True)
class _Places:
    """Where N rows stand in a table.

    Attributes:
        prompt, teacher: (N,) indices.
        every: (N,) 0, 1, 2, …
        first_row: (P, T) as in `ScoreTable`, if every row has a value.
    """

    prompt: Ints
    teacher: Ints
    every: Ints
    first_row: Ints

    @classmethod
    def of(cls, rows: Sequence[Scored], prompts: Sequence[str], teachers: Sequence[str]) -> _Places:
        prompt_index = {prompt: index for index, prompt in enumerate(prompts)}
        teacher_index = {teacher: index for index, teacher in enumerate(teachers)}
        prompt_N = np.array([prompt_index[row.prompt_id] for row in rows], dtype=np.int64)
        teacher_N = np.array([teacher_index[row.teacher] for row in rows], dtype=np.int64)
        shape, every_N = (len(prompts), len(teachers)), np.arange(len(rows))
        return cls(prompt_N, teacher_N, every_N, _first_rows(prompt_N, teacher_N, every_N, shape))


def _first_rows(prompt_R: Ints, teacher_R: Ints, row_R: Ints, shape: tuple[int, int]) -> Ints:
    found = np.full(shape, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(found, (prompt_R, teacher_R), row_R)
    return found


class RowsWithTables(Sequence[Scored]):
    """Scored responses that keep their tables, where many figures are taken from the same metrics.

    A report of 400,000 responses computes each metric once instead of four times.

    Args:
        rows: the responses.
        keep_values: whether the values of each response are kept, for `rate`, in place of tables.

    Attributes:
        drawn: key of a metric, resamples, seed -> the means over resamples of the metric's matched
            prompts, (B, K·T), where `compare` drew them.
    """

    def __init__(self, rows: Sequence[Scored], *, keep_values: bool = False) -> None:
        self._rows = rows
        self._keep_values = keep_values
        self.drawn: dict[tuple[object, ...], Floats] = {}
        self._tables: dict[tuple[object, ...], ScoreTable] = {}
        self._places: dict[tuple[object, ...], _Places] = {}
        self._ratings: dict[tuple[Metric, str], Ratings] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Scored]:
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int) -> Scored: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Scored]: ...
    def __getitem__(self, index: int | slice) -> Scored | Sequence[Scored]:
        return self._rows[index]

    def places(self, prompts: Sequence[str], teachers: Sequence[str]) -> _Places:
        """As `_Places.of`, once."""
        key = (tuple(prompts), tuple(teachers))
        if key not in self._places:
            self._places[key] = _Places.of(self._rows, prompts, teachers)
        return self._places[key]

    @staticmethod
    def key(metric: Metric, window: str | None) -> tuple[Metric, str]:
        """The same for what gives the same values: whoever registered it, and a window unread."""
        return replace(metric, owner=""), (window or "") if metric.reads == "window" else ""

    def rate(self, metric: Metric, window: str) -> Ratings:
        """As `metric.rate` of the rows, once, in few bytes."""
        key = self.key(metric, window)
        if key in self._ratings:
            return self._ratings[key]
        found = metric.rate(self._rows, window, self._steps)
        reasons = found.reasons if any(found.reasons) else self._no_reasons
        found = Ratings(array("d", found.values), reasons)
        if self._keep_values:
            self._ratings[key] = found
        return found

    @cached_property
    def _steps(self) -> list[Steps]:
        return in_blocks([row.record for row in self._rows])

    @cached_property
    def _no_reasons(self) -> tuple[str, ...]:
        return ("",) * len(self._rows)

    def table(
        self, prompts: Sequence[str], teachers: Sequence[str], metric: Metric, window: str, *,
        keep: bool = True,
    ) -> ScoreTable:  # fmt: skip
        """As `score_table`; a table that is not kept is made for each call."""
        key = (tuple(prompts), tuple(teachers), self.key(metric, window))
        if key in self._tables:
            return self._tables[key]
        places = self.places(prompts, teachers)
        rated = self.rate(metric, window) if keep else metric.rate(self._rows, window, self._steps)
        table = _table(self._rows, rated, places, teachers, metric, window)
        if keep and (metric.parts is not None or not self._keep_values):  # else quickly made again
            self._tables[key] = table
        return table


def score_table(
    rows: Sequence[Scored], prompts: Sequence[str], teachers: Sequence[str], metric: Metric,
    window: str, *, keep: bool = True,
) -> ScoreTable:  # fmt: skip
    """Compute the metric for every row and average the samples of each prompt and teacher.

    Rows that keep their tables do not keep this one without `keep`.
    """
    if isinstance(rows, RowsWithTables):
        return rows.table(prompts, teachers, metric, window, keep=keep)
    places = _Places.of(rows, prompts, teachers)
    return _table(rows, metric.rate(rows, window), places, teachers, metric, window)


def _table(
    rows: Sequence[Scored], rated: Ratings, places: _Places, teachers: Sequence[str],
    metric: Metric, window: str,
) -> ScoreTable:  # fmt: skip
    prompt_N, teacher_N = places.prompt, places.teacher
    values, reasons = rated
    values_N = np.asarray(values, dtype=np.float64)  # where they are kept, these themselves
    parts_NK = values_N[:, None].copy()
    if metric.parts is not None:
        parts_NK = np.full((len(rows), 2), np.nan)
        for index in np.flatnonzero(np.isfinite(values_N)).tolist():
            parts_NK[index] = metric.parts_of(rows[index].record, window)
    finite_N = np.isfinite(values_N) & np.isfinite(parts_NK).all(axis=1)
    by_zero_N = finite_N & (parts_NK[:, 1:] == 0).any(axis=1)
    undefined: list[Counter[str]] = [Counter() for _ in teachers]
    for index in np.flatnonzero(~finite_N | by_zero_N).tolist():
        reason = reasons[index] or "the value is not finite"
        undefined[teacher_N[index]]["the denominator is 0" if by_zero_N[index] else reason] += 1

    defined, first_row_PT, scores_R = places.every, places.first_row, values_N
    prompt_R, teacher_R = prompt_N, teacher_N
    if not (finite_N & ~by_zero_N).all():
        defined = np.flatnonzero(finite_N & ~by_zero_N)
        prompt_R, teacher_R, scores_R = prompt_N[defined], teacher_N[defined], values_N[defined]
        first_row_PT = _first_rows(prompt_R, teacher_R, defined, places.first_row.shape)
    parts_NK[:, 0] *= _sign(metric)
    return ScoreTable(
        teachers=tuple(teachers),
        parts=np.stack([
            cell_means(values_R, prompt_R, teacher_R, first_row_PT.shape)
            for values_R in parts_NK[defined].T
        ]),
        metric=metric,
        window=metric.window_read(window),
        first_row=first_row_PT,
        defined=defined,
        response_scores=scores_R if _sign(metric) > 0 else -scores_R,
        response_prompt=prompt_R,
        response_teacher=teacher_R,
        responses=tuple(np.bincount(teacher_N, minlength=len(teachers)).tolist()),
        undefined=tuple(map(dict, undefined)),
    )  # fmt: skip


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


def check_scores(table: ScoreTable, rows: Sequence[Scored]) -> None:
    """Raise DataError unless all teachers have a score on the prompts that are matched."""
    metric, used_P = table.metric, table.matched
    if not len(table.defined):
        raise DataError(
            f"no response has a value of {metric.name}",
            found=_counted(*table.undefined), remedy=_remedy(metric, rows),
        )  # fmt: skip
    if not used_P.any():
        column, n_scored, why = _least_covered(table)
        raise DataError(
            f"no prompt has {metric.name} for every teacher, so that they cannot be compared",
            where=f"teacher {table.teachers[column]!r}",
            found=f"{n_scored} of {len(used_P)} prompts scored"
            + (f"; undefined: {why}" if why else ""),
            remedy="leave that teacher out (--teachers), or score it on the prompts of the others",
        )
    finite_T = np.isfinite(table.teacher_scores(used_P))
    if not finite_T.all():
        raise DataError(
            f"{metric.name} is undefined: {_BY_ZERO}",
            where=f"teacher {table.teachers[int(finite_T.argmin())]!r}",
            remedy="leave that teacher out (--teachers), or rank by another metric",
        )


def cannot_compare(table: ScoreTable, rows: Sequence[Scored]) -> str:
    """Why this metric cannot be set beside others, and what would help; "" if it can."""
    metric, used_P = table.metric, table.matched
    if metric.higher_is_better is None:
        return "it describes, and has no better or worse"
    if not len(table.defined):
        if not_gathered(metric, rows):
            return f"not gathered: {score_again('it')}"
        why = _counted(*table.undefined)
        return f"{why}: {_REWARD}" if _without_reward(metric, rows) else why
    if not used_P.any():
        column, _, why = _least_covered(table)
        least = f"no prompt has it for every teacher, least often {table.teachers[column]}"
        return f"{least}: {why}" if why else least
    finite_T = np.isfinite(table.teacher_scores(used_P))
    without = [name for name, finite in zip(table.teachers, finite_T, strict=True) if not finite]
    return f"{_BY_ZERO} of {', '.join(without)}" if without else ""


def not_gathered(metric: Metric, rows: Sequence[Scored]) -> bool:
    """Whether the scoring run did not gather what the metric needs, and could have."""
    return any(
        (row.record.path != "loglikelihood" or name == "reward")
        and not any(name in held for held in (
            row.record.undefined, row.record.statistics, row.record.step_statistics
        ))
        for row in rows
        for name in metric.asked
    )  # fmt: skip


def _least_covered(table: ScoreTable) -> tuple[int, int, str]:
    """The teacher with a score on the fewest prompts, on how many, and why not on others."""
    scored_T = np.isfinite(table.scores).sum(axis=0)
    column = int(scored_T.argmin())
    return column, int(scored_T[column]), _counted(table.undefined[column])


def _counted(*undefined: Mapping[str, int]) -> str:
    reasons: Counter[str] = sum(map(Counter, undefined), Counter())
    return "; ".join(f"{reason} ({count})" for reason, count in reasons.items())


def _remedy(metric: Metric, rows: Sequence[Scored]) -> str:
    if not_gathered(metric, rows):
        return score_again(metric.name)
    if _without_reward(metric, rows):
        return f"{_REWARD}, or rank by another metric"
    return "rank by another metric" + ("" if metric.needs else " or window")


def _without_reward(metric: Metric, rows: Sequence[Scored]) -> bool:
    return "reward" in metric.needs and any("reward" in row.record.undefined for row in rows)
