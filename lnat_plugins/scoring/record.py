"""Scored records: per-step sums and counts of one response, as they travel in samples files.

Sums and counts are carried and means are taken once, by the metrics. A record is one line of JSON
text inside lm-eval's samples file, where NaN is null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.errors import DataError, StudentError, validate
from lnat_plugins.files import RepeatedKeyError, parse_json
from lnat_plugins.scoring.packed import PackedSpans, pack
from lnat_plugins.scoring.stored import StoredRecord, quick_record
from lnat_plugins.scoring.token_values import TokensInFile, TokenValues
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Candidate, ConversationTurn, Response

_REMEDY: Final = (
    "score the responses again; the file was cut, edited, or written by another version"
)
_ROUNDING: Final = 1e-6
"""Nats a token by which rounding may put a log-probability above 0; relative, of a sum."""


@dataclass(frozen=True)
class RequestedMetrics:
    """The metrics that a run is scored for, and the statistics that each needs.

    Attributes:
        needs: metric -> names of statistics in `engine.types` beside log-probabilities.
        optional: whether these are all metrics there are. Then one whose statistics are
            unavailable is undefined, with the reason in each record; else it is refused.
    """

    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    optional: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names."""
        return tuple(self.needs)

    @property
    def statistics(self) -> frozenset[str]:
        """What the student is to give for the metrics together."""
        return frozenset().union(*self.needs.values()) - {OTHER_LOG_PROB}

    def check_student(self, unavailable: Mapping[str, str]) -> None:
        """Raises StudentError if a metric requested by name needs what one student cannot give.

        That is a statistic that is unavailable, or the scores of another student. Called before any
        forward.

        Args:
            unavailable: statistic -> why the back end cannot give it.
        """
        for metric, needs in self._required.items():
            if OTHER_LOG_PROB in needs:
                raise StudentError(
                    f"metric {metric!r} compares the scores of two students, and one reads here",
                    remedy="leave it out, score with each of the two, and name both outputs: "
                    f"`lnat rank OUT OTHER_OUT --metric {metric}`",
                )
            for name in sorted(needs & unavailable.keys()):
                raise StudentError(
                    f"metric {metric!r} is not supported by this back end: {unavailable[name]}",
                    remedy="leave it out, or score with `--model hf` and a student that has it",
                )

    def check_reward(self, response: Response) -> None:
        """Raises DataError if a metric requested by name needs a reward that the row lacks."""
        needed = [metric for metric, needs in self._required.items() if "reward" in needs]
        if needed and reward_of(response.extra, response.where) is None:
            raise DataError(
                f"metric {needed[0]!r} needs a reward, and this row has none",
                where=response.where,
                remedy="give the rows a column `reward`, or leave the metric out",
            )

    @property
    def _required(self) -> Mapping[str, frozenset[str]]:
        return {} if self.optional else self.needs


@dataclass(frozen=True, slots=True)
class StepSums:
    """One response, scored under one or several windows. n steps; all sums in nats.

    Attributes:
        teacher, sample: of the response.
        spans: n pairs (start, end) of character offsets that tile the response.
        tokens: n counts of scored tokens, at least 1 each; of a response without any, its tokens.
        sums: window -> n sums of log p over the step's tokens (NaN = undefined for that step),
            or None where the back end gives only the total.
        totals: window -> the sum over all steps (NaN = undefined).
        undefined: window or statistic -> reason, for each with a NaN among its numbers.
        path: which engine path scored it: "packed", "batched" or "loglikelihood".
        settings: the task's settings, as `Settings.as_dict()` gives them.
        settings_hash: their fingerprint.
        splitter: name and version, such as "sentence@2".
        versions: package -> version.
        step_statistics: statistic (see `engine.types`) -> n sums over the step's tokens, under
            the global window.
        statistics: statistic -> one number for the response (NaN = undefined).
        tag_tokens: n counts of tokens that are read and not scored; empty if there are none, or if
            there are no others.
        tag_sums: window -> n sums of log p over these; empty without them, or if not known.
        variants: local naturalness of the response, scored in another way (`sensitivity: full`):
            "steps line", "window 10%" -> nats per token (NaN = undefined, reason in `undefined`).
        calibration: of the student on this response, see `variants.calibration_of`.
        token_values: the numbers of every token; None if they were not kept.
        prompt_tokens: tokens of the rendered prompt; 0 in older records.
        student: what is known of the student, see `sanity.student_facts`.
        ids_digest: of the token ids of prompt and response, see `rows.ids_digest`; "" in older
            records.
        part: where a run has a budget and read a part of the response, which one: "steps", 0-based,
            scored under the first window, "whole" and "stride", see `part.Part`; empty if all was
            read.
        whole: where only a prefix was scored (`settings["prefix"]`) and the response goes on, what
            there is of it: "steps", "tokens" that would be scored, "ids" with those of tags. All
            else is of the prefix.
        may_pass: whether a reason in `undefined` is of this run alone (memory that was not free, a
            log-probability of NaN), so that another run may have the number. Not written.
    """

    teacher: str
    sample: int | str
    spans: Sequence[tuple[int, int]]
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
    tag_tokens: tuple[int, ...] = ()
    tag_sums: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    variants: Mapping[str, float] = field(default_factory=dict)
    calibration: Mapping[str, Sequence[float]] = field(default_factory=dict)
    token_values: TokenValues | TokensInFile | None = None
    prompt_tokens: int = 0
    student: Mapping[str, Any] = field(default_factory=dict)
    ids_digest: str = ""
    part: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, int] = field(default_factory=dict)
    may_pass: bool = False

    @property
    def n_tokens(self) -> int:
        """Scored tokens."""
        return sum(self.tokens)

    @property
    def n_steps(self) -> int:
        """Scored steps."""
        return len(self.tokens)

    @property
    def whole_tokens(self) -> int:
        """Tokens of the whole response, without those of tags."""
        return self.whole.get("tokens") or self.n_tokens

    @property
    def whole_ids(self) -> int:
        """Tokens of the whole response, those of tags included."""
        return self.whole.get("ids") or self.n_tokens + sum(self.tag_tokens)

    @property
    def whole_steps(self) -> int:
        """Steps of the whole response."""
        return self.whole.get("steps") or self.n_steps

    @property
    def prefix(self) -> str:
        """Which part of each response this run scored, as "512 tokens"; "" = all."""
        return str(self.settings.get("prefix", ""))

    def step_means(self, window: str) -> list[float] | None:
        """Σ log p / tokens of each step, nats per token; None if not scored, or only in total."""
        sums = self.sums.get(window)
        if sums is None:
            return None
        return [total / count for total, count in zip(sums, self.tokens, strict=True)]

    def to_json(self) -> str:
        """One line of JSON text; NaN becomes null.

        Raises:
            DataError: a sum is infinite, which JSON cannot hold and no mean survives.
        """
        where = f"teacher {self.teacher!r}, sample {self.sample!r}"
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        del fields["may_pass"]
        for name in (
            "sums",
            "totals",
            "step_statistics",
            "statistics",
            "tag_sums",
            "variants",
        ):
            fields[name] = _null_for_nan(fields[name], where)
        fields["spans"] = list(self.spans)
        fields["token_values"] = self.token_values and self.token_values.as_dict()
        for name in ("part", "whole"):
            if not fields[name]:
                del fields[name]
        return json.dumps(fields, allow_nan=False, default=dict)

    @classmethod
    def from_json(
        cls, record: str | Mapping[str, Any], where: str = "", *, like: StepSums | None = None,
        tokens: TokensInFile | None = None,
    ) -> StepSums:  # fmt: skip
        """Read `to_json`'s text, or the object parsed from it; null becomes NaN.

        Its numbers are kept in few bytes, see `packed`.

        Args:
            where: file, row and teacher, for messages.
            like: another record; what is equal in both is kept once.
            tokens: to be kept in place of the numbers of the tokens, once these are checked.

        Raises:
            DataError: not a record, or its parts do not fit each other; names `where` and field.
        """
        stored = quick_record(record) if isinstance(record, str) else None
        if stored is None:
            stored = _read_slowly(record, where)
        values = stored.values()
        values["teacher"] = sys.intern(stored.teacher)
        if stored.token_values is not None:
            values["token_values"] = TokenValues.of_json(stored.token_values, where)
        read = cls(**values)
        _check_lengths_and_reasons(read, where)
        if isinstance(read.token_values, TokenValues):
            tags = read.tag_tokens or (0,) * read.n_steps
            counts = [*map(operator.add, read.tokens, tags)]
            if (found := read.token_values.counts(where)) != counts:
                raise DataError(
                    "the record's field 'token_values' holds other counts than 'tokens'",
                    where=where, found=found, remedy=_REMEDY,
                )  # fmt: skip
            values["token_values"] = tokens or read.token_values
        for name in _SHARED:
            if like is not None and values[name] == (known := getattr(like, name)):
                values[name] = known
        # They tile the text, so that the last end is the largest; a larger one is no text's.
        if all(end <= PackedSpans.LARGEST for _, end in read.spans[-1:]):
            values["spans"] = PackedSpans(end for _, end in read.spans)
        names = ("sums", "step_statistics", "tag_sums")
        if any(None in values[name].values() for name in names):
            return cls(**values)
        series, single = pack(
            [values[name] for name in names],
            [values[name] for name in ("totals", "statistics", "variants")],
        )
        (values["sums"], values["step_statistics"], values["tag_sums"]) = series
        (values["totals"], values["statistics"], values["variants"]) = single
        return cls(**values)


@dataclass(frozen=True, slots=True)
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
        """As the teacher set has it; None = unknown."""
        return self.candidate.response.correct

    @property
    def extra(self) -> Mapping[str, Any]:
        """The row's other columns."""
        return self.candidate.response.extra

    @property
    def turns(self) -> tuple[ConversationTurn, ...] | None:
        """Of a response that is a conversation, see `Response.turns`."""
        return self.candidate.response.turns

    @property
    def where(self) -> str:
        """File and row, for messages."""
        return self.candidate.where


_SHARED: Final = (
    "path", "settings", "settings_hash", "splitter", "versions", "student", "undefined",
    "calibration", "part",
)  # fmt: skip
"""Fields that are mostly the same in all records of a file."""


def _read_slowly(record: str | Mapping[str, Any], where: str) -> StoredRecord:
    """As objects first, so that a duplicate key is seen; raises DataError for what is wrong."""
    parsed: object = record
    if isinstance(record, str):
        try:
            parsed = parse_json(record, finite=True)
        except RepeatedKeyError as cause:
            raise DataError(f"record: {cause}", where=where, remedy=_REMEDY) from None
        except (ValueError, RecursionError):
            parsed = None
    if not isinstance(parsed, Mapping) or not {"spans", "tokens", "sums"} <= parsed.keys():
        raise DataError("not a scored record", where=where, found=record, remedy=_REMEDY)
    return validate(
        StoredRecord, parsed, where=where, kind=DataError, key="record's field",
        prefix="record: ", remedy=_REMEDY,
    )  # fmt: skip


def _null_for_nan(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _null_for_nan(each, where) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [_null_for_nan(each, where) for each in value]
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        raise DataError("a step sum is infinite", where=where, found=value)
    return float(value)


def _check_lengths_and_reasons(record: StepSums, where: str) -> None:
    def refuse(name: str, problem: str, found: object) -> DataError:
        what = f"the record's field {name!r} {problem}"
        return DataError(what, where=where, found=found, remedy=_REMEDY)

    n, end = len(record.spans), 0
    starts, ends = zip(*record.spans, strict=True) if n else ((), ())
    if starts != (0, *ends[:-1])[:n] or not all(map(operator.lt, starts, ends)):
        for start, after in record.spans:
            if start != end or after <= start:
                problem = f"does not tile the response: a step must begin at character {end}"
                raise refuse("spans", problem, [start, after])
            end = after
    if len(record.tokens) != n:
        raise refuse("tokens", f"does not hold a count for each of {n} steps", record.tokens)
    if record.sums.keys() != record.totals.keys():
        raise refuse("totals", "does not hold the windows of 'sums'", sorted(record.totals))
    if record.whole:
        steps, tokens, ids = (record.whole.get(name, 0) for name in ("steps", "tokens", "ids"))
        read = record.n_tokens + sum(record.tag_tokens)
        if len(record.whole) != 3 or steps < n or not 1 <= tokens <= ids or ids < read:
            raise refuse("whole", "does not hold more than the prefix", dict(record.whole))
        if not record.prefix:
            raise refuse("whole", "is there without a prefix in the settings", dict(record.whole))
    if record.tag_tokens and len(record.tag_tokens) != n:
        raise refuse(
            "tag_tokens", f"does not hold a count for each of {n} steps", len(record.tag_tokens)
        )
    for name, tags in record.tag_sums.items():
        if len(tags) != n or name not in record.sums:
            raise refuse("tag_sums", f"does not hold a sum for each of {n} steps", name)
    unknown = set()
    for field_name, by_name in (("step_statistics", record.step_statistics), ("sums", record.sums)):
        for name, sums in by_name.items():
            if sums is not None and len(sums) != n:
                of = f"window {name!r}" if field_name == "sums" else repr(name)
                raise refuse(field_name, f"does not hold a sum for each of {n} steps in {of}", sums)
            if sums is not None and math.isnan(sum(sums)):
                unknown.add(name)
    for single in (record.statistics, record.totals, record.variants):
        unknown.update(name for name, value in single.items() if math.isnan(value))
    for name in sorted(unknown - record.undefined.keys()):
        problem = f"does not say why {name!r} is undefined"
        raise refuse("undefined", problem, dict(record.undefined))
    for name, sums in record.sums.items():
        total = record.totals[name]
        if sums is not None and not _near(total, math.fsum(sums)):
            raise refuse("totals", f"is not the sum of the steps in window {name!r}", total)
        if total > _ROUNDING * max(1, record.n_tokens):
            raise refuse("totals", f"holds a log-probability above 0 in window {name!r}", total)
    tags = record.tag_tokens or (0,) * n
    windows = [("sums", name, values, record.tokens) for name, values in record.sums.items()]
    windows += [("tag_sums", name, values, tags) for name, values in record.tag_sums.items()]
    for field_name, name, sums, counts in windows:
        # quick where there is none, and where a NaN hides the largest it is looked for
        if not sums or max(sums) <= _ROUNDING:
            continue
        for one, count in zip(sums, counts, strict=True):
            if one > _ROUNDING * max(1, count):
                problem = f"holds a log-probability above 0 in window {name!r}"
                raise refuse(field_name, problem, one)
    for name, value in record.variants.items():
        if value > _ROUNDING:
            raise refuse("variants", f"holds a log-probability above 0 in {name!r}", value)


def _near(total: float, steps: float) -> bool:
    """Whether both are the same sum, or both undefined."""
    if math.isnan(total) or math.isnan(steps):
        return math.isnan(total) and math.isnan(steps)
    return math.isclose(total, steps, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def steps_in_words(settings: Mapping[str, Any], splitter: str) -> str:
    """How responses were cut: "sentence (sentence@2), markers: skip", and what of them is read.

    Args:
        settings: of a record.
        splitter: its splitter and version.
    """
    # Older records say nothing of markers: every token was scored.
    words = f"{settings.get('steps')} ({splitter}), markers: {settings.get('markers', 'keep')}"
    others = (f", {name}: {settings[name]}" for name in ("prefix", "observations")
              if settings.get(name))  # fmt: skip
    return "".join((words, *others))
