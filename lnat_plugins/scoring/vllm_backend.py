"""Step sums by vLLM: a run of our engine's plan is one request of token ids.

vLLM has two ways to return log-probabilities of tokens that it is given, and both are used here:

- `prompt_logprob_token_ids` (vLLM 0.31 and later, model runner V2): those of chosen tokens from a
  chosen place on. Requests may read the prefix cache, so a prompt is read once for all its runs,
  but for what lies behind its last full block.
- `prompt_logprobs`: those of every token. Such a request never reads the prefix cache, so each run
  reads its prompt again.

vLLM itself is imported when a back end is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

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
from lnat_plugins.errors import StudentError
from lnat_plugins.scoring.backend import OF_ACTIVATIONS
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.tokens import Ids

TOKEN_IDS: Final = "vllm token ids"
PROMPT_LOGPROBS: Final = "vllm prompt log-probabilities"

_BATCHES_AT_ONCE: Final = 4
_TRIAL_TOKENS: Final = 16
_TOLERANCE: Final = 0.02
"""Nats on a token: two readings of the same tokens differ by rounding only."""
_UNAVAILABLE: Final = MappingProxyType(
    dict.fromkeys((*TOKEN, *OF_ACTIVATIONS), "vLLM gives log-probabilities only")
)

_log = logging.getLogger(__name__)


def is_llm(model: Any) -> bool:
    """Whether this is a loaded `vllm.LLM`; told by what it has, as vLLM need not be installed."""
    return hasattr(model, "llm_engine") and callable(getattr(model, "generate", None))


def context_of_llm(llm: Any) -> int:
    """Tokens before a response's last one that the model can read.

    vLLM is given that last one too, to return its log-probability, and generates one more.
    """
    return int(llm.llm_engine.model_config.max_model_len) - 2


class VllmBackend(EngineBackend):
    """Step sums by a `vllm.LLM`: all pairs of all responses from one set of runs.

    Args:
        llm: the loaded model.
        lora_request: the adapter that vLLM reads with.

    Raises:
        StudentError: as `VllmReader`.
    """

    def __init__(self, llm: Any, lora_request: Any = None) -> None:
        self._reader = VllmReader(llm, lora_request)
        super().__init__(self._reader)

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Whatever needs more of a distribution than the log-probability of the token."""
        return _UNAVAILABLE

    def planner(self) -> Planner:
        """Counts what the reader will read."""
        return _VllmPlanner(self._reader.path, self._reader.block)


class _VllmPlanner(Planner):
    """As `Planner`: every token of a run is read, and a cached prompt but for its last block.

    Args:
        block: tokens that are cached together; 0 = nothing is.
    """

    def __init__(self, path: str, block: int) -> None:
        super().__init__(path, has_activations=False)
        self._block = block

    def add(self, reads: Sequence[PromptRuns]) -> None:
        """Counts one call of `VllmReader.score_all`."""
        known: set[int] = set()
        for number, prompt, run in placed_runs(reads):
            cached = _asked(prompt, run).cached(self._block) if number in known else 0
            self.counts.prompt_tokens += len(prompt) - cached
            self.counts.body_tokens += len(run.ids)
            known.add(number)


class _Asked(NamedTuple):
    """One request: the tokens, how many of them are the prompt's, and the first that is scored."""

    ids: list[int]
    prompt: int
    first: int

    def cached(self, block: int) -> int:
        """Tokens of the prompt that may come out of the cache.

        None of a prompt that ends with a block: the first score is of its last token's output.
        """
        cached = self.prompt // block * block if block else 0
        return cached if cached < self.first else 0


class VllmReader:
    """The numbers of runs, each by a request to vLLM, in one call of `generate`.

    Args:
        llm: the loaded model.
        lora_request: the adapter that vLLM reads with.

    Attributes:
        path: `TOKEN_IDS` where vLLM takes them and the same tokens then get the same numbers, else
            `PROMPT_LOGPROBS`.
        counts: what was read so far; tokens that came out of the prefix cache are not in it.
        requests: how many were sent.
        on_read: called after each call of `generate`.
        reason: "", as there is no pass that it could not take.
        vocabulary: ids that the model has.
        has_activations: False.
        at_once: tokens that are best given together, so that vLLM can fill its batches.
        block: tokens that the prefix cache holds together; 0 = it is not read.

    Raises:
        StudentError: vLLM is not there, fails, or returns logits in place of log-probabilities.
    """

    has_activations = False
    reason = ""

    def __init__(self, llm: Any, lora_request: Any = None) -> None:
        try:
            from vllm import SamplingParams
        except ImportError as error:
            raise StudentError(
                "vLLM is not installed", where="model", remedy="install it: pip install vllm"
            ) from error
        self._params = SamplingParams
        self._llm = llm
        self._lora = lora_request
        model, config = llm.llm_engine.model_config, llm.llm_engine.vllm_config
        mode = str(getattr(model, "logprobs_mode", "raw_logprobs"))
        if not mode.endswith("logprobs"):
            raise StudentError(
                "vLLM returns logits, not log-probabilities", where="logprobs_mode", found=mode,
                remedy="load it with logprobs_mode='raw_logprobs'",
            )  # fmt: skip
        self.on_read: Callable[[], None] = lambda: None
        self.vocabulary = int(model.get_vocab_size())
        self.at_once = _BATCHES_AT_ONCE * int(config.scheduler_config.max_num_batched_tokens)
        cache = config.cache_config
        self.block = int(cache.block_size or 0) if cache.enable_prefix_caching else 0
        self.counts, self.requests = Counts(), 0
        self.path = TOKEN_IDS if self._takes_token_ids() else PROMPT_LOGPROBS
        if self.path == PROMPT_LOGPROBS:
            self.block = 0
        # The trial is not counted.
        self.counts, self.requests = Counts(), 0

    def _takes_token_ids(self) -> bool:
        """Tries it on a few tokens, whose numbers must be those of the other way."""
        ids = [i % self.vocabulary for i in range(1, _TRIAL_TOKENS + 1)]
        asked = [_Asked(ids, 1, 1)]
        try:
            (found,) = self._by_token_ids(asked)
        except Exception as error:  # noqa: BLE001 - the other way takes over; the path names it
            _log.info("vLLM takes no token ids: %s: %s", type(error).__name__, error)
            return False
        (known,) = self._by_prompt_logprobs(asked)
        if found is None or known is None:
            return False
        return bool(np.allclose(found, known, rtol=0, atol=_TOLERANCE, equal_nan=True))

    def score_all(self, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        """The numbers of the scored tokens of each run after its prompt.

        Args:
            reads: the caller makes sure that prompt and run fit, see `context_of_llm`.

        Returns:
            One RunScores a run, in order, log-probabilities in nats. A run for which vLLM returns
            none, or one that is not finite, has a failure and NaN.

        Raises:
            StudentError: a token that the model does not have; vLLM fails.
        """
        placed = placed_runs(reads)
        check_ids(
            [*(one.prompt for one in reads), *(one.run.ids for one in placed)], self.vocabulary
        )
        asked = [_asked(prompt, run) for _, prompt, run in placed]
        read = self._by_token_ids if self.path == TOKEN_IDS else self._by_prompt_logprobs
        try:
            values = read(asked) if asked else []
        except Exception as error:
            raise StudentError(
                "vLLM failed while it read", found=f"{type(error).__name__}: {error}",
                remedy="see its own messages",
            ) from error  # fmt: skip
        found = (
            _scores(one.run, each.first - each.prompt, own)
            for one, each, own in zip(placed, asked, values, strict=True)
        )
        return [[next(found) for _ in one.runs] for one in reads]

    def _by_token_ids(self, asked: Sequence[_Asked]) -> list[Floats | None]:
        """Log-probabilities from the first scored token of each on, or None."""
        values = self._ask_token_ids(asked, uncached=False)
        # The cache held more than the prompt, and so tokens whose numbers were not computed.
        missing = [i for i, own in enumerate(values) if own is None]
        if missing:
            again = self._ask_token_ids([asked[i] for i in missing], uncached=True)
            for i, found in zip(missing, again, strict=True):
                values[i] = found
        return values

    def _ask_token_ids(self, asked: Sequence[_Asked], *, uncached: bool) -> list[Floats | None]:
        options = [
            {
                "prompt_logprob_token_ids": [[token] for token in one.ids[one.first :]],
                "prompt_logprob_start": one.first - 1,
                "skip_reading_prefix_cache": uncached or not one.cached(self.block),
            }
            for one in asked
        ]
        values: list[Floats | None] = []
        for one, output in zip(asked, self._generate(asked, options), strict=True):
            rows = output.prompt_token_id_logprobs
            right = rows is not None and np.shape(rows) == (len(one.ids) - one.first, 1)
            values.append(np.asarray(rows, np.float64)[:, 0] if right else None)
        return values

    def _by_prompt_logprobs(self, asked: Sequence[_Asked]) -> list[Floats | None]:
        """As `_by_token_ids`."""
        outputs = self._generate(asked, [{"prompt_logprobs": 0}] * len(asked))
        values: list[Floats | None] = []
        for one, output in zip(asked, outputs, strict=True):
            each = output.prompt_logprobs
            if each is None or len(each) != len(one.ids):
                values.append(None)
                continue
            found = ((each[i] or {}).get(one.ids[i]) for i in range(one.first, len(one.ids)))
            entries = [entry.logprob for entry in found if entry is not None]
            right = len(entries) == len(one.ids) - one.first
            values.append(np.array(entries) if right else None)
        return values

    def _generate(
        self, asked: Sequence[_Asked], options: Sequence[Mapping[str, Any]]
    ) -> Sequence[Any]:
        """vLLM's outputs, in order; counts what was read."""
        plain = {"temperature": 0.0, "max_tokens": 1, "detokenize": False}
        outputs: Sequence[Any] = self._llm.generate(
            [{"prompt_token_ids": one.ids} for one in asked],
            [self._params(**plain, **own) for own in options],
            use_tqdm=False,
            lora_request=self._lora,
        )
        self.requests += len(asked)
        self.counts.forwards += 1
        for one, output in zip(asked, outputs, strict=True):
            cached = getattr(output, "num_cached_tokens", None) or 0
            of_prompt = max(0, one.prompt - cached)
            self.counts.prompt_tokens += of_prompt
            self.counts.body_tokens += len(one.ids) - cached - of_prompt
            self.counts.projected_tokens += len(one.ids) - one.first
        self.on_read()
        return outputs


def _asked(prompt: Ids, run: TokenRun) -> _Asked:
    first = len(prompt) + int(np.argmax(run.scored))
    return _Asked([*prompt.tolist(), *run.ids.tolist()], len(prompt), first)


def _scores(run: TokenRun, first: int, values: Floats | None) -> RunScores:
    """The run's scores, from the values of its tokens from `first` on."""
    if values is None:
        return failed_run(run, "vLLM returned no log-probabilities of the tokens")
    logprobs = np.full(len(run.ids), np.nan)
    logprobs[first:] = values
    return checked_run(run, RunScores(np.where(run.scored, logprobs, np.nan)))
