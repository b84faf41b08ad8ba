"""What a plugin's functions answer, checked where it enters; a failure names the plugin.

Knows nothing of tables. Each wrapper is called as the function that it wraps. An LnatError
passes through; any other exception, and an answer of the wrong kind, becomes a ConfigError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.metrics import Scored, UndefinedError
from lnat_plugins.record import StepSums
from lnat_plugins.selection import Choice, Contest
from lnat_plugins.steps import Span
from lnat_plugins.teacher_set import Row


@dataclass(frozen=True)
class _Checked:
    """What is wrapped ("splitter clauses@1"), and the plugin that it comes from."""

    what: str
    owner: str

    def wrong(self, complaint: str, found: object) -> ConfigError:
        return ConfigError(
            f"{self.what} {complaint}", where=self.owner, found=found, remedy="mend the plugin"
        )

    def failed(self, cause: Exception) -> ConfigError:
        return ConfigError(
            f"{self.what} failed: {type(cause).__name__}: {cause}",
            where=self.owner,
            remedy="mend the plugin",
        )

    def number(self, value: object, record: StepSums) -> float:
        """A value that a metric may give."""
        if isinstance(value, bool) or not isinstance(value, Real) or math.isinf(value):
            raise self.wrong(
                f"gave no number for teacher {record.teacher!r}; undefined is NaN", value
            )
        return float(value)

    def ask(self, function: Callable[..., object], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except (LnatError, UndefinedError):
            raise
        except Exception as cause:
            raise self.failed(cause) from cause


@dataclass(frozen=True)
class CheckedSplit(_Checked):
    """`Splitter.split`: the spans must be contiguous, non-empty and tile the text."""

    split: Callable[[str], list[Span]]

    def __call__(self, text: str) -> list[Span]:
        """The spans of the text."""
        found = self.ask(self.split, text)
        try:
            spans = [(operator.index(start), operator.index(end)) for start, end in found]
        except (TypeError, ValueError):
            raise self.wrong("gave no list of (start, end) spans", found) from None
        reached = 0
        for start, end in spans:
            if start != reached or end <= start:
                raise self.wrong(
                    f"left a gap, overlapped or gave an empty step at character {reached}",
                    (start, end),
                )
            reached = end
        if reached != len(text):
            raise self.wrong(f"ended at another character than the text, at {reached}", text)
        return spans


@dataclass(frozen=True)
class CheckedCompute(_Checked):
    """`Metric.compute`: the value must be a number, finite or NaN."""

    compute: Callable[[StepSums, str], float]

    def __call__(self, record: StepSums, window: str) -> float:
        """The metric of one response."""
        return self.number(self.ask(self.compute, record, window), record)


@dataclass(frozen=True)
class CheckedRate(_Checked):
    """`Metric.compute` over several responses: a number for each, finite or NaN."""

    compute: Callable[[Sequence[Scored], str], Sequence[float]]

    def __call__(self, rows: Sequence[Scored], window: str) -> list[float]:
        """The metric of each response."""
        found = self.ask(self.compute, rows, window)
        if not isinstance(found, Iterable):
            raise self.wrong(f"gave no list of {len(rows)} values", found)
        values = list(found)
        if len(values) != len(rows):
            raise self.wrong(f"gave {len(values)} values for {len(rows)} responses", values)
        return [self.number(value, row.record) for value, row in zip(values, rows, strict=True)]


@dataclass(frozen=True)
class CheckedParts(_Checked):
    """`Metric.parts`: numerator and denominator, each a number."""

    parts: Callable[[StepSums, str], tuple[float, float]]

    def __call__(self, record: StepSums, window: str) -> tuple[float, float]:
        """The parts of one response."""
        found = self.ask(self.parts, record, window)
        if not isinstance(found, tuple) or len(found) != 2:
            raise self.wrong("gave no pair of numerator and denominator", found)
        return self.number(found[0], record), self.number(found[1], record)


@dataclass(frozen=True)
class CheckedChoose(_Checked):
    """`Strategy.choose`: a `Choice` of whole numbers; which ones is checked where it is used."""

    choose: Callable[[Contest], Choice]

    def __call__(self, contest: Contest) -> Choice:
        """The strategy's choice."""
        choice = self.ask(self.choose, contest)
        if not isinstance(choice, Choice):
            raise self.wrong("gave no `Choice`", choice)
        try:
            weights = choice.weights
            return replace(
                choice,
                positions=tuple(map(operator.index, choice.positions)),
                weights=None
                if weights is None
                else {operator.index(place): float(weight) for place, weight in weights.items()},
                reasons={operator.index(place): str(why) for place, why in choice.reasons.items()},
                ties=operator.index(choice.ties),
            )
        except (TypeError, ValueError, AttributeError) as cause:
            raise self.wrong(f"gave a `Choice` that cannot be read ({cause})", choice) from None


@dataclass(frozen=True)
class CheckedCheck(_Checked):
    """`Strategy.check`: it refuses by an LnatError; its answer says nothing."""

    check: Callable[[Mapping[str, Any], Sequence[str], str], None]

    def __call__(self, options: Mapping[str, Any], teachers: Sequence[str], where: str) -> None:
        """Nothing, or the strategy's refusal."""
        self.ask(self.check, options, teachers, where)


@dataclass(frozen=True)
class CheckedRead(_Checked):
    """`Loader.read`; a file that cannot be opened is the file's fault and passes through too."""

    read: Callable[[Path, str], Iterable[Row | Mapping[str, Any]]]

    def __call__(self, path: Path, shown: str) -> Iterator[Row | Mapping[str, Any]]:
        """The rows of one file."""
        try:
            yield from self.read(path, shown)
        except (LnatError, OSError):
            raise
        except Exception as cause:
            raise self.failed(cause) from cause
