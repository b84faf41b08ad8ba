"""The scorer: responses to one prompt in, one record each out."""

from __future__ import annotations

import functools
import importlib.metadata
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from lnat_plugins.engine.types import ALL
from lnat_plugins.errors import StudentError
from lnat_plugins.scoring.backend import (
    OF_ACTIVATIONS,
    Backend,
    Job,
    JobSums,
    PromptCalls,
    Statistics,
    Sum,
)
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.prepared import Key, Prepared, PreparedRows, key_of
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.rows import RowTokens, ids_digest
from lnat_plugins.scoring.sanity import facts_failed
from lnat_plugins.scoring.token_values import TokenValues
from lnat_plugins.scoring.tokens import (
    Bools,
    EncodedResponse,
    Ids,
    ResponseTokens,
    check_tokenizer,
    encode_response,
    special_ids,
    tokenise,
)
from lnat_plugins.steps import StepSpec
from lnat_plugins.steps.prefix import Prefix
from lnat_plugins.steps.windows import GLOBAL, Pair, Window
from lnat_plugins.teacher_set.config import fingerprint
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Response

READS_AT_MOST: Final = "the student reads at most"
"""Stands in the reason of what is undefined because it is longer than the context."""

_TRACE: Final = "the prompt and the whole trace"
_PREFIX: Final = "the prompt and the prefix"
_STEP: Final = "the prompt and the step with its window"
_FREE: Final = frozenset({"first_token", "first_two_tokens"})
_ONLY_TAGS: Final = "the response holds nothing but tags"
_PREFIX_OF_TAGS: Final = "the prefix holds nothing but tags"


@dataclass(frozen=True)
class Scorer:
    """Scores responses under every window, prompt by prompt; holds what is the same for a run.

    Args:
        tokenizer: the student's, fast.
        backend: computes the sums.
        spec: how responses are cut.
        windows: which windows are scored.
        settings: everything that decides the numbers, as JSON values; kept in each record
            with its fingerprint.
        max_length: tokens that the student can read at once, or None if there is no limit.
        host: versions of the host's packages, kept in each record.
        statistics: names in `engine.types` that are wanted beside log-probabilities. One that the
            back end cannot give, or that does not fit, is undefined in the record with its reason.
        narrower: whether the windows below the widest are recorded too, where runs are shared.
        tokens: whether records keep the numbers of every token, where the back end has them.
        student: what is known of the student, see `sanity.student_facts`.
    """

    tokenizer: Any
    backend: Backend
    spec: StepSpec
    windows: tuple[Window, ...]
    settings: Mapping[str, Any]
    max_length: int | None = None
    host: Mapping[str, str] = field(default_factory=dict)
    statistics: frozenset[str] = frozenset()
    narrower: bool = True
    tokens: bool = False
    student: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_tokenizer(self.tokenizer)

    @functools.cached_property
    def scored_windows(self) -> tuple[Window, ...]:
        """The windows asked for, then the narrower ones; see `ways.narrower_are_cheap`."""
        asked = {window.name for window in self.windows}
        widest = max((window.count or 0 for window in self.windows), default=0)
        narrower = range(widest if self.narrower and self.backend.shares_runs else 0)
        extra = (Window(str(count), count) for count in narrower if str(count) not in asked)
        return (*self.windows, *extra)

    @functools.cached_property
    def _gathered(self) -> frozenset[str]:
        """The statistics wanted, and those that cost nothing beside the global window."""
        whole = any(window.name == GLOBAL for window in self.windows)
        return self.statistics | (_FREE if whole and self.backend.shares_runs else frozenset())

    def score(self, prompt: Sequence[int] | Ids, responses: Sequence[Response]) -> list[StepSums]:
        """Step sums of each response, in order; Args, Raises: as `prepare`."""
        return self.score_prepared(self.prepare(prompt, responses))

    def prepare_rows(
        self, rows: Sequence[RowTokens], responses: Sequence[Response]
    ) -> PreparedRows:
        """Steps and tokens of rows that were rendered for training; Raises: as `prepare`."""
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.prompt.tobytes(), []).append(place)
        return PreparedRows(
            tuple(
                (
                    self.prepare(
                        rows[own[0]].prompt,
                        [responses[place] for place in own],
                        [rows[place].response for place in own],
                    ),
                    tuple(own),
                )
                for own in places.values()
            )
        )

    def prepare(
        self,
        prompt: Sequence[int] | Ids,
        responses: Sequence[Response],
        tokens: Sequence[ResponseTokens] | None = None,
        prefixes: Sequence[Prefix | None] | None = None,
    ) -> Prepared:
        """What needs no student: steps and tokens.

        Args:
            prompt: the rendered prompt as token ids, at least one.
            responses: to that prompt.
            tokens: of each; by default as each is tokenised on its own.
            prefixes: what is scored of each, in place of the setting.

        Raises:
            StudentError: an empty prompt, a tokenizer that drops text.
            DataError: supplied steps that are missing or do not fit.
        """
        if not len(prompt):
            raise StudentError(
                "the prompt has no tokens, so the first token of a response has no context",
                where=responses[0].where if responses else "",
                remedy="give a prompt, or a tokenizer with a beginning-of-text token",
            )
        if tokens is None:
            tokens = [tokenise(self.tokenizer, one.text, one.where) for one in responses]
        encoded: dict[Key, EncodedResponse] = {}
        if prefixes is None:
            prefixes = [self.spec.prefix] * len(responses)
        for response, own, prefix in zip(responses, tokens, prefixes, strict=True):
            key = key_of(response, own)
            if key not in encoded:
                spec = replace(self.spec, prefix=prefix)
                encoded[key] = encode_response(
                    own, response.text, spec, response.steps, response.where
                )
        return Prepared(np.asarray(prompt, np.int64), tuple(responses), tuple(tokens), encoded)

    def score_prepared(self, prepared: Prepared, part_of: PartOf | None = None) -> list[StepSums]:
        """Step sums of each response, in order; equal responses are scored once.

        Args:
            part_of: what is read of a response; by default all of it. Steps that are not read
                have NaN sums, and so has the total.
        """
        prompt, responses, tokens, encoded = prepared
        jobs = self.jobs(prepared, part_of)
        sums = dict(zip(encoded, self.backend.sums(prompt, jobs), strict=True))
        return [
            self._record(response, encoded[key], prompt, sums[key], part_of)
            for response, key in zip(responses, map(key_of, responses, tokens), strict=True)
        ]

    def unread(self, prepared: Prepared) -> list[StepSums]:
        """What is known of responses before they are read: steps and tokens, and no sums."""
        prompt, responses, tokens, encoded = prepared
        return [
            self._record(response, encoded[key], prompt, JobSums({}), lambda _: Part((), False))
            for response, key in zip(responses, map(key_of, responses, tokens), strict=True)
        ]

    def jobs(self, prepared: Prepared, part_of: PartOf | None = None) -> list[Job]:
        """What is wanted of each distinct response."""
        n = len(prepared.prompt)
        encoded = prepared.encoded.values()
        if part_of is None:
            return [self._job(one, n) for one in encoded]
        return [self._job_of_part(one, n, part_of(one)) for one in encoded]

    def calls(self, prepared: Prepared, part_of: PartOf | None = None) -> PromptCalls:
        """What `score_prepared` asks of the back end."""
        return PromptCalls(prepared.prompt, [self.jobs(prepared, part_of)])

    def _job_of_part(self, response: EncodedResponse, prompt_tokens: int, part: Part) -> Job:
        if not response.scored.any():
            return Job(response, frozenset(), whole=False)
        pairs = set()
        for window, steps in part.scored(self.windows[0], response.n_steps).items():
            if window.name == GLOBAL and not self._fits(response.n_read, prompt_tokens):
                continue
            of_window = window.pairs(response.n_steps)
            pairs |= {of_window[step] for step in steps}
        fits = (one for one in pairs if self._fits(_length(response, one), prompt_tokens))
        return Job(response, frozenset(fits), whole=False)

    def _job(self, response: EncodedResponse, prompt_tokens: int) -> Job:
        if not response.scored.any():
            return Job(response, frozenset(), whole=False)
        pairs: set[Pair] = set()
        whole = False
        for window in self.scored_windows:
            if window.name != GLOBAL:
                pairs.update(
                    pair
                    for pair in window.pairs(response.n_steps)
                    if self._fits(_length(response, pair), prompt_tokens)
                )
            elif self._fits(response.n_read, prompt_tokens):
                whole = not self.backend.global_by_step
                pairs.update(() if whole else window.pairs(response.n_steps))
        unavailable = self._unavailable(response, prompt_tokens)
        statistics = self._gathered - {"reward"} - unavailable.keys()
        if statistics:
            pairs.update(Window(GLOBAL).pairs(response.n_steps))
        opening = getattr(self.tokenizer, "bos_token_id", None)
        return Job(
            response, frozenset(pairs), whole, statistics, opening, self._special,
            self.tokens and self.backend.shares_runs,
        )  # fmt: skip

    @functools.cached_property
    def _special(self) -> frozenset[int]:
        return special_ids(self.tokenizer)

    def _unavailable(self, response: EncodedResponse, prompt_tokens: int) -> dict[str, str]:
        """The statistics wanted that cannot be computed for this response -> the reason."""
        if not response.scored.any():
            return dict.fromkeys(sorted(self._gathered - {"reward"}), _only_tags(response))
        found = dict(self.backend.unavailable)
        body = response.n_read
        # The activation of the last token needs it to be read.
        if not self._fits(body + 1, prompt_tokens):
            late = ALL - {"reward"} if not self._fits(body, prompt_tokens) else OF_ACTIVATIONS
            too_long = self._too_long(_trace(response), body, prompt_tokens)
            found = dict.fromkeys(sorted(late), too_long) | found
        return {name: why for name, why in found.items() if name in self._gathered}

    def _reward(self, response: Response) -> Statistics:
        if "reward" not in self.statistics:
            return Statistics()
        reward = reward_of(response.extra, response.where)
        if reward is None:
            return Statistics(undefined={"reward": "the row has no `reward`"})
        return Statistics(values={"reward": reward})

    def _fits(self, body_tokens: int, prompt_tokens: int) -> bool:
        # The last token is predicted, not read, so it needs no position in the context.
        return self.max_length is None or prompt_tokens + body_tokens - 1 <= self.max_length

    def _record(
        self, response: Response, encoded: EncodedResponse, prompt: Ids, computed: JobSums,
        part_of: PartOf | None,
    ) -> StepSums:  # fmt: skip
        prompt_tokens = len(prompt)
        sums: dict[str, tuple[float, ...] | None] = {}
        totals: dict[str, float] = {}
        undefined: dict[str, str] = {}
        whole = computed.whole
        only_tags = not encoded.scored.any()
        if not self._fits(encoded.n_read, prompt_tokens) and not only_tags:
            whole = Sum(math.nan, self._too_long(_trace(encoded), encoded.n_read, prompt_tokens))
        part = None if part_of is None or only_tags else part_of(encoded)
        first = self.windows[0]
        read = {} if part is None else part.scored(first, encoded.n_steps)
        windows = part.windows(first) if part else (first,) if part_of else self.scored_windows
        for window in windows:
            name = window.name
            if name == GLOBAL and whole is not None:
                sums[name], (totals[name], reason) = None, whole
            else:
                drawn = set(read.get(window, range(encoded.n_steps)))
                found = [
                    (computed.pairs.get(pair) if pair.step in drawn else Sum(math.nan))
                    or Sum(
                        math.nan,
                        _only_tags(encoded)
                        if only_tags
                        else self._too_long(_STEP, _length(encoded, pair), prompt_tokens),
                    )
                    for pair in window.pairs(encoded.n_steps)
                ]
                sums[name] = tuple(step.value for step in found)
                totals[name] = math.fsum(step.value for step in found)
                failures = [f"step {i}: {step.failure}" for i, step in enumerate(found, 1)
                            if step.failure and i - 1 in drawn]  # fmt: skip
                reason = ""
                if failures:
                    n = len(failures)
                    reason = f"{n} of {len(found)} steps have no score; {failures[0]}"
                elif len(drawn) < len(found):
                    reason = f"{len(drawn)} of {len(found)} steps were read"
            if reason:
                undefined[name] = reason
        missing = Statistics(undefined=self._unavailable(encoded, prompt_tokens))
        statistics = computed.statistics + missing + self._reward(response)
        if part_of is not None:
            statistics = Statistics()
        return StepSums(
            teacher=response.teacher,
            sample=response.sample,
            spans=encoded.spans,
            tokens=(len(encoded.ids),) if only_tags else encoded.tokens_per_step,
            sums=sums,
            totals=totals,
            undefined={**undefined, **statistics.undefined},
            path=self.backend.path,
            settings=self.settings,
            settings_hash=fingerprint(self.settings),
            splitter=str(self.spec),
            versions={**_versions(), **self.host},
            step_statistics=statistics.by_step,
            statistics=statistics.values,
            tag_tokens=() if only_tags else encoded.tags_per_step,
            tag_sums=self._tag_sums(encoded, computed, windows),
            token_values=self._token_values(encoded, computed),
            prompt_tokens=prompt_tokens,
            student=self.student,
            ids_digest=ids_digest(prompt, encoded.all_ids, encoded.own),
            part={} if part is None else part.as_dict(),
            whole=_whole(encoded),
            may_pass=computed.failed or facts_failed(self.student),
        )

    def _tag_sums(
        self, encoded: EncodedResponse, computed: JobSums, windows: Sequence[Window]
    ) -> dict[str, tuple[float, ...]]:
        """Of every window recorded; empty without tags, or where the back end has no such sums.

        And of a conversation, where tokens of tools and users are not scored either.
        """
        if encoded.scored.all() or not computed.tags or encoded.own is not None:
            return {}
        return {
            window.name: tuple(
                computed.tags.get(pair, math.nan) for pair in window.pairs(encoded.n_steps)
            )
            for window in windows
        }

    def _token_values(self, encoded: EncodedResponse, computed: JobSums) -> TokenValues | None:
        """Of the windows asked for."""
        if not computed.tokens:
            return None
        logprobs = {}
        for window in self.windows:
            parts = [
                computed.tokens.get(pair, np.full(end - begin, np.nan))
                for pair, (begin, end) in zip(
                    window.pairs(encoded.n_steps), pairwise(encoded.bounds), strict=True
                )
            ]
            logprobs[window.name] = np.concatenate(parts)
        return TokenValues.of_arrays(
            encoded.ids,
            encoded.ends,
            encoded.bounds,
            encoded.scored,
            logprobs,
            computed.token_statistics,
        )

    def _too_long(self, what: str, body_tokens: int, prompt_tokens: int) -> str:
        tokens = prompt_tokens + body_tokens
        return f"{what} have {tokens} tokens; {READS_AT_MOST} {self.max_length}"


PartOf = Callable[[EncodedResponse], Part]
"""What is read of a response; alike for equal responses."""


def part_of_rows(rows: Sequence[RowTokens], parts: Sequence[Part]) -> PartOf:
    """What is read of each row's response."""
    wanted = {
        _ids_key(row.response.ids, row.response.own): part
        for row, part in zip(rows, parts, strict=True)
    }
    return lambda response: wanted[_ids_key(response.ids, response.own)]


def _ids_key(ids: Ids, own: Bools | None) -> tuple[bytes, bytes]:
    return ids.tobytes(), b"" if own is None else own.tobytes()


def windows_of_parts(windows: Sequence[Window]) -> tuple[Window, Window]:
    """The windows of a run with a budget: the first, and the whole context, by which the mean under
    the first is estimated."""
    return windows[0], Window(GLOBAL)


def _trace(response: EncodedResponse) -> str:
    return _TRACE if response.whole is None else _PREFIX


def _only_tags(response: EncodedResponse) -> str:
    return _ONLY_TAGS if response.whole is None else _PREFIX_OF_TAGS


def _whole(response: EncodedResponse) -> dict[str, int]:
    """As `StepSums.whole` writes it."""
    whole = response.whole
    if whole is None:
        return {}
    return {"steps": whole.steps, "tokens": whole.tokens, "ids": len(whole.ids)}


def _length(response: EncodedResponse, pair: Pair) -> int:
    read = response.end(pair.step) - response.bounds[pair.start]
    return read + len(response.before(pair.start))


@functools.cache
def _versions() -> dict[str, str]:
    names = ("lnat-plugins", "torch", "transformers")
    return {name.replace("-", "_"): importlib.metadata.version(name) for name in names}
