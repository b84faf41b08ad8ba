"""What the benchmark scores: a student, traces cut into steps, and what lm-eval is asked of them.

Knows nothing of clocks and tables. From a workload come the requests that a user of lm-eval would
send, one for each step and window, the step sums that the engine gives for the same steps, and
the tokens that the planner says it reads for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.scoring.backend import Job
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import Pair, Window, plan_runs
from lnat_plugins.teacher_set import Response

STEPS: Final = "sentence"


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


class Planned(NamedTuple):
    """What a set of windows costs once: tokens read after prompts, and positions projected."""

    body_tokens: int
    projected_tokens: int


class Flops(NamedTuple):
    """Floating-point operations of a token read, and of a position projected; two a weight.

    Attention between tokens is left out, so that a share of the machine's rate is a lower bound.
    """

    token: float
    projection: float


@dataclass(frozen=True)
class Workload:
    """One student and what it scores; traces of one prompt stand together.

    Args:
        kind: the name that `--workloads` knows it by.
        name: as it stands in the table.
        is_text: whether traces have texts, so that both sides start from strings.
        note: what the table's reader should know of it.
        all_layers: layers of the student that the figures are for; 0: those it has.
    """

    kind: str
    name: str
    model: Any
    tokenizer: Any
    traces: tuple[Trace, ...]
    is_text: bool
    note: str
    all_layers: int = 0

    @property
    def layers(self) -> Sequence[torch.nn.Module]:
        """The student's decoder layers, which are all alike."""
        return tuple(self.model.get_decoder().layers)

    @property
    def stretch(self) -> float:
        """Layers that the figures are for / layers that are timed."""
        return (self.all_layers or len(self.layers)) / len(self.layers)

    @property
    def flops(self) -> Flops:
        """Of the student that the figures are for."""
        own = sum(p.numel() for layer in self.layers for p in layer.parameters())
        return Flops(2 * self.stretch * own, 2 * self.model.get_output_embeddings().weight.numel())

    @property
    def trace_tokens(self) -> int:
        """Tokens of all traces."""
        return sum(len(trace.response.ids) for trace in self.traces)

    def planned(self, windows: Sequence[Window]) -> Planned:
        """What our engine reads, by the planner alone.

        A run's last token is never read, and runs of the same tokens are read once.
        """
        distinct: dict[tuple[bytes, ...], Planned] = {}
        for trace in self.traces:
            bounds, ids = np.asarray(trace.response.bounds), trace.response.ids
            for run in plan_runs(_pairs(trace, windows)):
                own = ids[bounds[run.start] : bounds[run.stop]]
                scored = np.zeros(len(own), bool)
                for step in run.scored:
                    scored[slice(*(bounds[step : step + 2] - bounds[run.start]))] = True
                key = (trace.prompt.tobytes(), own.tobytes(), scored.tobytes())
                distinct[key] = Planned(len(own) - 1, int(scored.sum()))
        return Planned(*map(sum, zip(*distinct.values(), strict=True)))

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
        spec = parse_steps(STEPS, markers="keep")  # as lm-eval scores: every token
        scorer = Scorer(self.tokenizer, backend, spec, tuple(windows), {}, narrower=False)
        prompt = self.tokenizer.encode(group[0][1].prompt_text)
        records = scorer.score(prompt, [Response("", trace.text, i) for i, trace in group])
        return {
            Key(i, pair): value
            for (i, trace), record in zip(group, records, strict=True)
            for window in windows
            for pair, value in zip(
                window.pairs(trace.response.n_steps), record.sums[window.name] or (), strict=True
            )
        }


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
