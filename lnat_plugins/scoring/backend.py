"""From the numbers of tokens to the statistics of steps and of a response.

Knows nothing of windows and of what metrics make of the statistics.

Who computes step sums: the seam between the scorer and whatever runs the student.

A back end gets one prompt and the encoded responses to it, with the conditionals and statistics
that are wanted, and returns a sum of log-probabilities for each. `EngineBackend` computes them
with our engine; a host brings its own for students that live elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ACTIVATIONS, STEP, TOKEN, RunScores, TokenRun, is_special
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps.windows import Pair, Run, plan_runs

OF_ACTIVATIONS: Final = ("cosine_self", "cosine_prompt")
OF_UNPROMPTED: Final = ("unprompted", "prompted", "unprompted_tokens")

_FIRST: Final = {"first_token": 1, "first_two_tokens": 2}


@dataclass(frozen=True)
class Statistics:
    """Statistics of one response, by name.

    by_step: a sum for each step.
    values: one number.
    undefined: why there is none.
    """

    by_step: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            {**self.by_step, **other.by_step},
            {**self.values, **other.values},
            {**self.undefined, **other.undefined},
        )


def wanted_of_tokens(names: frozenset[str]) -> frozenset[str]:
    """What the engine must gather for these statistics."""
    activations = {ACTIVATIONS} if names & set(OF_ACTIVATIONS) else set()
    return frozenset(names & set(TOKEN) | activations)


def by_step(run: RunScores, bounds: Sequence[int], names: frozenset[str]) -> Statistics:
    """Sums over the tokens of each step; a step without a token has a sum of 0.

    Args:
        run: the whole response.
        bounds: n + 1 token positions at which the n steps begin and end.
        names: of `statistics_names.STEP`, others are left out.
    """
    asked = [name for name in STEP if name in names]
    if run.failure:
        return Statistics(undefined=dict.fromkeys(asked, run.failure))
    found: dict[str, tuple[float, ...]] = {}
    for name in asked:
        values = run.statistics[name] if name in TOKEN else run.logprobs
        most = _FIRST.get(name, len(values))
        found[name] = tuple(
            float(values[begin : min(end, begin + most)].sum())
            for begin, end in itertools.pairwise(bounds)
        )
    return Statistics(found)


def of_content(run: RunScores, prompt: Ids, job: Job) -> Statistics:
    """Mean cosines and mean NLL over the tokens that are not special.

    Args:
        run: the whole response.
        prompt: shape (P,).
        job: the response, the special tokens and the statistics wanted.
    """
    wanted = [name for name in (*OF_ACTIVATIONS, "content_nll") if name in job.statistics]
    if not wanted:
        return Statistics()
    own = ~is_special(job.response.ids, job.special)
    n_own, n_prompt = int(own.sum()), int((~is_special(prompt, job.special)).sum())
    failure = run.failure or ("" if n_own else "the response holds only special tokens")
    if failure:
        return Statistics(undefined=dict.fromkeys(wanted, failure))
    values = {"content_nll": -float(run.logprobs[own].mean())}
    if run.activations is not None:
        values["cosine_self"] = run.activations.own / n_own**2
        if n_prompt:
            values["cosine_prompt"] = run.activations.prompt / (n_own * n_prompt)
    return Statistics(
        values={name: values[name] for name in wanted if name in values},
        undefined={name: _BARE_PROMPT for name in wanted if name not in values},
    )


class Unprompted(NamedTuple):
    """A response read without its prompt; `scores` is None if no token of it can be scored.

    tokens: how many of the response's last tokens are scored.
    """

    scores: RunScores | None
    tokens: int


def unprompted_run(ids: Ids, opening: int | None) -> tuple[Ids, TokenRun]:
    """What stands before the response when it is read without its prompt, and what is scored.

    That is the token that opens a text; where the tokenizer has none, it is the response's own
    first token, which then is not scored.
    """
    before, scored = (ids[:1], ids[1:]) if opening is None else (np.array([opening]), ids)
    return before, TokenRun(scored, np.ones(len(scored), bool))


def of_unprompted(alone: Unprompted, whole: RunScores) -> Statistics:
    """Sums of the same tokens without and with the prompt."""
    failure = "one token has no context without a prompt"
    if alone.scores is not None:
        failure = alone.scores.failure or whole.failure
    if failure:
        return Statistics(undefined=dict.fromkeys(OF_UNPROMPTED, failure))
    assert alone.scores is not None
    without = float(alone.scores.logprobs.sum())
    with_prompt = float(whole.logprobs[-alone.tokens :].sum())
    sums = (without, with_prompt, float(alone.tokens))
    return Statistics(values=dict(zip(OF_UNPROMPTED, sums, strict=True)))


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
        statistics: names of `statistics_names`, wanted under the whole trace; then `pairs` holds
            every step after all that precede it.
        opening: the token that begins a text without a prompt, if the tokenizer has one.
        special: ids of special tokens, which `content_nll`, `prompt_nll` and the cosines skip.
    """

    response: EncodedResponse
    pairs: frozenset[Pair]
    whole: bool
    statistics: frozenset[str] = frozenset()
    opening: int | None = None
    special: frozenset[int] = frozenset()


class JobSums(NamedTuple):
    """The answer to a job: a sum for each pair, the whole and the statistics if wanted."""

    pairs: Mapping[Pair, Sum]
    whole: Sum | None = None
    statistics: Statistics = Statistics()


class Backend(Protocol):
    """What the scorer needs.

    global_by_step: gives the global score step by step.
    lacks: statistic -> why this back end cannot give it.
    """

    global_by_step: bool

    @property
    def lacks(self) -> Mapping[str, str]:
        """Names of `statistics_names` but "reward", each with its reason."""
        ...

    @property
    def path(self) -> str:
        """How the sums come about: "packed", "batched" or "loglikelihood"."""
        ...

    @property
    def tokens_read(self) -> int:
        """By the student so far, prompts included: the measure of what is done."""
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

    @property
    def tokens_read(self) -> int:
        """The engine's prompt and body tokens."""
        return self.engine.counts.prompt_tokens + self.engine.counts.body_tokens

    @property
    def lacks(self) -> Mapping[str, str]:
        """Activations, where the student's last layer has none of the kind."""
        if self.engine.has_activations:
            return MappingProxyType({})
        return dict.fromkeys(OF_ACTIVATIONS, _NO_PROJECTION)

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """Plans the runs of every response, scores them together, and adds up the steps.

        Runs of the same tokens, such as teachers' common openings, are read once.
        """
        planned = [(job, run) for job in jobs for run in plan_runs(job.pairs)]
        wanted = [_token_run(job, run) for job, run in planned]
        score_of = self._scores(prompt, wanted)
        found: dict[int, dict[Pair, Sum]] = {id(job): {} for job in jobs}
        whole: dict[int, RunScores] = {}
        for (job, run), one in zip(planned, wanted, strict=True):
            score = score_of[_identity(one)]
            if run.start == 0:
                whole[id(job)] = score
            bounds = np.asarray(job.response.bounds) - job.response.bounds[run.start]
            for step in run.scored:
                value = float(score.logprobs[bounds[step] : bounds[step + 1]].sum())
                found[id(job)][Pair(run.start, step)] = Sum(value, score.failure)
        alone = self._without_prompt([job for job in jobs if "unprompted" in job.statistics])
        of_prompt = self._prompt_nll(prompt, jobs)
        answers = []
        for job in jobs:
            statistics = _statistics(job, prompt, whole.get(id(job)), alone.get(id(job)))
            if "prompt_nll" in job.statistics:
                statistics += of_prompt
            answers.append(JobSums(found[id(job)], statistics=statistics))
        return answers

    def _scores(self, prompt: Ids, runs: Sequence[TokenRun]) -> dict[_Identity, RunScores]:
        distinct = {_identity(one): one for one in runs}
        answers = self.engine.score(prompt, list(distinct.values()))
        return dict(zip(distinct, answers, strict=True))

    def _prompt_nll(self, prompt: Ids, jobs: Sequence[Job]) -> Statistics:
        """The mean NLL of the prompt's tokens, each after those before it, if a job wants it."""
        wanting = [job for job in jobs if "prompt_nll" in job.statistics]
        if not wanting:
            return Statistics()
        scored = ~is_special(prompt[1:], wanting[0].special)
        if not scored.any():
            return Statistics(undefined={"prompt_nll": _BARE_PROMPT})
        (run,) = self.engine.score(prompt[:1], [TokenRun(prompt[1:], scored)])
        if run.failure:
            return Statistics(undefined={"prompt_nll": run.failure})
        return Statistics(values={"prompt_nll": -float(run.logprobs[scored].mean())})

    def _without_prompt(self, jobs: Sequence[Job]) -> dict[int, Unprompted]:
        """Each response read alone; those that begin alike together."""
        together: dict[bytes, list[tuple[Job, Ids, TokenRun]]] = {}
        for job in jobs:
            opening, run = unprompted_run(job.response.ids, job.opening)
            together.setdefault(opening.tobytes(), []).append((job, opening, run))
        found: dict[int, Unprompted] = {}
        for group in together.values():
            runs = [run for _, _, run in group if len(run.ids)]
            score_of = self._scores(group[0][1], runs) if runs else {}
            for job, _, run in group:
                found[id(job)] = Unprompted(score_of.get(_identity(run)), len(run.ids))
        return found


def _statistics(
    job: Job, prompt: Ids, whole: RunScores | None, alone: Unprompted | None
) -> Statistics:
    """`whole`: the run that begins with the first step; it goes on to the last one."""
    if whole is None:
        return Statistics()
    found = by_step(whole, job.response.bounds, job.statistics)
    found += of_content(whole, prompt, job)
    return found if alone is None else found + of_unprompted(alone, whole)


_BARE_PROMPT: Final = "the prompt holds no tokens but special ones and its first"
_NO_PROJECTION: Final = "the last layer of this student has no `mlp.up_proj`"
_Identity = tuple[bytes, bytes, frozenset[str]]


def _identity(run: TokenRun) -> _Identity:
    return run.ids.tobytes(), run.scored.tobytes(), run.wanted


def _token_run(job: Job, run: Run) -> TokenRun:
    response, bounds = job.response, job.response.bounds
    ids = response.ids[bounds[run.start] : bounds[run.stop]]
    scored = np.zeros(len(ids), bool)
    for step in run.scored:
        scored[bounds[step] - bounds[run.start] : bounds[step + 1] - bounds[run.start]] = True
    wanted = wanted_of_tokens(job.statistics if run.start == 0 else frozenset())
    special = job.special if ACTIVATIONS in wanted else frozenset()
    return TokenRun(ids, scored, wanted, special)
