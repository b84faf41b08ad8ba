"""What one scored response leaves behind: per-step sums, counts, and how they came about.

Knows nothing of models, prompts, files and hosts. The record travels as JSON text inside
lm-eval's samples file. Sums and counts are carried and means are taken once, by the metrics.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Candidate, Response

T = TypeVar("T")

_REMEDY = "score the responses again; the file was cut, edited, or written by another version"


@dataclass(frozen=True)
class RequestedMetrics:
    """The metrics that a run serves, and the statistics that each needs beside log-probabilities.

    Attributes:
        needs: metric -> names of `engine.types` statistics, in the order requested.
        optional: whether these are simply all metrics there are. Then one whose statistics are
            unavailable is undefined, and each record says why; a metric requested by name is
            refused.
    """

    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    optional: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names."""
        return tuple(self.needs)

    @property
    def statistics(self) -> frozenset[str]:
        """What the metrics need together."""
        return frozenset().union(*self.needs.values())

    def check_student(self, unavailable: Mapping[str, str]) -> None:
        """Before any forward: can this back end serve the metrics?

        Args:
            unavailable: statistic -> why the back end cannot give it.

        Raises:
            StudentError: a metric requested by name needs one of them.
        """
        for metric, needs in () if self.optional else self.needs.items():
            for name in sorted(needs & unavailable.keys()):
                raise StudentError(
                    f"metric {metric!r} cannot be had here: {unavailable[name]}",
                    remedy="leave it out, or score with `--model hf` and a student that has it",
                )

    def check_reward(self, response: Response) -> None:
        """Raises DataError if a metric requested by name needs a reward that the row lacks."""
        needed = (
            [] if self.optional else [m for m, needs in self.needs.items() if "reward" in needs]
        )
        if needed and reward_of(response.extra, response.where) is None:
            raise DataError(
                f"metric {needed[0]!r} needs a reward, and this row has none",
                where=response.where,
                remedy="give the rows a column `reward`, or leave the metric out",
            )


@dataclass(frozen=True)
class StepSums:
    """One response, scored under one or several windows. n steps; all sums in nats.

    Attributes:
        teacher: who wrote the response.
        sample: which of the teacher's responses to this prompt.
        spans: n pairs (start, end) of character offsets that tile the response.
        tokens: n token counts; 0 for a step whose characters all lie in a token begun earlier.
        sums: window -> n sums of log p over the step's tokens (NaN = undefined for that step),
            or None where the back end gives only the total.
        totals: window -> the sum over all steps (NaN = undefined).
        undefined: window or statistic -> reason, for each with a NaN among its numbers.
        path: which engine path scored it: "packed", "batched" or "loglikelihood".
        settings: the task's settings, as `Settings.as_dict()` gives them.
        settings_hash: their fingerprint.
        splitter: name and version, such as "sentence@1".
        versions: package -> version.
        step_statistics: statistic -> n sums over the step's tokens, under the global window.
        statistics: statistic -> one number for the response (NaN = undefined). What the names of
            both mean stands in `statistics_names`; `undefined` holds the reason for each NaN.
    """

    teacher: str
    sample: int | str
    spans: tuple[tuple[int, int], ...]
    tokens: tuple[int, ...]
    sums: Mapping[str, tuple[float, ...] | None]
    totals: Mapping[str, float]
    undefined: Mapping[str, str]
    path: str
    settings: Mapping[str, Any]
    settings_hash: str
    splitter: str
    versions: Mapping[str, str]
    step_statistics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    statistics: Mapping[str, float] = field(default_factory=dict)

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole response."""
        return sum(self.tokens)

    @property
    def n_steps(self) -> int:
        """Steps that hold at least one token; the others have no mean and no weight."""
        return sum(1 for count in self.tokens if count)

    def to_json(self) -> str:
        """One line of JSON text; NaN becomes null.

        Raises:
            DataError: a sum is infinite, which JSON cannot hold and no mean survives.
        """
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        where = f"teacher {self.teacher!r}, sample {self.sample!r}"
        fields["sums"] = {
            window: sums if sums is None else [_null_for_nan(value, where) for value in sums]
            for window, sums in self.sums.items()
        }
        for name in ("totals", "statistics"):
            fields[name] = {key: _null_for_nan(value, where) for key, value in fields[name].items()}
        fields["step_statistics"] = {
            name: [_null_for_nan(value, where) for value in values]
            for name, values in self.step_statistics.items()
        }
        for name in ("settings", "undefined", "versions"):
            fields[name] = dict(fields[name])
        return json.dumps(fields, allow_nan=False)

    @classmethod
    def from_json(cls, record: str | Mapping[str, Any], where: str = "") -> StepSums:
        """Read `to_json`'s text, or the object parsed from it; null becomes NaN.

        Raises:
            DataError: not a record, or its parts do not fit each other; names `where` and field.
        """
        return _Reader(_as_mapping(record, where), where).read()


@dataclass(frozen=True)
class ScoredResponse:
    """A candidate with its record: the row that travels from scoring to ranking and selection."""

    candidate: Candidate
    record: StepSums

    @property
    def prompt_id(self) -> str:
        """Rows with the same id answer the same prompt."""
        return self.candidate.prompt_id

    @property
    def teacher(self) -> str:
        """Who wrote the response."""
        return self.candidate.teacher

    @property
    def sample(self) -> int | str:
        """Which of the teacher's responses to this prompt."""
        return self.candidate.response.sample

    @property
    def text(self) -> str:
        """The response, verbatim."""
        return self.candidate.text

    @property
    def correct(self) -> bool | None:
        """As the teacher set says; None = it does not."""
        return self.candidate.response.correct

    @property
    def where(self) -> str:
        """File and row, for messages."""
        return self.candidate.where


def _null_for_nan(value: float, where: str) -> float | None:
    if math.isinf(value):
        raise DataError("a step sum is infinite", where=where, found=value)
    return None if math.isnan(value) else float(value)


def _as_mapping(record: str | Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parsed: object = record
    if isinstance(record, str):
        try:
            parsed = json.loads(record)
        except ValueError:
            parsed = None
    if not isinstance(parsed, Mapping) or not {"spans", "tokens", "sums"} <= parsed.keys():
        raise DataError("not a scored record", where=where, found=record, remedy=_REMEDY)
    return parsed


class _Reader:
    """Checks a record field by field, so that an error can name the field."""

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self.raw = raw
        self.where = where

    def read(self) -> StepSums:
        record = StepSums(
            teacher=self.take("teacher", _text),
            sample=self.take("sample", _sample),
            spans=self.take("spans", lambda spans: tuple(_span(span) for span in _list(spans))),
            tokens=self.take("tokens", lambda counts: tuple(_count(c) for c in _list(counts))),
            sums=self.take("sums", lambda sums: _map(sums, _sums)),
            totals=self.take("totals", lambda totals: _map(totals, _number)),
            undefined=self.take("undefined", lambda reasons: _map(reasons, _text)),
            path=self.take("path", _text),
            settings=self.take("settings", lambda settings: _map(settings, lambda value: value)),
            settings_hash=self.take("settings_hash", _text),
            splitter=self.take("splitter", _text),
            versions=self.take("versions", lambda versions: _map(versions, _text)),
            step_statistics=self.take("step_statistics", lambda n: _map(n, _known_sums), {}),
            statistics=self.take("statistics", lambda named: _map(named, _number), {}),
        )
        self.check_shapes(record)
        return record

    def take(self, name: str, convert: Callable[[Any], T], otherwise: object = None) -> T:
        value = self.raw.get(name, otherwise)
        if name not in self.raw and otherwise is None:
            raise DataError(
                f"the record lacks the field {name!r}", where=self.where, remedy=_REMEDY
            )
        try:
            return convert(value)
        except _ShapeError:
            raise self.error(name, "has the wrong shape", value) from None

    def error(self, name: str, problem: str, found: object) -> DataError:
        return DataError(
            f"the record's field {name!r} {problem}", where=self.where, found=found, remedy=_REMEDY
        )

    def check_shapes(self, record: StepSums) -> None:
        n = len(record.spans)
        if len(record.tokens) != n:
            raise self.error(
                "tokens", f"does not hold a count for each of {n} steps", record.tokens
            )
        if record.sums.keys() != record.totals.keys():
            raise self.error("totals", "does not hold the windows of 'sums'", sorted(record.totals))
        for name, values in record.step_statistics.items():
            if len(values) != n:
                problem = f"does not hold a sum for each of {n} steps in {name!r}"
                raise self.error("step_statistics", problem, values)
            self.check_reason(record, name, values)
        for name, value in record.statistics.items():
            self.check_reason(record, name, [value])
        for window, sums in record.sums.items():
            if sums is not None and len(sums) != n:
                problem = f"does not hold a sum for each of {n} steps in window {window!r}"
                raise self.error("sums", problem, sums)
            self.check_reason(record, window, [record.totals[window], *(sums or ())])

    def check_reason(self, record: StepSums, name: str, values: Sequence[float]) -> None:
        if any(map(math.isnan, values)) and name not in record.undefined:
            problem = f"does not say why {name!r} is undefined"
            raise self.error("undefined", problem, dict(record.undefined))


class _ShapeError(Exception):
    """Raised by the converters below; never leaves this module."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _ShapeError
    return value


def _sample(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _ShapeError
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _ShapeError
    return value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _ShapeError
    return float(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _ShapeError
    return value


def _span(value: Any) -> tuple[int, int]:
    if len(_list(value)) != 2:
        raise _ShapeError
    return _count(value[0]), _count(value[1])


def _sums(value: Any) -> tuple[float, ...] | None:
    return None if value is None else _known_sums(value)


def _known_sums(value: Any) -> tuple[float, ...]:
    return tuple(_number(entry) for entry in _list(value))


def _map(value: Any, convert: Callable[[Any], T]) -> dict[str, T]:
    if not isinstance(value, Mapping):
        raise _ShapeError
    return {str(key): convert(entry) for key, entry in value.items()}
