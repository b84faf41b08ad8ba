"""A stand-in for a `vllm.LLM`, over a transformers model, with vLLM's own rules.

It is written after vLLM 0.32: `sampling_params.py`, `v1/engine/input_processor.py` and
`v1/worker/gpu/sample/prompt_logprob.py`. tests/vllm/run.py asks the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch

Kind = Literal["token ids", "older runner", "older"]


class Refused(Exception):  # noqa: N818 - VLLMValidationError is no ValueError
    """What vLLM raises on a request that it does not take."""


class SamplingParams:
    """The parameters that are used, of vLLM from 0.31 on."""

    def __init__(
        self, *, temperature: float, max_tokens: int, detokenize: bool,
        prompt_logprobs: int | None = None,
        prompt_logprob_token_ids: list[list[int]] | None = None,
        prompt_logprob_start: int | None = None, skip_reading_prefix_cache: bool | None = None,
    ) -> None:  # fmt: skip
        assert (temperature, max_tokens, detokenize) == (0.0, 1, False)
        self.prompt_logprobs = prompt_logprobs
        self.rows = prompt_logprob_token_ids
        self.start = prompt_logprob_start or 0
        wants = prompt_logprobs is not None or self.rows is not None
        self.uncached = wants if skip_reading_prefix_cache is None else skip_reading_prefix_cache


class OlderParams(SamplingParams):
    """Those before 0.31."""

    def __init__(self, *, prompt_logprobs: int | None = None, **options: Any) -> None:
        if "prompt_logprob_token_ids" in options:
            raise TypeError("Unexpected keyword argument 'prompt_logprob_token_ids'")
        super().__init__(prompt_logprobs=prompt_logprobs, **options)


class Entry(NamedTuple):
    """vLLM's `Logprob`."""

    logprob: float
    rank: int


class FakeLLM:
    """Answers as a `vllm.LLM` of one process.

    Args:
        model: a transformers model.
        kind: which of the two ways it has.
        block: tokens that the prefix cache holds together; 0 = it has none.

    Attributes:
        sent: the token ids of each request so far.
        cached: of each, how many came out of the prefix cache.
        lora: the adapter of the last call.
        garble: changes an output before it is returned.
    """

    def __init__(
        self, model: Any, tokenizer: Any, kind: Kind = "token ids", *, block: int = 4,
        max_model_len: int = 512, logprobs_mode: str = "raw_logprobs",
    ) -> None:  # fmt: skip
        self.model, self.tokenizer, self.kind, self.block = model, tokenizer, kind, block
        self.sent: list[list[int]] = []
        self.cached: list[int] = []
        self.lora: Any = None
        self.garble: Any = lambda output: output
        self._blocks: set[tuple[int, ...]] = set()
        config = SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_batched_tokens=64),
            cache_config=SimpleNamespace(block_size=block, enable_prefix_caching=block > 0),
        )
        model_config = SimpleNamespace(
            model="a/student", max_model_len=max_model_len, logprobs_mode=logprobs_mode,
            get_vocab_size=lambda: model.config.vocab_size,
        )  # fmt: skip
        self.llm_engine = SimpleNamespace(vllm_config=config, model_config=model_config)

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def generate(
        self, prompts: Sequence[Any], sampling_params: Sequence[SamplingParams], *,
        use_tqdm: bool = True, lora_request: Any = None,
    ) -> list[Any]:  # fmt: skip
        assert use_tqdm is False
        self.lora = lora_request
        wanted = list(zip(prompts, sampling_params, strict=True))
        for prompt, params in wanted:
            self._check(prompt["prompt_token_ids"], params)
        return [self.garble(self._answer(one["prompt_token_ids"], own)) for one, own in wanted]

    def _prefixes(self, ids: list[int]) -> list[tuple[int, ...]]:
        ends = range(self.block, len(ids), self.block) if self.block else []
        return [tuple(ids[:end]) for end in ends]

    def _check(self, ids: list[int], params: SamplingParams) -> None:
        if not 0 < len(ids) < self.llm_engine.model_config.max_model_len:
            raise Refused(f"the prompt has {len(ids)} tokens")
        if max(ids) >= self.model.config.vocab_size:
            raise Refused("a token is out of the vocabulary")
        if params.rows is not None:
            if self.kind == "older runner":
                raise Refused("prompt_logprob_token_ids requires the V2 model runner")
            if len(params.rows) != len(ids) - 1 - params.start:
                raise Refused(f"prompt_logprob_token_ids has {len(params.rows)} rows")

    def _answer(self, ids: list[int], params: SamplingParams) -> SimpleNamespace:
        known = [len(part) for part in self._prefixes(ids) if part in self._blocks]
        cached = 0 if params.uncached else max(known, default=0)
        # As measured: requests of one call find each other's blocks.
        self._blocks.update(self._prefixes(ids))
        self.sent.append(ids)
        self.cached.append(cached)
        with torch.no_grad():
            logprobs = self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        found = SimpleNamespace(
            prompt_logprobs=None, prompt_token_id_logprobs=None, num_cached_tokens=cached
        )
        if params.prompt_logprobs is not None:
            found.prompt_logprobs = [None] + [
                {token: Entry(float(row[token]), int((row > row[token]).sum()) + 1)}
                for row, token in zip(logprobs, ids[1:], strict=False)
            ]
        if params.rows is not None and cached <= params.start:
            each = zip(logprobs[params.start : -1], params.rows, strict=True)
            found.prompt_token_id_logprobs = np.array(
                [[float(row[token]) for token in tokens] for row, tokens in each], np.float32
            )
        return found


def install(monkeypatch: pytest.MonkeyPatch, kind: Kind = "token ids") -> ModuleType:
    """Puts a module `vllm` in the place of the real one, for the test."""
    module = ModuleType("vllm")
    params = OlderParams if kind == "older" else SamplingParams
    vars(module).update(SamplingParams=params, LLM=FakeLLM, TokensPrompt=dict)
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module
