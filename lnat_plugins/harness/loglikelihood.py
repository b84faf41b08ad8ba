"""Log-probabilities through lm-eval's own token requests, for every back end but ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np

from lnat_plugins.engine.planning import Planned
from lnat_plugins.engine.types import ALL
from lnat_plugins.scoring.backend import Job, JobSums, PromptCalls, Sum
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps.windows import Pair

_NOT_FINITE: Final = Sum(math.nan, "the back end gave a log-probability of NaN or infinity")

_TokenRequest = tuple[None, list[int], list[int]]


class LoglikelihoodBackend:
    """Step sums from any back end of lm-eval, through its `_loglikelihood_tokens`.

    Each conditional is one request of context ids and continuation ids: exactly the numbers of the
    definition, at the cost of reading each window anew. The global score is one request a response;
    its split into steps is then not known. What tags divide is one request a part.
    """

    global_by_step = False
    shares_runs = False
    path = "loglikelihood"
    at_once = 0
    unavailable = dict.fromkeys(
        sorted(ALL - {"reward"}), "this back end gives log-probabilities only"
    )

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self.tokens_read = 0
        self.on_read: Callable[[], None] = lambda: None

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """All requests of one prompt at once, so that the back end can batch them."""
        requests, wanted = _requests(prompt, jobs)
        values: dict[int, float] = {}
        for part in _separate_calls(requests):
            called = [requests[i] for i in part]
            replies = self._lm._loglikelihood_tokens(called, disable_tqdm=True)
            self.tokens_read += _tokens(called)
            self.on_read()
            values |= {i: float(value) for i, (value, _) in zip(part, replies, strict=True)}
        found = [
            {pair: _added(values[i] for i in parts) for pair, parts in of_job.items()}
            for of_job in wanted
        ]
        return [
            JobSums({pair: one for pair, one in of_job.items() if pair}, of_job.get(None))
            for of_job in found
        ]

    def reading(self, calls: Sequence[PromptCalls]) -> AbstractContextManager[None]:
        """Nothing: `sums` sends all requests of a prompt at once."""
        return nullcontext()

    def to_read(self, calls: PromptCalls) -> Planned:
        """Of the requests' tokens those of the prompt, and the others."""
        found = Planned()
        for jobs in calls.calls:
            requests, _ = _requests(calls.prompt, jobs)
            of_prompt = len(calls.prompt) * len(requests)
            found += Planned(of_prompt, _tokens(requests) - of_prompt)
        return found


def _requests(
    prompt: Ids, jobs: Sequence[Job]
) -> tuple[list[_TokenRequest], list[dict[Pair | None, range]]]:
    """All requests, and for each job the numbers of those of each pair; None = of the whole."""
    context = prompt.tolist()
    requests: list[_TokenRequest] = []
    wanted: list[dict[Pair | None, range]] = []
    for job in jobs:
        response, of_job = job.response, {}
        for pair in (*sorted(job.pairs), *([None] if job.whole else [])):
            first, last = (0, response.n_steps) if pair is None else (pair.step, pair.step + 1)
            window = 0 if pair is None else pair.start
            begin, behind = response.bounds[window], context + response.before(window).tolist()
            n = len(requests)
            for start, end in _scored_parts(response, first, last):
                ids = response.ids[begin:end].tolist()
                requests.append((None, behind + ids[: start - begin], ids[start - begin :]))
            of_job[pair] = range(n, len(requests))
        wanted.append(of_job)
    return requests, wanted


def _tokens(requests: Sequence[_TokenRequest]) -> int:
    return sum(len(before) + len(scored) for _, before, scored in requests)


def _scored_parts(response: EncodedResponse, first: int, last: int) -> list[tuple[int, int]]:
    """Where tokens are scored one after another in the steps `first` to `last`: (start, end)s."""
    begin, end = response.bounds[first], response.bounds[last]
    change = np.diff(response.scored[begin:end].astype(int), prepend=0, append=0)
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return [(begin + int(a), begin + int(b)) for a, b in zip(starts, ends, strict=True)]


def _added(values: Iterable[float]) -> Sum:
    total = math.fsum(values)
    return Sum(total) if math.isfinite(total) else _NOT_FINITE


def _separate_calls(requests: Sequence[_TokenRequest]) -> list[list[int]]:
    """Indices of the requests, in as few calls as give right results.

    lm-eval's `hf` reads requests once whose tokens, but for the last, are the same, and takes
    all their continuations from the beginning of the longest one. That is wrong for
    continuations of different lengths, such as the last step and the whole response.
    """
    lengths: dict[tuple[int, ...], list[int]] = {}
    calls: dict[int, list[int]] = {}
    for i, (_, before, scored) in enumerate(requests):
        known = lengths.setdefault((*before, *scored[:-1]), [])
        if len(scored) not in known:
            known.append(len(scored))
        calls.setdefault(known.index(len(scored)), []).append(i)
    return list(calls.values())
