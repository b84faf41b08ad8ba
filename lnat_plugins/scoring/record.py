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
from itertools import repeat
from typing import Any, Final

from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.packed import PackedSpans, pack
from lnat_plugins.scoring.stored import SCORE_AGAIN, read_fields
from lnat_plugins.scoring.token_values import TokensInFile, TokenValues
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Candidate, ConversationTurn, Response


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

    def __reduce__(self) -> tuple[Any, ...]:
        # As a dataclass with slots does it by itself, it takes three times as long.
        return StepSums, _FIELDS(self)

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
        values = read_fields(record, where)
        values["teacher"] = sys.intern(values["teacher"])
        if values["token_values"] is not None:
            own = TokenValues.of_json(values["token_values"], where)
            counts = [*map(operator.add, values["tokens"], values["tag_tokens"] or repeat(0))]
            if (found := own.counts(where)) != counts:
                raise DataError(
                    "the record's field 'token_values' holds other counts than 'tokens'",
                    where=where, found=found, remedy=SCORE_AGAIN,
                )  # fmt: skip
            values["token_values"] = tokens or own
        if like is not None:
            for name in _SHARED:
                if values[name] == (known := getattr(like, name)):
                    values[name] = known
        ends = [end for _, end in values["spans"]]
        # They tile the text, so that the last end is the largest; a larger one is no text's.
        if not ends or ends[-1] <= PackedSpans.LARGEST:
            values["spans"] = PackedSpans(ends)
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


_FIELDS: Final = operator.attrgetter(*(each.name for each in dataclasses.fields(StepSums)))


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
        """File, row and teacher, for messages."""
        return self.candidate.where


_SHARED: Final = (
    "path", "settings", "settings_hash", "splitter", "versions", "student", "undefined",
    "calibration", "part", "whole",
)  # fmt: skip
"""Fields that are mostly the same in all records of a file."""


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
