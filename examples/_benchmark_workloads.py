"""What the benchmark scores: real traces or random ones, and lm-eval's requests for them.

Knows nothing of clocks and tables. A workload is one model and traces cut into steps. From it
come the requests that a user of lm-eval would send, one for each step and window, and the step
sums that the engine gives for the same steps.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from lnat_plugins import load_teacher_set
from lnat_plugins.engine import Engine
from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scorer import Candidate, EngineBackend, Scorer
from lnat_plugins.scorer.backend import Job
from lnat_plugins.steps import parse_steps
from lnat_plugins.tokens import EncodedResponse, Ids, encode_response
from lnat_plugins.windows import Pair, Window

STEPS: Final = "sentence"
_HEAD_DIM: Final = 64


class Key(NamedTuple):
    """One number: a conditional of one trace."""

    trace: int
    pair: Pair


class Trace(NamedTuple):
    """A prompt and one response to it; the texts are empty where the ids are random.

    Args:
        prompt: shape (P,), token ids.
        response: its tokens and steps.
    """

    prompt: Ids
    response: EncodedResponse
    prompt_text: str = ""
    text: str = ""


class Request(NamedTuple):
    """log p(continuation | context), as token ids, and as two strings where there are texts."""

    key: Key
    context: list[int]
    continuation: list[int]
    strings: tuple[str, str]


@dataclass(frozen=True)
class Workload:
    """One model and what it scores; traces of one prompt stand together.

    Args:
        name: as it stands in the table.
        is_text: whether traces have texts, so that both sides start from strings.
        note: what the table's reader should know of it.
    """

    name: str
    model: Any
    tokenizer: Any
    traces: tuple[Trace, ...]
    is_text: bool
    note: str

    def requests(self, windows: Sequence[Window]) -> list[Request]:
        """One for each step and window; equal ones once, as lm-eval reads them once."""
        return [
            _request(Key(i, pair), trace)
            for i, trace in enumerate(self.traces)
            for pair in sorted(_pairs(trace, windows))
        ]

    def score(self, engine: Engine, windows: Sequence[Window]) -> dict[Key, float]:
        """The same numbers by our engine: from texts with the scorer, else from ids."""
        sums: dict[Key, float] = {}
        backend = EngineBackend(engine)
        numbered = enumerate(self.traces)
        for _, group in itertools.groupby(numbered, key=lambda one: one[1].prompt.tobytes()):
            if self.is_text:
                sums |= self._by_scorer(backend, windows, list(group))
            else:
                sums |= _by_backend(backend, windows, list(group))
        return sums

    def _by_scorer(
        self, backend: EngineBackend, windows: Sequence[Window], group: list[tuple[int, Trace]]
    ) -> dict[Key, float]:
        scorer = Scorer(self.tokenizer, backend, parse_steps(STEPS), tuple(windows), {})
        prompt = self.tokenizer.encode(group[0][1].prompt_text)
        records = scorer.score(prompt, [Candidate("", i, trace.text) for i, trace in group])
        return {
            Key(i, pair): value
            for (i, trace), record in zip(group, records, strict=True)
            for window in windows
            for pair, value in zip(
                window.pairs(trace.response.n_steps), record.sums[window.name] or (), strict=True
            )
        }


def real(path: Path, student: Path, limit: int, device: str) -> Workload:
    """The traces of the first `limit` prompts of a long-form file, and a student from disk.

    Raises:
        DataError: no trace fits the student's context.
        StudentError: no student at that path.
    """
    if not (student / "config.json").is_file():
        raise StudentError("no student here", where=str(student), remedy="--student FOLDER")
    model = AutoModelForCausalLM.from_pretrained(
        student, dtype=torch.float32, device_map={"": device}
    )
    tokenizer = AutoTokenizer.from_pretrained(student)
    teacher_set = load_teacher_set({"task": "benchmark", "dataset_path": str(path.absolute())})
    delimiter = teacher_set.settings.target_delimiter
    traces, too_long = [], 0
    for prompt in teacher_set.prompts[:limit]:
        prompt_text = prompt.text + delimiter
        ids = np.asarray(tokenizer.encode(prompt_text), np.int64)
        for one in prompt.responses:
            response = encode_response(tokenizer, one.text, parse_steps(STEPS))
            if len(ids) + len(response.ids) > model.config.max_position_embeddings:
                too_long += 1
                continue
            traces.append(Trace(ids, response, prompt_text, one.text))
    if not traces:
        raise DataError("no trace fits the student's context", where=str(path), found=too_long)
    note = f"{path.name}, student {student.name}; " + _shape(model, traces)
    if too_long:
        note += f"; {too_long} traces left out that do not fit the student's context"
    return Workload("real", model, tokenizer, tuple(traces), True, note)


def synthetic(
    *,
    prompt_tokens: int,
    trace_tokens: int,
    step_tokens: int,
    layers: int,
    hidden: int,
    vocabulary: int,
    seed: int,
    device: str,
) -> Workload:
    """One random trace for a random Qwen2; steps vary by a half around `step_tokens`.

    The weights are four times as far spread as Qwen2's own initialisation, so that a wrong
    context costs nats and the comparison of both sides can see it.
    """
    torch.manual_seed(seed)
    rng = random.Random(f"{seed} {prompt_tokens}")
    heads = max(2, hidden // _HEAD_DIM)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        max_position_embeddings=prompt_tokens + 2 * trace_tokens,
        initializer_range=0.08,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=0,
    )
    model: torch.nn.Module = Qwen2ForCausalLM(config)
    model = model.to(device)
    sizes: list[int] = []
    while sum(sizes) < trace_tokens:
        drawn = rng.randint(max(1, step_tokens // 2), max(1, 3 * step_tokens // 2))
        sizes.append(min(drawn, trace_tokens - sum(sizes)))
    ids = np.array([rng.randrange(1, vocabulary) for _ in range(trace_tokens)], np.int64)
    prompt = np.array([rng.randrange(1, vocabulary) for _ in range(prompt_tokens)], np.int64)
    bounds = (0, *itertools.accumulate(sizes))
    spans = tuple(itertools.pairwise(bounds))
    traces = (Trace(prompt, EncodedResponse(ids, bounds, spans)),)
    note = "random ids; " + _shape(model, traces)
    name = f"random, prompt {prompt_tokens}"
    return Workload(name, model, _any_tokenizer(), traces, False, note)


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
    prompts = len({trace.prompt.tobytes() for trace in traces})
    return (
        f"{parameters:.1f} M parameters, float32; prompts {prompts}, traces {len(traces)},"
        f" steps {steps}, tokens {tokens}"
    )


def _pairs(trace: Trace, windows: Sequence[Window]) -> frozenset[Pair]:
    return frozenset(pair for w in windows for pair in w.pairs(trace.response.n_steps))


def _request(key: Key, trace: Trace) -> Request:
    start, step = key.pair
    bounds, ids, spans = trace.response.bounds, trace.response.ids, trace.response.spans
    seen = np.concatenate([trace.prompt, ids[bounds[start] : bounds[step]]])
    own = ids[bounds[step] : bounds[step + 1]]
    seen_text = trace.prompt_text + trace.text[spans[start][0] : spans[step][0]]
    own_text = trace.text[slice(*spans[step])]
    return Request(key, seen.tolist(), own.tolist(), (seen_text, own_text))


def _by_backend(
    backend: EngineBackend, windows: Sequence[Window], group: list[tuple[int, Trace]]
) -> dict[Key, float]:
    jobs = [Job(trace.response, _pairs(trace, windows), False) for _, trace in group]
    answers = backend.sums(group[0][1].prompt, jobs)
    return {
        Key(i, pair): one.value
        for (i, _), answer in zip(group, answers, strict=True)
        for pair, one in answer.pairs.items()
    }
