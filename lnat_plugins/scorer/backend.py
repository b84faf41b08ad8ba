"""Who computes step sums: the seam between the scorer and whatever runs the student.

A back end gets one prompt and the encoded responses to it, with the conditionals that are
wanted, and returns a sum of log-probabilities for each. `EngineBackend` computes them
with our engine; a host brings its own for students that live elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from lnat_plugins.engine import Engine, TokenRun
from lnat_plugins.tokens import EncodedResponse, Ids
from lnat_plugins.windows import Pair, Run, plan_runs


class Sum(NamedTuple):
    """A sum of log-probabilities in nats, or NaN and why."""

    value: float
    failure: str = ""


class Job(NamedTuple):
    """What is wanted of one response.

    Args:
        response: its tokens and steps.
        pairs: the (start, step) conditionals wanted.
        whole: whether log p(response | prompt) is wanted as one number; asked only of a
            back end that does not give the global score step by step.
    """

    response: EncodedResponse
    pairs: frozenset[Pair]
    whole: bool


class JobSums(NamedTuple):
    """The answer to a job: a sum for each pair, and the whole if it was wanted."""

    pairs: Mapping[Pair, Sum]
    whole: Sum | None = None


class Backend(Protocol):
    """What the scorer needs. `global_by_step`: gives the global score step by step."""

    global_by_step: bool

    @property
    def path(self) -> str:
        """How the sums come about: "packed", "batched" or "loglikelihood"."""
        ...

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """The answers to all jobs of one prompt, in order."""
        ...


class EngineBackend:
    """Step sums by the engine: all pairs of all responses from one set of runs."""

    global_by_step = True

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def path(self) -> str:
        """The engine's path."""
        return self.engine.path

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """Plans the runs of every response, scores them together, and adds up the steps.

        Runs of the same tokens, such as teachers' common openings, are read once.
        """
        planned = [(job, run) for job in jobs for run in plan_runs(job.pairs)]
        wanted = [_token_run(job.response, run) for job, run in planned]
        distinct = {_identity(one): one for one in wanted}
        answers = self.engine.score(prompt, list(distinct.values()))
        score_of = dict(zip(distinct, answers, strict=True))
        found: dict[int, dict[Pair, Sum]] = {id(job): {} for job in jobs}
        for (job, run), one in zip(planned, wanted, strict=True):
            score = score_of[_identity(one)]
            bounds = np.asarray(job.response.bounds) - job.response.bounds[run.start]
            for step in run.scored:
                value = float(score.logprobs[bounds[step] : bounds[step + 1]].sum())
                found[id(job)][Pair(run.start, step)] = Sum(value, score.failure)
        return [JobSums(found[id(job)]) for job in jobs]


def _identity(run: TokenRun) -> tuple[bytes, bytes]:
    return run.ids.tobytes(), run.scored.tobytes()


def _token_run(response: EncodedResponse, run: Run) -> TokenRun:
    bounds = response.bounds
    ids = response.ids[bounds[run.start] : bounds[run.stop]]
    scored = np.zeros(len(ids), bool)
    for step in run.scored:
        scored[bounds[step] - bounds[run.start] : bounds[step + 1] - bounds[run.start]] = True
    return TokenRun(ids, scored)
