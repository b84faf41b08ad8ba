"""Step sums by our engine: all pairs of all responses from one set of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from lnat_plugins.scoring.backend import (
    OF_ACTIVATIONS,
    Job,
    JobSums,
    PromptCalls,
    Statistics,
    Sum,
)
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps.windows import Pair, Run, plan_runs

_OF_UNPROMPTED: Final = ("unprompted", "prompted", "unprompted_tokens")
_BARE_PROMPT: Final = "the prompt holds no tokens but special ones and its first"
_FIRST_TOKENS: Final = {"first_token": 1, "first_two_tokens": 2}


class RunReader(Protocol):
    """An `Engine`, another reader of runs, or a `Planner` in its place."""

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
        calls = PromptCalls(prompt, [jobs])
        found = self._ahead
        if not all(key in found for key in _distinct_reads(calls)):
            found = self._read([calls])
        planned = _planned_runs(jobs)
        scores = [found[_read_key(prompt, one.read)] for one in planned]
        pairs: list[dict[Pair, Sum]] = [{} for _ in jobs]
        tags: list[dict[Pair, float]] = [{} for _ in jobs]
        tokens: list[dict[Pair, Floats]] = [{} for _ in jobs]
        statistics = [Statistics() for _ in jobs]
        whole: dict[int, RunScores] = {}
        for (i, run, _), found_of in zip(planned, scores, strict=True):
            response = jobs[i].response
            score = _to_the_end(found_of, response, run)
            offset = response.bounds[run.start] - len(response.before(run.start))
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
        for i, of_unprompted in _unprompted(jobs, whole, found).items():
            statistics[i] += of_unprompted
        of_prompt = _prompt_nll(prompt, jobs, found)
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

    @contextmanager
    def reading(self, calls: Sequence[PromptCalls]) -> Iterator[None]:
        """Scores all runs of all prompts in one call of the engine, and keeps their numbers."""
        self._ahead = self._read(calls)
        try:
            yield
        finally:
            self._ahead = {}

    def _read(self, calls: Sequence[PromptCalls]) -> dict[_ReadKey, RunScores]:
        keys, reads = [], []
        for one in calls:
            for prompt, runs in _by_prompt(_distinct_reads(one)):
                keys.append(list(runs))
                reads.append(PromptRuns(prompt, [*runs.values()]))
        found: dict[_ReadKey, RunScores] = {}
        for own, scores in zip(keys, self.engine.score_all(reads), strict=True):
            found.update(zip(own, scores, strict=True))
        return found

    def planner(self) -> Planner:
        """Counts what the engine will read."""
        return Planner(self.engine.path)

    def to_read(self, calls: PromptCalls) -> Planned:
        """As `reading` plans and the engine's pass in use reads.

        Raises StudentError as the engine does for a token that the student does not have.
        """
        planner = self.planner()
        reads = [
            PromptRuns(prompt, [*runs.values()])
            for prompt, runs in _by_prompt(_distinct_reads(calls))
        ]
        for prompt, runs in reads:
            check_ids([prompt, *(run.ids for run in runs)], self.engine.vocabulary)
        planner.add(reads)
        return planner.planned


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


def _prompt_nll(
    prompt: Ids, jobs: Sequence[Job], found: Mapping[_ReadKey, RunScores]
) -> Statistics:
    """The mean NLL of the prompt's tokens, each after those before it, if a job wants it."""
    if not any("prompt_nll" in job.statistics for job in jobs):
        return Statistics()
    planned = _prompt_run(prompt, jobs)
    if planned is None:
        return Statistics(undefined={"prompt_nll": _BARE_PROMPT})
    run = found[_read_key(prompt[:1], planned)]
    scored = planned.scored
    if run.failure:
        return Statistics(undefined={"prompt_nll": run.failure}, failed=True)
    return Statistics(values={"prompt_nll": -float(run.logprobs[scored].mean())})


def _unprompted(
    jobs: Sequence[Job], whole: Mapping[int, RunScores], read: Mapping[_ReadKey, RunScores]
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
        for i, run in group.items():
            alone = read[_read_key(np.array([opening]), run)]
            with_prompt = whole[i].logprobs[-len(run.ids) :]
            n = int(run.scored.sum())
            sums = alone.logprobs[run.scored].sum(), with_prompt[run.scored].sum(), n
            found[i] = Statistics(values=dict(zip(_OF_UNPROMPTED, map(float, sums), strict=True)))
            if failure := alone.failure or whole[i].failure:
                failures[i] = failure
    return found | {
        i: Statistics(undefined=dict.fromkeys(_OF_UNPROMPTED, reason), failed=i in failures)
        for i, reason in {**undefined, **failures}.items()
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
    bounds, before = job.response.bounds, job.response.before(run.start)
    end = job.response.end(run.stop - 1)
    ids = np.concatenate([before, job.response.ids[bounds[run.start] : end]])
    scored = np.zeros(len(ids), bool)
    offset = bounds[run.start] - len(before)
    for step in run.scored:
        scored[bounds[step] - offset : bounds[step + 1] - offset] = True
    wanted: set[str] = set()
    if run.start == 0:
        wanted = set(job.statistics & set(TOKEN))
        if job.statistics & set(OF_ACTIVATIONS):
            wanted.add(ACTIVATIONS)
    if ACTIVATIONS not in wanted:
        return TokenRun(ids, scored, frozenset(wanted))
    skipped = ~job.response.scored[bounds[run.start] : end]
    return TokenRun(ids, scored, frozenset(wanted), job.special, skipped)


def _to_the_end(found: RunScores, response: EncodedResponse, run: Run) -> RunScores:
    """With NaN for the tokens behind the last one that was read; see `EncodedResponse.end`."""
    unread = response.bounds[run.stop] - response.end(run.stop - 1)
    if not unread:
        return found
    nothing = np.full(unread, np.nan)
    return found._replace(
        logprobs=np.append(found.logprobs, nothing),
        statistics={name: np.append(own, nothing) for name, own in found.statistics.items()},
    )


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
