"""The two sides of the benchmark, ready to be timed, and what each of them reads.

Knows nothing of clocks and tables. lm-eval's side is `HFLM` as it is; ours is the engine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from _benchmark_workloads import Key, Request, Workload
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lnat_plugins.engine import Counts, Engine, TokenRun
from lnat_plugins.windows import Window

Sums = Mapping[Key, float]
FEWEST_REQUESTS: Final = 16
_TRIAL_TOKENS: Final = 96


class Tokens(NamedTuple):
    """A request as lm-eval sees it after tokenising; `context` holds the prompt's tokens."""

    prompt: int
    context: list[int]
    continuation: list[int]


@dataclass(frozen=True)
class Side:
    """One way to get the sums.

    Args:
        name: as it stands in the table.
        is_baseline: lm-eval's or ours.
        counts: what one whole pass reads; ours is filled by running it.
        ready: makes everything ready and returns what is to be timed.
        scale: seconds of a whole pass / seconds of the timed part.
        share: the part of the requests that is timed.
    """

    name: str
    is_baseline: bool
    counts: Counts
    ready: Callable[[], Callable[[], Sums]]
    scale: float = 1.0
    share: float = 1.0


def language_model(workload: Workload, batch_size: int) -> Any:
    """lm-eval's `hf` on the workload's own model object."""
    longest = workload.model.config.max_position_embeddings
    return HFLM(
        pretrained=workload.model,
        tokenizer=workload.tokenizer,
        backend="causal",
        batch_size=batch_size,
        max_length=longest,
    )


def as_read(lm: Any, workload: Workload, request: Request) -> Tokens:
    """What lm-eval makes of a request: glued strings tokenised anew, or the ids themselves."""
    prompt = len(workload.traces[request.key.trace].prompt)
    if workload.is_text:
        return Tokens(prompt, *lm._encode_pair(*request.strings))
    return Tokens(prompt, request.context, request.continuation)


def sample(requests: Sequence[Request], share: float, seed: int) -> list[Request]:
    """A seeded share of the requests, but at least FEWEST_REQUESTS of them."""
    n = min(len(requests), max(FEWEST_REQUESTS, round(share * len(requests))))
    chosen = sorted(random.Random(seed).sample(range(len(requests)), n))
    return [requests[i] for i in chosen]


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
    workload: Workload,
    requests: Sequence[Request],
    tokens: Mapping[Key, Tokens],
    timed: Sequence[Request],
    batch_size: int,
) -> Side:
    """lm-eval with one batch size: the requests in `timed` stand for all of `requests`.

    The time is scaled by positions read, padding included, in the whole and in the part.
    """
    lm = language_model(workload, batch_size)
    keys = [request.key for request in timed]
    whole = count([tokens[request.key] for request in requests], batch_size)
    part = count([tokens[key] for key in keys], batch_size)
    if workload.is_text:
        instances = [
            Instance("loglikelihood", {}, request.strings, i) for i, request in enumerate(timed)
        ]
        ask: Callable[[], Any] = lambda: lm.loglikelihood(instances, disable_tqdm=True)  # noqa: E731
    else:
        ask = lambda: by_ids(lm, timed)  # noqa: E731

    def run() -> Sums:
        return dict(zip(keys, (float(value) for value, _ in ask()), strict=True))

    return Side(
        f"lm-eval hf, batch {batch_size}",
        True,
        whole,
        lambda: run,
        scale=whole.projected_tokens / part.projected_tokens,
        share=len(timed) / len(requests),
    )


def by_ids(lm: Any, requests: Sequence[Request]) -> Any:
    """lm-eval's answers to the requests as token ids: what `loglikelihood` itself ends in."""
    triples = [(None, request.context, request.continuation) for request in requests]
    return lm._loglikelihood_tokens(triples, disable_tqdm=True)


def ours(workload: Workload, windows: Sequence[Window], path: str, budget: int | None) -> Side:
    """Our engine on one path.

    Each timed pass has an engine of its own, so that no prompt is left in its cache. The
    trial, once for a student, is done before, on another prompt of the same length.

    Raises:
        ConfigError: the model cannot take this path.
    """
    counts = Counts()

    def ready() -> Callable[[], Sums]:
        engine = try_out(workload, path, budget)
        before = dict(vars(engine.counts))

        def run() -> Sums:
            sums = workload.score(engine, windows)
            vars(counts).update({k: v - before[k] for k, v in vars(engine.counts).items()})
            return sums

        return run

    ready()
    return Side(f"ours, {path}", False, counts, ready)


def try_out(workload: Workload, path: str, budget: int | None) -> Engine:
    """A new engine that has had its trial."""
    engine = Engine(workload.model, token_budget=budget, path=path)
    trace = workload.traces[0]
    ids = trace.response.ids[:_TRIAL_TOKENS]
    engine.score(np.roll(trace.prompt, 1), [TokenRun(ids, np.ones(len(ids), bool))])
    return engine
