"""Back ends: who computes step sums and statistics for the scorer.

A back end gets one prompt and the encoded responses to it, with the conditionals and statistics
that are wanted, and returns a sum of log-probabilities for each. `EngineBackend` computes them
with our engine (`engine_backend`); a host brings its own for students that live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from lnat_plugins.engine.planning import Planned
from lnat_plugins.engine.types import (
    Floats,
)
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps.windows import Pair

OF_ACTIVATIONS: Final = ("cosine_self", "cosine_prompt")
"""Statistics that need the student's last up-projection."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of one response, by their names in `engine.types`.

    Attributes:
        by_step: a sum for each step.
        values: one number.
        undefined: the reason where there is none.
        failed: whether a reason is a `RunScores.failure`, which may pass.
    """

    by_step: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            {**self.by_step, **other.by_step},
            {**self.values, **other.values},
            {**self.undefined, **other.undefined},
            self.failed or other.failed,
        )


class Sum(NamedTuple):
    """A sum of log-probabilities in nats, or NaN and why the student gave none.

    What a back end cannot read at all is not wanted of it: its failures are of one reading, and
    may pass.
    """

    value: float
    failure: str = ""


class Job(NamedTuple):
    """What is wanted of one response.

    Args:
        response: its tokens and steps.
        pairs: the (start, step) conditionals wanted.
        whole: whether log p(response | prompt) is wanted as one number; only for a back end
            that does not give the global score step by step.
        statistics: names in `engine.types`, wanted under the whole trace; then `pairs` holds
            every step after all that precede it.
        opening: the token that begins a text without a prompt, if the tokenizer has one.
        special: ids of special tokens, which `content_nll`, `prompt_nll` and the cosines skip.
        tokens: whether the numbers of every token are wanted too.
    """

    response: EncodedResponse
    pairs: frozenset[Pair]
    whole: bool
    statistics: frozenset[str] = frozenset()
    opening: int | None = None
    special: frozenset[int] = frozenset()
    tokens: bool = False


class JobSums(NamedTuple):
    """The result of a job: a sum for each pair; the whole, statistics and tokens if wanted.

    `tags`: pair -> the sum over the tokens of its step that are read and not scored.
    `tokens`: pair -> log p of all tokens of its step.
    `token_statistics`: statistic -> (T,), of those statistics that are of tokens.
    """

    pairs: Mapping[Pair, Sum]
    whole: Sum | None = None
    statistics: Statistics = Statistics()
    tags: Mapping[Pair, float] = MappingProxyType({})
    tokens: Mapping[Pair, Floats] = MappingProxyType({})
    token_statistics: Mapping[str, Floats] = MappingProxyType({})

    @property
    def failed(self) -> bool:
        """Whether a number is missing that another run may have."""
        sums = (*self.pairs.values(), *([self.whole] if self.whole else []))
        return self.statistics.failed or any(one.failure for one in sums)


class PromptCalls(NamedTuple):
    """A prompt, and the jobs of each call of `Backend.sums` for it."""

    prompt: Ids
    calls: Sequence[Sequence[Job]]


class Backend(Protocol):
    """What the scorer needs.

    Attributes:
        global_by_step: whether the global score comes step by step.
        shares_runs: whether narrower windows come out of the runs of a wide one, and tokens have
            numbers of their own.
        on_read: called after each pass of the student.
        at_once: tokens that are best read in one call: prompts of together so many are given to
            `reading` together. 0 = each prompt alone.
    """

    global_by_step: bool
    shares_runs: bool
    on_read: Callable[[], None]

    @property
    def at_once(self) -> int:
        """See above."""

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Statistic -> why this back end cannot give it; "reward" is no concern of it."""

    @property
    def path(self) -> str:
        """How the sums are computed: "packed", "batched" or "loglikelihood"."""

    @property
    def tokens_read(self) -> int:
        """By the student so far, prompts included: the measure of progress."""

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """The results of all jobs of one prompt, in order."""

    def reading(self, calls: Sequence[PromptCalls]) -> AbstractContextManager[None]:
        """Reads what calls of `sums` will ask for; while it lasts, they only add up."""

    def to_read(self, calls: PromptCalls) -> Planned:
        """Tokens that these calls of `sums` read; nothing is read here."""


def tokens_to_read(backend: Backend, calls: Iterable[PromptCalls]) -> Planned:
    """Of all these prompts."""
    return sum(map(backend.to_read, calls), Planned())
