"""How a workload is made, written so small that a fresh process can make it again.

Knows nothing of contenders. A recipe is what the command line says; `build` loads or draws the
student and the traces, the same each time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from _workloads import STEPS, Trace, Workload
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.tokens import EncodedResponse, Ids, encode_response, tokenise
from lnat_plugins.steps import parse_steps

_HEAD_DIM: Final = 64
_SPREAD: Final = {"float32": 0.08}
_HALF_SPREAD: Final = 0.02


class Recipe(Protocol):
    """Makes a workload."""

    def build(self) -> Workload:
        """The workload, with its student on its device."""
        ...


@dataclass(frozen=True)
class Real:
    """The traces of the first `limit` prompts of a long-form file, and a student from disk."""

    path: Path
    student: Path
    limit: int
    device: str
    dtype: str

    def build(self) -> Workload:
        """Raises DataError (no trace fits the student) and StudentError (no student there)."""
        if not (self.student / "config.json").is_file():
            raise StudentError(
                "no student here", where=str(self.student), remedy="--student FOLDER"
            )
        model = AutoModelForCausalLM.from_pretrained(
            self.student, dtype=getattr(torch, self.dtype), device_map={"": self.device}
        )
        tokenizer = AutoTokenizer.from_pretrained(self.student)
        teacher_set = load_teacher_set(
            {"task": "benchmark", "dataset_path": str(self.path.absolute())}
        )
        delimiter = teacher_set.settings.target_delimiter
        traces, too_long = [], 0
        for prompt in teacher_set.prompts[: self.limit]:
            prompt_text = prompt.text + delimiter
            ids = np.asarray(tokenizer.encode(prompt_text), np.int64)
            for one in prompt.responses:
                response = encode_response(
                    tokenise(tokenizer, one.text), one.text, parse_steps(STEPS, markers="keep")
                )
                if len(ids) + len(response.ids) > model.config.max_position_embeddings:
                    too_long += 1
                    continue
                traces.append(Trace(ids, response, prompt_text, one.text))
        if not traces:
            raise DataError(
                "no trace fits the student's context", where=str(self.path), found=too_long
            )
        note = f"{self.path.name}, student {self.student.name}; " + _shape(model, traces)
        if too_long:
            note += f"; {too_long} traces left out that do not fit the student's context"
        return Workload("real", "real", model, tokenizer, tuple(traces), True, note)


@dataclass(frozen=True)
class Synthetic:
    """Random traces of one prompt for a random student of the shape of Qwen2.5-0.5B.

    Args:
        kind, name: as in `Workload`.
        traces: how many, each of `trace_tokens`.
        step_tokens: mean length of a step; lengths vary by a half around it.
        layers, all_layers: layers it has, and layers that the figures are for.
        hidden: width; all other widths go with it.
    """

    kind: str
    name: str
    prompt_tokens: int
    traces: int
    trace_tokens: int
    step_tokens: int
    layers: int
    all_layers: int
    hidden: int
    vocabulary: int
    seed: int
    device: str
    dtype: str

    def build(self) -> Workload:
        """Draws weights and ids.

        In float32 the weights are four times as far spread as Qwen2's own initialisation, so that
        a wrong context costs nats and the comparison of sums can see it. In 16 bit that would
        magnify rounding until the engine refused its fast path.
        """
        torch.manual_seed(self.seed)
        rng = random.Random(f"{self.seed} {self.prompt_tokens} {self.trace_tokens}")
        heads = max(2, self.hidden // _HEAD_DIM)
        config = Qwen2Config(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.hidden * 38 // 7,
            num_hidden_layers=self.layers,
            num_attention_heads=heads,
            num_key_value_heads=2 if heads % 2 == 0 else heads,
            max_position_embeddings=self.prompt_tokens + 2 * self.trace_tokens,
            initializer_range=_SPREAD.get(self.dtype, _HALF_SPREAD),
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=0,
        )
        model: torch.nn.Module = Qwen2ForCausalLM(config)
        model = model.to(self.device, getattr(torch, self.dtype))
        responses = [self._response(rng) for _ in range(self.traces)]
        prompt = self._ids(rng, self.prompt_tokens)
        traces = tuple(Trace(prompt, response) for response in responses)
        note = "random ids; " + _shape(model, traces)
        if self.all_layers != self.layers:
            note += (
                f"; timed with {self.layers} of {self.all_layers} layers: the time spent"
                f" inside the layers × {self.all_layers / self.layers:g}, memory as measured"
            )
        return Workload(
            self.kind, self.name, model, _any_tokenizer(), traces, False, note, self.all_layers
        )

    def _response(self, rng: random.Random) -> EncodedResponse:
        sizes: list[int] = []
        while sum(sizes) < self.trace_tokens:
            drawn = rng.randint(max(1, self.step_tokens // 2), max(1, 3 * self.step_tokens // 2))
            sizes.append(min(drawn, self.trace_tokens - sum(sizes)))
        bounds = (0, *itertools.accumulate(sizes))
        spans = tuple(itertools.pairwise(bounds))
        every = np.ones(self.trace_tokens, bool)
        ends = np.arange(1, self.trace_tokens + 1)
        return EncodedResponse(self._ids(rng, self.trace_tokens), bounds, spans, every, ends)

    def _ids(self, rng: random.Random, n: int) -> Ids:
        return np.array([rng.randrange(1, self.vocabulary) for _ in range(n)], np.int64)


def _any_tokenizer() -> PreTrainedTokenizerFast:
    """lm-eval asks for a tokenizer even where only ids are scored."""
    words = models.WordLevel({"<pad>": 0}, unk_token="<pad>")
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer(words), pad_token="<pad>", eos_token="<pad>"
    )


def _shape(model: Any, traces: Sequence[Trace]) -> str:
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    steps = sum(trace.response.n_steps for trace in traces)
    tokens = sum(len(trace.response.ids) for trace in traces)
    prompts = {trace.prompt.tobytes(): len(trace.prompt) for trace in traces}
    dtype = str(model.dtype).removeprefix("torch.")
    return (
        f"{parameters:.1f} M parameters, {dtype}; prompts {len(prompts)} of"
        f" {sum(prompts.values()) / len(prompts):.0f} tokens, traces {len(traces)}, steps {steps},"
        f" tokens {tokens}"
    )
