"""A scorer with the usual settings, back ends that fail, and a response of many unequal steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import PromptRuns, RunScores
from lnat_plugins.scoring.backend import Backend, Job, JobSums, Sum
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.tokens import EncodedResponse, encode_response, tokenise
from lnat_plugins.steps import Markers, StepSpec, parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set.config import Settings

LONG = (
    "First step. Second step is a longer one, with 3 + 4 = 7 in it. Wait.\n\n"
    "Third one: done. So 3 + 4 = 7. Wait, is that so? Yes. Now the next one.\n"
    "Well. First, the sum of three and four. Second, seven. Done.\n\nThe answer: 7."
)


def encode(
    tokenizer: Any,
    text: str,
    spec: StepSpec,
    steps: Sequence[str] | None = None,
    where: str = "",
) -> EncodedResponse:
    """A response that is tokenised on its own, in steps."""
    return encode_response(tokenise(tokenizer, text, where), text, spec, steps, where)


def scorer_of(
    model: Any,
    tokenizer: Any,
    windows: tuple[str, ...] = ("4", "global"),
    steps: str = "sentence",
    max_length: int | None = None,
    backend: Backend | None = None,
    statistics: Collection[str] = (),
    markers: Markers = "skip",
    tokens: bool = False,
) -> Scorer:
    """A scorer over our engine, or over the back end that is given."""
    return Scorer(
        tokenizer=tokenizer,
        backend=backend or EngineBackend(Engine(model)),
        spec=parse_steps(steps, markers=markers),
        windows=parse_windows(windows),
        settings=Settings(steps, windows, markers=markers).as_dict(),
        max_length=max_length,
        statistics=frozenset(statistics),
        tokens=tokens,
    )


class BrokenOnLongRuns:
    """An engine that fails on runs of more than eight tokens, or on those after one prompt only."""

    path = "batched"
    has_activations = True
    vocabulary = at_once = 0

    def __init__(self, engine: Engine, only_after: list[int] | None = None) -> None:
        self.engine = engine
        self.only_after = only_after

    def score_all(self, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        return [
            [
                RunScores(np.full(len(run.ids), np.nan), "the pass ran out of memory")
                if self.only_after in (None, list(prompt)) and len(run.ids) > 8
                else self.engine.score(prompt, [run])[0]
                for run in runs
            ]
            for prompt, runs in reads
        ]


class OnlyTotals:
    """A back end that gives the global score as one number."""

    global_by_step = False
    shares_runs = False
    path = "loglikelihood"
    at_once = 0
    unavailable: ClassVar[dict[str, str]] = {"entropy": "log-probabilities only"}

    def __init__(self, whole: Sum) -> None:
        self.whole = whole

    def sums(self, prompt: Any, jobs: Sequence[Job]) -> list[JobSums]:
        return [
            JobSums(dict.fromkeys(job.pairs, Sum(-1.0)), self.whole if job.whole else None)
            for job in jobs
        ]
