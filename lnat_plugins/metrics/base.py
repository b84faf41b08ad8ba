"""What a metric declares, so that nothing downstream has to guess it.

Knows nothing of files, hosts and of how a metric is computed. Most metrics see one scored response
at a time; some need all responses to its prompt, or the whole corpus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from lnat_plugins.scoring.record import StepSums

GLOBAL: Final = "global"
"""The window that sees the whole trace before the step."""

SCOPES: Final = ("response", "prompt", "corpus")
AGGREGATES: Final = ("mean", "ratio_of_means")
READS: Final = ("window", "global", "counts")

_UNTOLD: Final = "no reason was recorded"


class Scored(Protocol):
    """A scored response; `store.ScoredRow` is one."""

    @property
    def prompt_id(self) -> str:
        """Which prompt it answers."""

    @property
    def teacher(self) -> str:
        """Who wrote it."""

    @property
    def record(self) -> StepSums:
        """Its step sums."""


class UndefinedError(Exception):
    """Raised by a metric for responses that have no value. It never ends a run.

    Args:
        reason: told with each of those responses, and counted.
        rows: their places among the rows given; the metric is asked again without them. Empty
            = all of the rows.
    """

    def __init__(self, reason: str, rows: Collection[int] = ()) -> None:
        super().__init__(reason)
        self.rows = frozenset(rows)


class Ratings(NamedTuple):
    """A metric's values of several responses, in order, and why those that are NaN are.

    Attributes:
        values: NaN = undefined.
        reasons: "" where the value is defined.
    """

    values: tuple[float, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A named number for a response, with all that a table needs to print and rank by it.

    Attributes:
        name: as written on the command line and in results.
        higher_is_better: the direction; None = descriptive, nothing may be ranked by it.
        scope: what `compute` looks at: one response, those of one prompt, or all.
        unit: "nats per token", "tokens", ...
        source: paper and section, and where this package deviates.
        aggregate: how responses become a teacher's figure: the mean of their values, or the mean of
            the first of their `parts` divided by the mean of the second.
        compute: scope "response": (record, window) -> the value; NaN if undefined, never a stand-in
            number. Otherwise (rows, window) -> a value for each row, in order; it gets only rows
            that hold what the metric reads and needs. Either may raise `UndefinedError`.
        reads: "window" = the sums of the window asked for, "global" = those of the global
            window whatever is asked for, "counts" = no log-probability at all.
        needs: statistics beyond log-probabilities, by their names in `statistics_names`.
        parts: (record, window) -> numerator and denominator of one response; for "ratio_of_means".
    """

    name: str
    higher_is_better: bool | None
    scope: Literal["response", "prompt", "corpus"]
    unit: str
    source: str
    aggregate: Literal["mean", "ratio_of_means"]
    compute: Callable[..., Any]
    reads: Literal["window", "global", "counts"]
    needs: frozenset[str] = frozenset()
    parts: Callable[[StepSums, str], tuple[float, float]] | None = None

    def window_read(self, window: str) -> str | None:
        """The window whose sums the metric reads when `window` is asked for; None = none."""
        return {"window": window, "global": GLOBAL, "counts": None}[self.reads]

    def rate(self, rows: Sequence[Scored], window: str) -> Ratings:
        """The value of every row, in order; an undefined one has its reason.

        Args:
            rows: all that the metric may look at. For scope "prompt" those of several prompts may
                stand in any order.
            window: a scored window; ignored by metrics that read none or the global one.
        """
        reasons = [self.lacks(row.record, window) for row in rows]
        values = [math.nan] * len(rows)
        for group in self._groups(rows, reasons):
            while group:
                try:
                    found = self._compute([rows[i] for i in group], window)
                except UndefinedError as cause:
                    out = {i for place, i in enumerate(group) if place in cause.rows} or set(group)
                    for i in out:
                        reasons[i] = str(cause) or _UNTOLD
                    group = [i for i in group if i not in out]
                    continue
                for i, value in zip(group, found, strict=True):
                    values[i] = value
                    if math.isnan(value):
                        reasons[i] = self._unexplained(rows[i].record, window)
                break
        return Ratings(tuple(values), tuple(reasons))

    def of(self, record: StepSums, window: str) -> float:
        """The value of one response by itself, for a metric of scope "response"; or NaN."""
        return self.rate([_Alone(record)], window).values[0]

    def _compute(self, rows: Sequence[Scored], window: str) -> Sequence[float]:
        if self.scope == "response":
            return [float(self.compute(row.record, window)) for row in rows]
        return [float(value) for value in self.compute(rows, window)]

    def _groups(self, rows: Sequence[Scored], reasons: Sequence[str]) -> list[list[int]]:
        """Places of the rows to be computed together, by first appearance."""
        groups: dict[object, list[int]] = {}
        for i, row in enumerate(rows):
            if not reasons[i]:
                key = {"response": i, "prompt": row.prompt_id, "corpus": ""}[self.scope]
                groups.setdefault(key, []).append(i)
        return list(groups.values())

    def lacks(self, record: StepSums, window: str) -> str:
        """What the metric reads or needs and this record does not hold; "" if it holds all."""
        if not record.n_tokens:
            counts = self.scope == "response" and self.reads == "counts"
            return "" if counts else "the response holds no token"
        read = self.window_read(window)
        if self.scope != "response" and read is not None:
            if read in record.undefined:
                return record.undefined[read]
            if read not in record.sums:
                return f"window {read!r} was not scored"
        for name in sorted(self.needs):
            if name in record.undefined:
                return record.undefined[name]
            if name not in record.statistics and name not in record.step_statistics:
                return f"the statistic {name!r} was not gathered"
        return ""

    def _unexplained(self, record: StepSums, window: str) -> str:
        if not record.n_tokens:
            return "the response holds no token"
        read = self.window_read(window)
        if read is None:
            return _UNTOLD
        if read in record.undefined:
            return record.undefined[read]
        if read not in record.sums:
            return f"window {read!r} was not scored"
        if record.sums[read] is None:
            return "the back end gives only the total, not the steps"
        return _UNTOLD


class _Alone(NamedTuple):
    record: StepSums
    prompt_id: str = ""
    teacher: str = ""


def step_means(record: StepSums, window: str) -> list[float] | None:
    """Σ log p / tokens of each step that holds a token, in nats per token.

    None if the window was not scored, or if only its total is known. A step without a token
    (its characters all lie in a token begun earlier) has no mean and is left out.
    """
    sums = record.sums.get(window)
    if sums is None:
        return None
    return [total / count for total, count in zip(sums, record.tokens, strict=True) if count]


def log_prob(record: StepSums) -> float:
    """Σ_t log p(y_t | x, y_<t) of the response, in nats; NaN if undefined or not scored."""
    return record.totals.get(GLOBAL, math.nan)


def summed(record: StepSums, statistic: str) -> float:
    """The sum of a step statistic over the response; NaN if undefined or not gathered."""
    return math.fsum(record.step_statistics.get(statistic, (math.nan,)))


def mean(values: list[float] | None) -> float:
    """The plain mean; NaN for none, and NaN as soon as one value is NaN."""
    return math.fsum(values) / len(values) if values else math.nan
