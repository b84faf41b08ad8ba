"""Step sums from any back end of lm-eval, through the one method that takes token ids.

Each conditional is one request of context ids and continuation ids, so every token-level
back end (vLLM, SGLang, API models that return log-probabilities, ...) gives exactly the
numbers of the definition, at the cost of reading each window anew. The global score is
asked for as one request a response; its split into steps is then not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lnat_plugins.scorer.backend import Job, JobSums, Sum
from lnat_plugins.statistics_names import ALL
from lnat_plugins.tokens import Ids

_Request = tuple[None, list[int], list[int]]
_Answer = tuple[float, bool]


class LoglikelihoodBackend:
    """Answers jobs with `lm._loglikelihood_tokens`."""

    global_by_step = False
    path = "loglikelihood"
    lacks = dict.fromkeys(sorted(ALL - {"reward"}), "this back end gives log-probabilities only")

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self.tokens_read = 0

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """All requests of one prompt at once, so that the back end can batch them."""
        context = prompt.tolist()
        requests: list[_Request] = []
        for job in jobs:
            bounds, ids = job.response.bounds, job.response.ids.tolist()
            for start, step in sorted(job.pairs):
                seen = context + ids[bounds[start] : bounds[step]]
                requests.append((None, seen, ids[bounds[step] : bounds[step + 1]]))
            if job.whole:
                requests.append((None, context, ids))
        self.tokens_read += sum(len(seen) + len(asked) for _, seen, asked in requests)
        answers = iter(self._ask(requests))
        results = []
        for job in jobs:
            pairs = {pair: _sum(next(answers)) for pair in sorted(job.pairs)}
            results.append(JobSums(pairs, _sum(next(answers)) if job.whole else None))
        return results

    def _ask(self, requests: Sequence[_Request]) -> list[_Answer]:
        answers: dict[int, _Answer] = {}
        for part in _apart(requests):
            asked = [requests[i] for i in part]
            found = self._lm._loglikelihood_tokens(asked, disable_tqdm=True)
            answers |= dict(zip(part, found, strict=True))
        return [answers[i] for i in range(len(requests))]


def _apart(requests: Sequence[_Request]) -> list[list[int]]:
    """Indices of the requests, in as few calls as give right answers.

    lm-eval's `hf` reads requests once whose tokens, the last left out, are the same, and takes
    all their continuations from the beginning of the longest one. That is wrong for
    continuations of different lengths, such as the last step and the whole response.
    """
    lengths: dict[tuple[int, ...], list[int]] = {}
    parts: dict[int, list[int]] = {}
    for i, (_, seen, asked) in enumerate(requests):
        known = lengths.setdefault((*seen, *asked[:-1]), [])
        if len(asked) not in known:
            known.append(len(asked))
        parts.setdefault(known.index(len(asked)), []).append(i)
    return list(parts.values())


def _sum(answer: _Answer) -> Sum:
    value = float(answer[0])
    if math.isfinite(value):
        return Sum(value)
    return Sum(math.nan, "the back end gave a log-probability of NaN or infinity")
