"""Back ends: who computes step sums and statistics for the scorer.

A back end gets one prompt and the encoded responses to it, with the conditionals and statistics
that are wanted, and returns a sum of log-probabilities for each. `EngineBackend` computes them
with our engine; a host brings its own for students that live elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np

from lnat_plugins.engine.planning import Planned, Planner
from lnat_plugins.engine.types import (
    ACTIVATIONS,
    STEP,
    TOKEN,
    Counts,
    Floats,
    PromptRuns,
    RunScores,
    TokenRun,
    check_ids,
    is_special,
)
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps.windows import Pair, Run, plan_runs

OF_ACTIVATIONS: Final = ("cosine_self", "cosine_prompt")
"""Statistics that need the student's last up-projection."""

_OF_UNPROMPTED: Final = ("unprompted", "prompted", "unprompted_tokens")
_BARE_PROMPT: Final = "the prompt holds no tokens but special ones and its first"
_FIRST_TOKENS: Final = {"first_token": 1, "first_two_tokens": 2}


@dataclass(frozen=True)
class Statistics:
    """Statistics of one response, by their names in `engine.types`.

    Attributes:
        by_step: a sum for each step.
        values: one number.
        undefined: the reason where there is none.
        failed: whether a reason is a `RunScores.failure`, which may pass.
    """

    by_step: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            {**self.by_step, **other.by_step},
            {**self.values, **other.values},
            {**self.undefined, **other.undefined},
            self.failed or other.failed,
        )


class Sum(NamedTuple):
    """A sum of log-probabilities in nats, or NaN and why the student gave none.

    What a back end cannot read at all is not wanted of it: its failures are of one reading, and
    may pass.
    """

    value: float
    failure: str = ""


class Job(NamedTuple):
    """What is wanted of one response.

    Args:
        response: its tokens and steps.
        pairs: the (start, step) conditionals wanted.
        whole: whether log p(response | prompt) is wanted as one number; only for a back end
            that does not give the global score step by step.
        statistics: names in `engine.types`, wanted under the whole trace; then `pairs` holds
            every step after all that precede it.
        opening: the token that begins a text without a prompt, if the tokenizer has one.
        special: ids of special tokens, which `content_nll`, `prompt_nll` and the cosines skip.
        tokens: whether the numbers of every token are wanted too.
    """

    response: EncodedResponse
    pairs: frozenset[Pair]
    whole: bool
    statistics: frozenset[str] = frozenset()
    opening: int | None = None
    special: frozenset[int] = frozenset()
    tokens: bool = False


class JobSums(NamedTuple):
    """The result of a job: a sum for each pair; the whole, statistics and tokens if wanted.

    `tags`: pair -> the sum over the tokens of its step that are read and not scored.
    `tokens`: pair -> log p of all tokens of its step.
    `token_statistics`: statistic -> (T,), of those statistics that are of tokens.
    """

    pairs: Mapping[Pair, Sum]
    whole: Sum | None = None
    statistics: Statistics = Statistics()
    tags: Mapping[Pair, float] = MappingProxyType({})
    tokens: Mapping[Pair, Floats] = MappingProxyType({})
    token_statistics: Mapping[str, Floats] = MappingProxyType({})

    @property
    def failed(self) -> bool:
        """Whether a number is missing that another run may have."""
        sums = (*self.pairs.values(), *([self.whole] if self.whole else []))
        return self.statistics.failed or any(one.failure for one in sums)


class PromptCalls(NamedTuple):
    """A prompt, and the jobs of each call of `Backend.sums` for it."""

    prompt: Ids
    calls: Sequence[Sequence[Job]]


class Backend(Protocol):
    """What the scorer needs.

    Attributes:
        global_by_step: whether the global score comes step by step.
        shares_runs: whether narrower windows come out of the runs of a wide one, and tokens have
            numbers of their own.
        on_read: called after each pass of the student.
        at_once: tokens that are best read in one call: prompts of together so many are given to
            `read_ahead` before their sums are asked for. 0 = each prompt alone.
    """

    global_by_step: bool
    shares_runs: bool
    on_read: Callable[[], None]

    @property
    def at_once(self) -> int:
        """See above."""

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Statistic -> why this back end cannot give it; "reward" is no concern of it."""

    @property
    def path(self) -> str:
        """How the sums are computed: "packed", "batched" or "loglikelihood"."""

    @property
    def tokens_read(self) -> int:
        """By the student so far, prompts included: the measure of progress."""

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """The results of all jobs of one prompt, in order."""

    def read_ahead(self, calls: Sequence[PromptCalls]) -> None:
        """Reads what the next calls of `sums` will ask for, so that they only add up."""

    def to_read(self, calls: PromptCalls) -> Planned:
        """Tokens that these calls of `sums` read; nothing is read here."""


def tokens_to_read(backend: Backend, calls: Iterable[PromptCalls]) -> Planned:
    """Of all these prompts."""
    return sum(map(backend.to_read, calls), Planned())


class RunReader(Protocol):
    """An `Engine`, or a `Planner` in its place."""

    counts: Counts
    on_read: Callable[[], None]
    reason: str
    vocabulary: int

    @property
    def path(self) -> str:
        """The pass in use."""

    @property
    def has_activations(self) -> bool:
        """Whether runs may want `ACTIVATIONS`."""

    @property
    def at_once(self) -> int:
        """Tokens that one pass reads."""

    def score_all(self, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        """The numbers of each run of each prompt."""


class EngineBackend:
    """Step sums by the engine: all pairs of all responses from one set of runs."""

    global_by_step = True
    shares_runs = True

    def __init__(self, engine: RunReader) -> None:
        self.engine = engine
        self._ahead: dict[_ReadKey, RunScores] = {}

    @property
    def at_once(self) -> int:
        """The engine's."""
        return self.engine.at_once

    @property
    def path(self) -> str:
        """The engine's path."""
        return self.engine.path

    @property
    def on_read(self) -> Callable[[], None]:
        """The engine's."""
        return self.engine.on_read

    @on_read.setter
    def on_read(self, call: Callable[[], None]) -> None:
        self.engine.on_read = call

    @property
    def tokens_read(self) -> int:
        """The engine's prompt and body tokens."""
        return self.engine.counts.prompt_tokens + self.engine.counts.body_tokens

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Activations, where the student's last layer has none of the kind."""
        reason = "the last layer of this student has no `mlp.up_proj`"
        return {} if self.engine.has_activations else dict.fromkeys(OF_ACTIVATIONS, reason)

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """Plans the runs of every response, scores them together, and adds up the steps.

        Runs of the same tokens, such as teachers' common openings, are read once.
        """
        if not all(key in self._ahead for key in _distinct_reads(PromptCalls(prompt, [jobs]))):
            self.read_ahead([PromptCalls(prompt, [jobs])])
        planned = _planned_runs(jobs)
        scores = self._scores(prompt, [one.read for one in planned])
        pairs: list[dict[Pair, Sum]] = [{} for _ in jobs]
        tags: list[dict[Pair, float]] = [{} for _ in jobs]
        tokens: list[dict[Pair, Floats]] = [{} for _ in jobs]
        statistics = [Statistics() for _ in jobs]
        whole: dict[int, RunScores] = {}
        for (i, run, _), score in zip(planned, scores, strict=True):
            response, offset = jobs[i].response, jobs[i].response.bounds[run.start]
            for step in run.scored:
                pair, (begin, end) = Pair(run.start, step), response.bounds[step : step + 2]
                values, counted = score.logprobs[begin - offset : end - offset], response.scored
                value = float(values[counted[begin:end]].sum())
                pairs[i][pair] = Sum(value, score.failure)
                tags[i][pair] = float(values[~counted[begin:end]].sum())
                if jobs[i].tokens:
                    tokens[i][pair] = values
            if run.start == 0:
                whole[i] = score
                statistics[i] = _statistics_of_run(score, jobs[i])
                statistics[i] += _statistics_of_content(score, prompt, jobs[i])
        for i, of_unprompted in self._unprompted(jobs, whole).items():
            statistics[i] += of_unprompted
        of_prompt = self._prompt_nll(prompt, jobs)
        for i, job in enumerate(jobs):
            if "prompt_nll" in job.statistics:
                statistics[i] += of_prompt
        return [
            JobSums(
                pairs[i], None, statistics[i], tags[i], tokens[i],
                _kept_statistics(job, whole.get(i)),
            )
            for i, job in enumerate(jobs)
        ]  # fmt: skip

    def read_ahead(self, calls: Sequence[PromptCalls]) -> None:
        """Scores all runs of all prompts in one call of the engine, and keeps their numbers."""
        self._ahead = {}
        keys, reads = [], []
        for one in calls:
            for prompt, runs in _by_prompt(_distinct_reads(one)):
                keys.append(list(runs))
                reads.append(PromptRuns(prompt, [*runs.values()]))
        for own, scores in zip(keys, self.engine.score_all(reads), strict=True):
            self._ahead.update(zip(own, scores, strict=True))

    def to_read(self, calls: PromptCalls) -> Planned:
        """As `read_ahead` plans and the engine's pass in use reads.

        Raises StudentError as the engine does for a token that the student does not have.
        """
        planner = Planner(self.engine.path)
        reads = [
            PromptRuns(prompt, [*runs.values()])
            for prompt, runs in _by_prompt(_distinct_reads(calls))
        ]
        for prompt, runs in reads:
            check_ids([prompt, *(run.ids for run in runs)], self.engine.vocabulary)
        planner.add(reads)
        return planner.planned

    def _scores(self, prompt: Ids, runs: Sequence[TokenRun]) -> list[RunScores]:
        """The scores of runs that were read."""
        return [self._ahead[_read_key(prompt, run)] for run in runs]

    def _prompt_nll(self, prompt: Ids, jobs: Sequence[Job]) -> Statistics:
        """The mean NLL of the prompt's tokens, each after those before it, if a job wants it."""
        if not any("prompt_nll" in job.statistics for job in jobs):
            return Statistics()
        planned = _prompt_run(prompt, jobs)
        if planned is None:
            return Statistics(undefined={"prompt_nll": _BARE_PROMPT})
        (run,) = self._scores(prompt[:1], [planned])
        scored = planned.scored
        if run.failure:
            return Statistics(undefined={"prompt_nll": run.failure}, failed=True)
        return Statistics(values={"prompt_nll": -float(run.logprobs[scored].mean())})

    def _unprompted(
        self, jobs: Sequence[Job], whole: Mapping[int, RunScores]
    ) -> dict[int, Statistics]:
        """Sums of the same tokens without and with the prompt, for the jobs that want them.

        Without its prompt a response is read after the token that opens a text; where the
        tokenizer has none, after its own first token, which then is not scored.
        """
        by_opening, without = _unprompted_runs(jobs)
        undefined = dict.fromkeys(without, "one token has no context without a prompt")
        failures: dict[int, str] = {}
        found: dict[int, Statistics] = {}
        for opening, group in by_opening.items():
            alone_of = self._scores(np.array([opening]), [*group.values()])
            for (i, run), alone in zip(group.items(), alone_of, strict=True):
                with_prompt = whole[i].logprobs[-len(run.ids) :]
                n = int(run.scored.sum())
                sums = alone.logprobs[run.scored].sum(), with_prompt[run.scored].sum(), n
                found[i] = Statistics(
                    values=dict(zip(_OF_UNPROMPTED, map(float, sums), strict=True))
                )
                if failure := alone.failure or whole[i].failure:
                    failures[i] = failure
        return found | {
            i: Statistics(undefined=dict.fromkeys(_OF_UNPROMPTED, reason), failed=i in failures)
            for i, reason in {**undefined, **failures}.items()
        }


class _Read(NamedTuple):
    """A run and what stands before it."""

    before: Ids
    run: TokenRun


class _PlannedRun(NamedTuple):
    """A run of the job of that index, and what the engine reads for it."""

    job: int
    run: Run
    read: TokenRun


def _planned_runs(jobs: Sequence[Job]) -> list[_PlannedRun]:
    return [
        _PlannedRun(i, run, _token_run(job, run))
        for i, job in enumerate(jobs)
        for run in plan_runs(job.pairs)
    ]


def _unprompted_runs(jobs: Sequence[Job]) -> tuple[dict[int, dict[int, TokenRun]], list[int]]:
    """Opening token -> job -> its run after that; and the jobs that want one and have none."""
    by_opening: dict[int, dict[int, TokenRun]] = {}
    without = []
    for i, job in enumerate(jobs):
        if "unprompted" in job.statistics:
            ids, scored = job.response.ids, job.response.scored
            opening, n = (
                (int(ids[0]), len(ids) - 1) if job.opening is None else (job.opening, len(ids))
            )
            if n and scored[-n:].any():
                by_opening.setdefault(opening, {})[i] = TokenRun(ids[-n:], scored[-n:])
            else:
                without.append(i)
    return by_opening, without


def _prompt_run(prompt: Ids, jobs: Sequence[Job]) -> TokenRun | None:
    """The prompt after its first token, if a job wants its NLL and it holds tokens to score."""
    special = next((job.special for job in jobs if "prompt_nll" in job.statistics), None)
    if special is None or not (scored := ~is_special(prompt[1:], special)).any():
        return None
    return TokenRun(prompt[1:], scored)


def _reads(prompt: Ids, jobs: Sequence[Job]) -> Iterator[tuple[Ids, list[TokenRun]]]:
    """What `EngineBackend.sums` adds up."""
    yield prompt, [one.read for one in _planned_runs(jobs)]
    for opening, group in _unprompted_runs(jobs)[0].items():
        yield np.array([opening]), [*group.values()]
    if (of_prompt := _prompt_run(prompt, jobs)) is not None:
        yield prompt[:1], [of_prompt]


_ReadKey = tuple[bytes, bytes, bytes, bytes, frozenset[str]]
"""What is read: prompt and run; equal ones are read once."""


def _read_key(prompt: Ids, run: TokenRun) -> _ReadKey:
    return (
        prompt.tobytes(), run.ids.tobytes(), run.scored.tobytes(), _left_out_of(run), run.wanted
    )  # fmt: skip


def _distinct_reads(calls: PromptCalls) -> dict[_ReadKey, _Read]:
    """What these calls read, each once."""
    return {
        _read_key(before, run): _Read(before, run)
        for jobs in calls.calls
        for before, runs in _reads(calls.prompt, jobs)
        for run in runs
    }


def _by_prompt(
    reads: Mapping[_ReadKey, _Read],
) -> Iterator[tuple[Ids, dict[_ReadKey, TokenRun]]]:
    """Each prompt with its runs."""
    found: dict[bytes, tuple[Ids, dict[_ReadKey, TokenRun]]] = {}
    for key, (before, run) in reads.items():
        found.setdefault(key[0], (before, {}))[1][key] = run
    yield from found.values()


def _left_out_of(run: TokenRun) -> bytes:
    return run.left_out.tobytes() if ACTIVATIONS in run.wanted else b""


def _token_run(job: Job, run: Run) -> TokenRun:
    bounds = job.response.bounds
    ids = job.response.ids[bounds[run.start] : bounds[run.stop]]
    scored = np.zeros(len(ids), bool)
    for step in run.scored:
        scored[bounds[step] - bounds[run.start] : bounds[step + 1] - bounds[run.start]] = True
    wanted: set[str] = set()
    if run.start == 0:
        wanted = set(job.statistics & set(TOKEN))
        if job.statistics & set(OF_ACTIVATIONS):
            wanted.add(ACTIVATIONS)
    if ACTIVATIONS not in wanted:
        return TokenRun(ids, scored, frozenset(wanted))
    skipped = ~job.response.scored[bounds[run.start] : bounds[run.stop]]
    return TokenRun(ids, scored, frozenset(wanted), job.special, skipped)


def _statistics_of_run(run: RunScores, job: Job) -> Statistics:
    """Those of steps, from the run over the whole response."""
    names = [name for name in STEP if name in job.statistics]
    if run.failure:
        return Statistics(undefined=dict.fromkeys(names, run.failure), failed=True)
    by_step: dict[str, tuple[float, ...]] = {}
    for name in names:
        values = run.statistics[name] if name in TOKEN else run.logprobs
        n = _FIRST_TOKENS.get(name)
        steps = map(job.response.scored_in, range(job.response.n_steps))
        by_step[name] = tuple(float(values[scored[:n]].sum()) for scored in steps)
    return Statistics(by_step)


def _kept_statistics(job: Job, run: RunScores | None) -> dict[str, Floats]:
    """Those of tokens, where tokens are wanted and the run over the whole response has them."""
    return dict(run.statistics) if job.tokens and run is not None and not run.failure else {}


def _statistics_of_content(run: RunScores, prompt: Ids, job: Job) -> Statistics:
    """Mean cosines and mean NLL over the tokens that are not special."""
    wanted = [name for name in (*OF_ACTIVATIONS, "content_nll") if name in job.statistics]
    if not wanted:
        return Statistics()
    own = job.response.scored & ~is_special(job.response.ids, job.special)
    n_own, n_prompt = int(own.sum()), int((~is_special(prompt, job.special)).sum())
    failure = run.failure or ("" if n_own else "the response holds only special tokens and tags")
    if failure:
        return Statistics(undefined=dict.fromkeys(wanted, failure), failed=bool(run.failure))
    values = {"content_nll": -float(run.logprobs[own].mean())}
    if run.activations is not None:
        values["cosine_self"] = run.activations.own / n_own**2
        if n_prompt:
            values["cosine_prompt"] = run.activations.prompt / (n_own * n_prompt)
    return Statistics(
        values={name: values[name] for name in wanted if name in values},
        undefined={name: _BARE_PROMPT for name in wanted if name not in values},
    )
