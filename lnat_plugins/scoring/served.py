"""Step sums by a server of models: a run of our engine's plan is one request of token ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from lnat_plugins.engine.planning import Planner, placed_runs
from lnat_plugins.engine.types import (
    TOKEN,
    Counts,
    Floats,
    PromptRuns,
    RunScores,
    TokenRun,
    check_ids,
    checked_run,
    failed_run,
)
from lnat_plugins.errors import LnatError, StudentError
from lnat_plugins.scoring.backend import OF_ACTIVATIONS, Backend
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.tokens import Ids

_TRIAL_TOKENS: Final = 16
_TOLERANCE: Final = 0.02
"""Nats on a token: two readings of the same tokens differ by rounding only."""


@runtime_checkable
class Served(Protocol):
    """A student that a server holds, in the place of a transformers model."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def context(self) -> int:
        """Tokens before a response's last one that can be read."""

    def backend(self) -> Backend:
        """What reads with it."""


class Request(NamedTuple):
    """One request: the tokens, how many of them are the prompt's, and the first that is scored."""

    ids: list[int]
    prompt: int
    first: int


class RequestReader(ABC):
    """The numbers of runs, each by a request.

    Attributes:
        server: its name, for messages.
        path: how log-probabilities are asked for.
        counts: what was read so far; tokens that came out of the prefix cache are not in it.
        requests: how many were sent.
        on_read: called after each call of the server.
        reason: "", as there is no pass that it could not take.
        vocabulary: ids that the model has.
        has_activations: False.
        at_once: tokens that are best given together, so that the server can fill its batches.
    """

    server: ClassVar[str]
    has_activations: Final = False
    reason = ""
    path: str
    vocabulary: int
    at_once: int

    def __init__(self) -> None:
        self.on_read: Callable[[], None] = lambda: None
        self.counts, self.requests = Counts(), 0

    @abstractmethod
    def cached(self, request: Request) -> int:
        """Tokens of a prompt that was read before that the prefix cache gives to this request."""

    @abstractmethod
    def read(self, asked: Sequence[Request]) -> list[Floats | None]:
        """Log-probabilities from the first scored token of each on; None where there are none.

        Counts what was read with `count`.
        """

    def score_all(self, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        """The numbers of the scored tokens of each run after its prompt.

        Args:
            reads: the caller makes sure that prompt and run fit, see `Served.context`.

        Returns:
            One RunScores a run, in order, log-probabilities in nats. A run for which the server
            returns none, or one that is not finite, has a failure and NaN.

        Raises:
            StudentError: a token that the model does not have; the server fails.
        """
        placed = placed_runs(reads)
        check_ids(
            [*(one.prompt for one in reads), *(one.run.ids for one in placed)], self.vocabulary
        )
        asked = [request_of(prompt, run) for _, prompt, run in placed]
        try:
            values = self.read(asked) if asked else []
        except LnatError:
            raise
        except Exception as error:
            raise StudentError(
                f"{self.server} failed while it read", found=f"{type(error).__name__}: {error}",
                remedy="see its own messages",
            ) from error  # fmt: skip
        found = (
            self._scores(one.run, each.first - each.prompt, own)
            for one, each, own in zip(placed, asked, values, strict=True)
        )
        return [[next(found) for _ in one.runs] for one in reads]

    def _scores(self, run: TokenRun, first: int, values: Floats | None) -> RunScores:
        """The run's scores, from the values of its tokens from `first` on."""
        if values is None:
            return failed_run(run, f"{self.server} returned no log-probabilities of the tokens")
        logprobs = np.full(len(run.ids), np.nan)
        logprobs[first:] = values
        return checked_run(run, RunScores(np.where(run.scored, logprobs, np.nan)))

    def count(self, request: Request, cached: int) -> None:
        """Counts a request of which so many tokens came out of the prefix cache."""
        of_prompt = max(0, request.prompt - cached)
        self.requests += 1
        self.counts.prompt_tokens += of_prompt
        self.counts.body_tokens += len(request.ids) - cached - of_prompt
        self.counts.projected_tokens += len(request.ids) - request.first

    def trial(self) -> Request:
        """A few tokens on which a way of asking can be tried."""
        return Request([i % self.vocabulary for i in range(1, _TRIAL_TOKENS + 1)], 1, 1)


class RequestBackend(EngineBackend):
    """Step sums by requests: all pairs of all responses from one set of runs."""

    def __init__(self, reader: RequestReader) -> None:
        super().__init__(reader)
        self._reader = reader

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Whatever needs more of a distribution than the log-probability of the token."""
        reason = f"{self._reader.server} gives log-probabilities only"
        return dict.fromkeys((*TOKEN, *OF_ACTIVATIONS), reason)

    def planner(self) -> Planner:
        """Counts what the reader will read."""
        return _RequestPlanner(self._reader)


class _RequestPlanner(Planner):
    """As `Planner`: every token of a run is read, and of a prompt what is not cached."""

    def __init__(self, reader: RequestReader) -> None:
        super().__init__(reader.path, has_activations=False)
        self._cached = reader.cached

    def add(self, reads: Sequence[PromptRuns]) -> None:
        """Counts one call of `RequestReader.score_all`."""
        known: set[int] = set()
        for number, prompt, run in placed_runs(reads):
            cached = self._cached(request_of(prompt, run)) if number in known else 0
            self.counts.prompt_tokens += len(prompt) - cached
            self.counts.body_tokens += len(run.ids)
            known.add(number)


def request_of(prompt: Ids, run: TokenRun) -> Request:
    """The request for a run."""
    first = len(prompt) + int(np.argmax(run.scored))
    return Request([*prompt.tolist(), *run.ids.tolist()], len(prompt), first)


def same_numbers(found: Floats | None, known: Floats | None) -> bool:
    """Whether two readings of the same tokens differ by no more than rounding."""
    if found is None or known is None or found.shape != known.shape:
        return False
    return bool(np.allclose(found, known, rtol=0, atol=_TOLERANCE, equal_nan=True))
