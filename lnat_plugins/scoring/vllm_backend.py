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
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lnat_plugins.engine.types import Counts, Floats
from lnat_plugins.errors import StudentError
from lnat_plugins.scoring.served import Request, RequestBackend, RequestReader, same_numbers

TOKEN_IDS: Final = "vllm token ids"
PROMPT_LOGPROBS: Final = "vllm prompt log-probabilities"

_BATCHES_AT_ONCE: Final = 4

_log = logging.getLogger(__name__)


class ServedByVllm:
    """A loaded `vllm.LLM`, see `served.Served`."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        model = llm.llm_engine.model_config
        self.name = str(model.model)
        # vLLM is given a response's last token too, and generates one more.
        self.context = int(model.max_model_len) - 2

    def backend(self) -> RequestBackend:
        """Raises: as `VllmReader`."""
        return vllm_backend(self._llm)


def is_llm(model: Any) -> bool:
    """Whether this is a loaded `vllm.LLM`; told by what it has, as vLLM need not be installed."""
    return hasattr(model, "llm_engine") and callable(getattr(model, "generate", None))


def vllm_backend(llm: Any, lora_request: Any = None) -> RequestBackend:
    """Step sums by a `vllm.LLM`; Args, Raises: as `VllmReader`."""
    return RequestBackend(VllmReader(llm, lora_request))


class VllmReader(RequestReader):
    """The numbers of runs, each by a request to vLLM, in one call of `generate`.

    Args:
        llm: the loaded model.
        lora_request: the adapter that vLLM reads with.

    Attributes:
        path: `TOKEN_IDS` where vLLM takes them and the same tokens then get the same numbers, else
            `PROMPT_LOGPROBS`.
        block: tokens that the prefix cache holds together; 0 = it is not read.

    Raises:
        StudentError: vLLM is not there, fails, or returns logits in place of log-probabilities.
    """

    server = "vLLM"

    def __init__(self, llm: Any, lora_request: Any = None) -> None:
        super().__init__()
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
        self.vocabulary = int(model.get_vocab_size())
        self.at_once = _BATCHES_AT_ONCE * int(config.scheduler_config.max_num_batched_tokens)
        cache = config.cache_config
        self.block = int(cache.block_size or 0) if cache.enable_prefix_caching else 0
        self.path = TOKEN_IDS if self._takes_token_ids() else PROMPT_LOGPROBS
        if self.path == PROMPT_LOGPROBS:
            self.block = 0
        # The trial is not counted.
        self.counts, self.requests = Counts(), 0

    def _takes_token_ids(self) -> bool:
        """Tries it on a few tokens, whose numbers must be those of the other way."""
        asked = [self.trial()]
        try:
            (found,) = self._by_token_ids(asked)
        except Exception as error:  # noqa: BLE001 - the other way takes over; the path names it
            _log.info("vLLM takes no token ids: %s: %s", type(error).__name__, error)
            return False
        (known,) = self._by_prompt_logprobs(asked)
        return same_numbers(found, known)

    def cached(self, request: Request) -> int:
        """Whole blocks; none of a prompt that ends with one.

        For the first score is of the output of its last token, which the cache does not hold.
        """
        cached = request.prompt // self.block * self.block if self.block else 0
        return cached if cached < request.first else 0

    def read(self, asked: Sequence[Request]) -> list[Floats | None]:
        """As `RequestReader.read`, in the way that was found."""
        if self.path == TOKEN_IDS:
            return self._by_token_ids(asked)
        return self._by_prompt_logprobs(asked)

    def _by_token_ids(self, asked: Sequence[Request]) -> list[Floats | None]:
        """Log-probabilities from the first scored token of each on, or None."""
        values = self._ask_token_ids(asked, uncached=False)
        # The cache held more than the prompt, and so tokens whose numbers were not computed.
        missing = [i for i, own in enumerate(values) if own is None]
        if missing:
            again = self._ask_token_ids([asked[i] for i in missing], uncached=True)
            for i, found in zip(missing, again, strict=True):
                values[i] = found
        return values

    def _ask_token_ids(self, asked: Sequence[Request], *, uncached: bool) -> list[Floats | None]:
        options = [
            {
                "prompt_logprob_token_ids": [[token] for token in one.ids[one.first :]],
                "prompt_logprob_start": one.first - 1,
                "skip_reading_prefix_cache": uncached or not self.cached(one),
            }
            for one in asked
        ]
        values: list[Floats | None] = []
        for one, output in zip(asked, self._generate(asked, options), strict=True):
            rows = output.prompt_token_id_logprobs
            right = rows is not None and np.shape(rows) == (len(one.ids) - one.first, 1)
            values.append(np.asarray(rows, np.float64)[:, 0] if right else None)
        return values

    def _by_prompt_logprobs(self, asked: Sequence[Request]) -> list[Floats | None]:
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
        self, asked: Sequence[Request], options: Sequence[Mapping[str, Any]]
    ) -> Sequence[Any]:
        """vLLM's outputs, in order; counts what was read."""
        plain = {"temperature": 0.0, "max_tokens": 1, "detokenize": False}
        outputs: Sequence[Any] = self._llm.generate(
            [{"prompt_token_ids": one.ids} for one in asked],
            [self._params(**plain, **own) for own in options],
            use_tqdm=False,
            lora_request=self._lora,
        )
        self.counts.forwards += 1
        for one, output in zip(asked, outputs, strict=True):
            self.count(one, getattr(output, "num_cached_tokens", None) or 0)
        self.on_read()
        return outputs
