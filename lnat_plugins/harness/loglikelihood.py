"""Log-probabilities through lm-eval's own token requests, for every back end but ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from transformers import PreTrainedModel

from lnat_plugins.engine.engine import is_out_of_memory, vocabulary_of
from lnat_plugins.engine.planning import Planned
from lnat_plugins.engine.types import ALL, OUT_OF_MEMORY, check_ids
from lnat_plugins.scoring.backend import Job, JobSums, PromptCalls, Sum
from lnat_plugins.scoring.tokens import EncodedResponse, Ids
from lnat_plugins.steps.windows import Pair

_NO_MEMORY: Final = Sum(math.nan, OUT_OF_MEMORY)
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
        model = getattr(lm, "model", None)
        self._vocabulary = vocabulary_of(model) if isinstance(model, PreTrainedModel) else 0
        self.tokens_read = 0
        self.on_read: Callable[[], None] = lambda: None

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """All requests of one prompt at once, so that the back end can batch them."""
        requests, wanted = _requests(prompt, jobs)
        values: dict[int, Sum] = {}
        for part in _separate_calls(requests):
            values |= zip(part, self._read([requests[i] for i in part]), strict=True)
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

    def _read(self, requests: Sequence[_TokenRequest]) -> list[Sum]:
        """The sum of each request. Where memory runs out they are read in halves, to the last."""
        replies = None
        try:
            replies = self._lm._loglikelihood_tokens(requests, disable_tqdm=True)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Out of the handler, whose error keeps all that the pass had made in memory.
        if replies is None:
            torch.cuda.empty_cache()
            if len(requests) == 1:
                return [_NO_MEMORY]
            middle = len(requests) // 2
            return [*self._read(requests[:middle]), *self._read(requests[middle:])]
        self.tokens_read += _tokens(requests)
        self.on_read()
        values = [float(value) for value, _ in replies]
        return [Sum(value) if math.isfinite(value) else _NOT_FINITE for value in values]

    def to_read(self, calls: PromptCalls) -> Planned:
        """Of the requests' tokens those of the prompt, and the others.

        Raises:
            StudentError: a token that the student's embedding does not have.
        """
        responses = [job.response.ids for jobs in calls.calls for job in jobs]
        check_ids([calls.prompt, *responses], self._vocabulary)
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


def _added(parts: Iterable[Sum]) -> Sum:
    found = list(parts)
    failed = next((one for one in found if one.failure), None)
    return failed or Sum(math.fsum(one.value for one in found))


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
