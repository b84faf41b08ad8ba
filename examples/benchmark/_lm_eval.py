"""What a user would do today: lm-eval's `hf` and one `loglikelihood` request a step and window.

Knows nothing of our engine. `HFLM` is taken as it is, on the workload's own model object. What it
is too slow to do in full is done for a seeded sample of the requests, and scaled.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from _contenders import Contender, Sums
from _workloads import Key, Request, Workload
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lnat_plugins.engine.types import Counts


class Tokens(NamedTuple):
    """A request as lm-eval sees it after tokenising; `context` holds the prompt's tokens."""

    prompt: int
    context: list[int]
    continuation: list[int]

    @property
    def positions(self) -> int:
        """Tokens read for it; the last one never is."""
        return len(self.context) + len(self.continuation) - 1


class Asked(NamedTuple):
    """The requests of a workload and window set, as lm-eval reads them.

    Args:
        requests: those that lm-eval can take.
        tokens: what it makes of each.
        unanswered: requests that it cannot take, because gluing leaves no token of the step.
    """

    requests: list[Request]
    tokens: Mapping[Key, Tokens]
    unanswered: int


def ask(workload: Workload, requests: Sequence[Request]) -> Asked:
    """What lm-eval makes of each request: strings tokenised anew, or the ids themselves."""
    lm = language_model(workload, 1)
    tokens = {}
    for request in requests:
        prompt = len(workload.traces[request.key.trace].prompt)
        pair = (request.context, request.continuation)
        if workload.is_text:
            pair = lm._encode_pair(*request.strings)
        tokens[request.key] = Tokens(prompt, *pair)
    answered = [request for request in requests if tokens[request.key].continuation]
    return Asked(answered, tokens, len(requests) - len(answered))


def language_model(workload: Workload, batch_size: int, **options: Any) -> Any:
    """lm-eval's `hf` on the workload's own model object."""
    return HFLM(
        pretrained=workload.model,
        tokenizer=workload.tokenizer,
        backend="causal",
        batch_size=batch_size,
        max_length=workload.model.config.max_position_embeddings,
        **options,
    )


def sample(asked: Asked, batch_size: int, least: int, seed: int) -> list[Request]:
    """A seeded choice of whole batches, of at least `least` positions; all if that is more."""
    order = random.Random(seed).sample(asked.requests, len(asked.requests))
    taken = positions = 0
    while taken < len(order) and (positions < least or taken % batch_size):
        positions += asked.tokens[order[taken].key].positions
        taken += 1
    chosen = {request.key for request in order[:taken]}
    return [request for request in asked.requests if request.key in chosen]


def longest(asked: Asked, batch_size: int) -> list[Request]:
    """The batch that lm-eval begins with, and that needs the most memory."""
    return sorted(asked.requests, key=lambda r: -asked.tokens[r.key].positions)[:batch_size]


def logits_bytes(workload: Workload, asked: Asked, batch_size: int) -> int:
    """What the longest batch needs at least: its logits and their log-softmax, both whole."""
    rows = longest(asked, batch_size)
    positions = len(rows) * asked.tokens[rows[0].key].positions
    weight = workload.model.get_output_embeddings().weight
    return int(2 * positions * weight.shape[0] * weight.element_size())


def count(requests: Sequence[Tokens], batch_size: int) -> Counts:
    """What lm-eval reads for these requests.

    Requests that differ in the last token alone are read once; the last token never is.
    Batches hold requests of like length, padded to the longest; all is projected.
    """
    read = {tuple(r.context + r.continuation[:-1]): r.prompt for r in requests}
    lengths = sorted((len(ids) for ids in read), reverse=True)
    batches = [lengths[i : i + batch_size] for i in range(0, len(lengths), batch_size)]
    laid_out = sum(len(batch) * batch[0] for batch in batches)
    prompt = sum(read.values())
    return Counts(
        forwards=len(batches),
        prompt_tokens=prompt,
        body_tokens=sum(lengths) - prompt,
        padding_tokens=laid_out - sum(lengths),
        projected_tokens=laid_out,
    )


def baseline(
    workload: Workload, asked: Asked, timed: Sequence[Request], batch_size: int
) -> Contender:
    """lm-eval with one batch size: the requests in `timed` stand for all.

    The time is scaled by positions read, padding included, in the whole and in the part.
    """
    lm = language_model(workload, batch_size)
    keys = [request.key for request in timed]
    whole = count([asked.tokens[request.key] for request in asked.requests], batch_size)
    part = count([asked.tokens[key] for key in keys], batch_size)
    if workload.is_text:
        instances = [
            Instance("loglikelihood", {}, request.strings, i) for i, request in enumerate(timed)
        ]
        answer: Callable[[], Any] = lambda: lm.loglikelihood(instances, disable_tqdm=True)  # noqa: E731
    else:
        answer = lambda: _answers(lm, timed)  # noqa: E731

    def run() -> Sums:
        return dict(zip(keys, (float(value) for value, _ in answer()), strict=True))

    return Contender(
        "lm_eval",
        f"lm-eval hf, batch {batch_size}",
        whole,
        lambda: run,
        share=part.projected_tokens / whole.projected_tokens,
        scale=whole.projected_tokens / part.projected_tokens,
        batch_size=batch_size,
    )


def by_ids(workload: Workload, requests: Sequence[Request]) -> Sums:
    """lm-eval's answers to the requests as token ids, one at a time, log-softmax in float32."""
    lm = language_model(workload, 1, softmax_dtype="float32")
    answers = _answers(lm, requests)
    return {r.key: float(value) for r, (value, _) in zip(requests, answers, strict=True)}


def _answers(lm: Any, requests: Sequence[Request]) -> Any:
    """What `loglikelihood` itself ends in."""
    triples = [(None, request.context, request.continuation) for request in requests]
    return lm._loglikelihood_tokens(triples, disable_tqdm=True)
