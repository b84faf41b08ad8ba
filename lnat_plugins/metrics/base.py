"""A metric: what it declares about itself, and how its values are taken from scored responses.

What a metric's own functions return is checked here, where it is used.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np

from lnat_plugins.engine.types import ALL as STATISTICS
from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.errors import (
    NAME_RULE,
    PASSES_ON,
    ConfigError,
    LnatError,
    as_float,
    class_and_text,
    is_name,
    is_text,
    require,
    visible,
)
from lnat_plugins.metrics.steps import Steps, in_blocks, many_of
from lnat_plugins.scoring.record import StepSums

GLOBAL: Final = "global"
"""The window in which a step sees the whole trace before it."""

ALL: Final = "all"
"""Stands for every metric, where metrics are named; no metric may have this name."""

SCOPES: Final = ("response", "prompt", "corpus")
AGGREGATES: Final = ("mean", "ratio_of_means")
READS: Final = ("window", "global", "counts")

ONE_STUDENT: Final = "it compares the scores of two students, and these are of one"
LARGEST: Final = 1e100
"""Of any metric's values: the squares of what is larger are beyond floats."""

_NO_REASON: Final = "no reason was recorded"
_MANY: Final = 100
"""Responses from which on they are rated together."""


class Scored(Protocol):
    """A scored response, with the prompt that it answers."""

    @property
    def prompt_id(self) -> str:
        """Which prompt it answers."""

    @property
    def teacher(self) -> str:
        """Who wrote it."""

    @property
    def record(self) -> StepSums:
        """Its step sums."""

    @property
    def text(self) -> str:
        """The response, verbatim."""

    @property
    def correct(self) -> bool | None:
        """Whether it is right; None = unknown."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """The row's other columns."""


class UndefinedError(Exception):
    """Raised by a metric for responses that have no value. It never ends a run.

    Args:
        reason: reported with each of those responses.
        rows: their positions among the rows given; the others are computed again without them.
            Empty = all of the rows.
    """

    def __init__(self, reason: str, rows: Collection[int] = ()) -> None:
        super().__init__(reason)
        self.rows = frozenset(rows)


class Ratings(NamedTuple):
    """A metric's value of each response, NaN = undefined, and the reason ("" if defined)."""

    values: Sequence[float]
    reasons: Sequence[str]


@dataclass(frozen=True)
class Metric:
    """A named number for a response, with all that a table needs to print and rank by it.

    Attributes:
        name: of lower-case letters, digits and underscores.
        higher_is_better: None = descriptive, nothing may be ranked by it.
        scope: what `compute` looks at: one response, those of one prompt, or all.
        unit: "nats per token", "tokens", ...
        source: paper and section, and where this package deviates.
        aggregate: how responses become a teacher's figure: the mean of their values, or the mean of
            the first of their `parts` divided by the mean of the second.
        compute: scope "response": (record, window) -> the value, NaN if undefined. Other scopes:
            (rows, window) -> a value for each row, in order; only rows that hold what the metric
            reads and needs are given. Either may raise `UndefinedError`.
        reads: "window" = the sums of the requested window, "global" = those of the global one
            whatever is requested, "counts" = no log-probability at all.
        needs: statistics beyond log-probabilities, by their names in `lnat_plugins.engine.types`.
        parts: (record, window) -> numerator and denominator of one response; for "ratio_of_means",
            whose scope is "response".
        of_prefix: whether it may be taken where only a prefix of each response was scored: the
            mean of a prefix's tokens or steps is an estimate of the whole's, and counts and texts
            are of the whole anyway. If not, it is undefined there.
        owner: the plugin that registered the metric, for messages; set by the registry.

    Raises:
        ConfigError: a field that is not as above; names the metric and the field.
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
    of_prefix: bool = False
    owner: str = ""

    def __post_init__(self) -> None:
        check = partial(require, "metric", self)
        check("name", is_name(self.name), NAME_RULE)
        check("name", self.name != ALL, f"other than {ALL!r}, which stands for all of them")
        directed = isinstance(self.higher_is_better, bool | None)
        check("higher_is_better", directed, "True, False or None")
        for field, choices in (("scope", SCOPES), ("aggregate", AGGREGATES), ("reads", READS)):
            one_of = "one of " + ", ".join(f'"{one}"' for one in choices)
            value: object = getattr(self, field)
            check(field, isinstance(value, str) and value in choices, one_of)
        check("unit", is_text(self.unit), 'text such as "nats per token"')
        check("source", is_text(self.source), "text: a paper, or who defined it")
        check("compute", callable(self.compute), "a function")
        check("of_prefix", isinstance(self.of_prefix, bool), "True or False")
        needs: object = self.needs
        known = isinstance(needs, frozenset) and needs <= STATISTICS | {OTHER_LOG_PROB}
        check("needs", known, f"a frozenset of some of {', '.join(sorted(STATISTICS))}")
        ratio = self.aggregate == "ratio_of_means"
        parts = callable(self.parts) if ratio else self.parts is None
        check("parts", parts, 'a function with aggregate "ratio_of_means", else None')
        single = not ratio or self.scope == "response"
        check("scope", single, '"response" with aggregate "ratio_of_means"')

    @property
    def asked(self) -> frozenset[str]:
        """Of `needs` what the student itself is to give."""
        return self.needs - {OTHER_LOG_PROB}

    def window_read(self, window: str) -> str | None:
        """The window whose sums the metric reads when `window` is requested; None = none."""
        return {"window": window, "global": GLOBAL, "counts": None}[self.reads]

    def rate(
        self, rows: Sequence[Scored], window: str, steps: Sequence[Steps] | None = None
    ) -> Ratings:
        """The value of every row, in order; an undefined one has its reason.

        Args:
            rows: all that the metric may look at, in any order.
            window: a scored window.
            steps: those of the rows in blocks, where several metrics are taken from them.

        Raises:
            ConfigError: `compute` fails, or does not return a number (or NaN) for each row.
        """
        if not self.of_prefix and any(why := self._of_whole(row.record) for row in rows):
            return Ratings((math.nan,) * len(rows), (why,) * len(rows))
        if self.scope == "response":
            return self._rate_each(rows, window, steps)
        reasons = [self.lacks(row.record, window) for row in rows]
        values = [math.nan] * len(rows)
        groups: dict[object, list[int]] = {}
        for i, row in enumerate(rows):
            if not reasons[i]:
                key = row.prompt_id if self.scope == "prompt" else ""
                groups.setdefault(key, []).append(i)
        for group in groups.values():
            while group:
                try:
                    found = self._computed([rows[i] for i in group], window)
                except UndefinedError as cause:
                    out = {i for k, i in enumerate(group) if k in cause.rows} or set(group)
                    for i in out:
                        reasons[i] = _reason(cause)
                    group = [i for i in group if i not in out]
                    continue
                for i, value in zip(group, found, strict=True):
                    values[i] = value
                    if math.isnan(value):
                        reasons[i] = self._why_nan(rows[i].record, window)
                break
        return Ratings(tuple(values), tuple(reasons))

    def _rate_each(
        self, rows: Sequence[Scored], window: str, steps: Sequence[Steps] | None
    ) -> Ratings:
        """As `_rate_one` of each; what is defined, as almost all is, goes the short way."""
        compute, needs = self.compute, sorted(self.needs)
        values = [math.nan] * len(rows)
        reasons = [""] * len(rows)
        left: Iterable[int] = range(len(rows))
        if len(rows) >= _MANY and (many := many_of(compute)):
            steps = steps or in_blocks([row.record for row in rows])
            with np.errstate(all="ignore"):  # where NaN comes out, `compute` says why
                values_R = np.concatenate([many(block, window) for block in steps])
            asked_R = ~(np.abs(values_R) <= LARGEST)
            if needs:  # a reason stands before a number
                asked_R |= np.concatenate([block.undefined for block in steps])
            values, left = values_R.tolist(), np.flatnonzero(asked_R).tolist()
        for i in left:
            record = rows[i].record
            if needs and (reason := self.lacks(record, window)):
                values[i], reasons[i] = math.nan, reason
                continue
            try:
                value = compute(record, window)
            except UndefinedError as cause:
                value, reasons[i] = math.nan, _reason(cause)
            except (LnatError, *PASSES_ON):
                raise
            except BaseException as cause:
                raise self._failed(cause) from cause
            else:
                if type(value) is not float or not abs(value) <= LARGEST:
                    value = self._number(value, record)
                    reasons[i] = self._why_nan(record, window) if math.isnan(value) else ""
            values[i] = value
        return Ratings(tuple(values), tuple(reasons))

    def _rate_one(self, record: StepSums, window: str) -> tuple[float, str]:
        """The value of a response by itself, and the reason if it is undefined."""
        if (self.needs or record.prefix) and (reason := self.lacks(record, window)):
            return math.nan, reason
        try:
            value = self._number(self._call(self.compute, record, window), record)
        except UndefinedError as cause:
            return math.nan, _reason(cause)
        return value, self._why_nan(record, window) if math.isnan(value) else ""

    def of(self, record: StepSums, window: str) -> float:
        """The value of one response by itself, for a metric of scope "response"; or NaN."""
        return self._rate_one(record, window)[0]

    def parts_of(self, record: StepSums, window: str) -> tuple[float, float]:
        """Numerator and denominator of one response, for aggregate "ratio_of_means".

        Raises:
            ConfigError: `parts` fails or returns no pair of numbers.
        """
        assert self.parts is not None
        found: object = self._call(self.parts, record, window)
        if not isinstance(found, tuple) or len(found) != 2:
            raise self._wrong("gave no pair of numerator and denominator", found)
        return self._number(found[0], record), self._number(found[1], record)

    def lacks(self, record: StepSums, window: str) -> str:
        """What the metric reads or needs and this record does not hold; "" if it holds all."""
        if reason := self._of_whole(record):
            return reason
        read = self.window_read(window)
        if self.scope != "response" and (gap := _window_gap(record, read)):
            return gap
        for name in sorted(self.needs) if len(self.needs) > 1 else self.needs:
            if name in record.undefined:
                return record.undefined[name]
            if name not in record.statistics and name not in record.step_statistics:
                if name == OTHER_LOG_PROB:
                    return ONE_STUDENT
                # Requested, yet not there: what the metric needs has changed since.
                requested = record.settings.get("metrics") or ()
                return _not_gathered(name, again=self.name in requested or ALL in requested)
        return ""

    def _of_whole(self, record: StepSums) -> str:
        """Why the metric is undefined for the prefixes of a run; "" for whole responses."""
        if self.of_prefix or not record.prefix:
            return ""
        return f"it needs the whole response, and only the first {record.prefix} were scored"

    def _computed(self, rows: Sequence[Scored], window: str) -> list[float]:
        found = self._call(self.compute, rows, window)
        if not isinstance(found, Iterable):
            raise self._wrong(f"gave no list of {len(rows)} values", found)
        values = self._call(list, found)
        if len(values) != len(rows):
            raise self._wrong(f"gave {len(values)} values for {len(rows)} responses", values)
        return [self._number(value, row.record) for value, row in zip(values, rows, strict=True)]

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except (LnatError, UndefinedError, *PASSES_ON):
            raise
        except BaseException as cause:
            raise self._failed(cause) from cause

    def _failed(self, cause: BaseException) -> ConfigError:
        what = f"metric {self.name} failed: {class_and_text(cause)}"
        return ConfigError(what, where=self.owner, remedy="fix the metric")

    def _number(self, value: object, record: StepSums) -> float:
        number = as_float(value)
        if number is None or math.isinf(number):
            problem = f"gave no number for teacher {record.teacher!r}; undefined is NaN"
            raise self._wrong(problem, value)
        if abs(number) > LARGEST:
            problem = f"gave a number beyond {LARGEST:g} for teacher {record.teacher!r}"
            raise self._wrong(problem, value)
        return number

    def _wrong(self, problem: str, found: object) -> ConfigError:
        return ConfigError(
            f"metric {self.name} {problem}", where=self.owner, found=found, remedy="fix the metric"
        )

    def _why_nan(self, record: StepSums, window: str) -> str:
        read = self.window_read(window)
        if gap := _window_gap(record, read):
            return gap
        if read is not None and record.sums[read] is None:
            return "the back end gives only the total, not the steps"
        return _NO_REASON


def _reason(cause: UndefinedError) -> str:
    return visible(str(cause)) or _NO_REASON


@functools.cache
def _not_gathered(statistic: str, *, again: bool) -> str:
    """One text for all responses, which may be many."""
    why = ": older version, score again" if again else ""
    return f"the statistic {statistic!r} was not gathered{why}"


def _window_gap(record: StepSums, window: str | None) -> str:
    """Why the record has no sum of that window; "" if it has one, or none is read."""
    if window is None:
        return ""
    unscored = "" if window in record.sums else f"window {window!r} was not scored"
    return record.undefined.get(window, unscored)


def log_prob(record: StepSums) -> float:
    """Σ_t log p(y_t | x, y_<t) of the response, in nats; NaN if undefined or not scored."""
    return record.totals.get(GLOBAL, math.nan)


def summed(record: StepSums, statistic: str) -> float:
    """The sum of a step statistic over the response; NaN if undefined or not gathered."""
    return math.fsum(record.step_statistics.get(statistic, (math.nan,)))


def mean(values: list[float] | None) -> float:
    """The plain mean; NaN for none, and NaN as soon as one value is NaN."""
    return math.fsum(values) / len(values) if values else math.nan
