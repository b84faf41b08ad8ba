"""Tokens that scoring would read of data that is known by its lengths alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np

from lnat_plugins.engine.planning import Planned, Planner
from lnat_plugins.errors import ConfigError
from lnat_plugins.scoring.backend import Job, PromptCalls
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.tokens import EncodedResponse
from lnat_plugins.scoring.ways import cheap_at
from lnat_plugins.steps.windows import GLOBAL, Pair, Window


def plan_lengths(
    *,
    prompts: int,
    responses: int,
    prompt_tokens: float,
    response_tokens: float | Sequence[int],
    step_tokens: float,
    windows: Sequence[Window],
    statistics: Collection[str] = (),
    sensitivity: str = "basic",
) -> Planned:
    """What the packed pass reads, planned as for real rows; steps of a response are of one length.

    Responses of equal lengths are scored alike, so a few stand for all. What is read of a sample of
    20 prompts alone is not counted.

    Args:
        prompts, responses: how many prompts, and how many responses to each.
        prompt_tokens: of a prompt in the student's template.
        response_tokens: of a response; or a sample of their lengths, which is better where they
            differ much.
        step_tokens: of a step, on average.
        windows: those that are scored.
        statistics: names in `engine.types` that the metrics need; see `RequestedMetrics`.
        sensitivity: "none" = nothing beside the windows; else those below the widest are counted
            where they would be recorded of every response, see `ways.narrower_are_cheap`.

    Raises:
        ConfigError: numbers that make no sense.
    """
    lengths = (
        [response_tokens] if isinstance(response_tokens, int | float) else list(response_tokens)
    )
    given = {
        "prompts": prompts, "responses": responses, "prompt_tokens": prompt_tokens,
        "response_tokens": min(lengths, default=0), "step_tokens": step_tokens,
    }  # fmt: skip
    for name, value in given.items():
        if not value >= 1 or not math.isfinite(value):
            raise ConfigError("this must be 1 or more", where=f"estimate_cost: {name}", found=value)
    encoded = [_encoded(round(length), step_tokens, i) for i, length in enumerate(lengths)]
    if sensitivity != "none" and cheap_at((one.n_steps for one in encoded), windows):
        widest = max((window.count or 0 for window in windows), default=0)
        windows = (*windows, *(Window(str(count), count) for count in range(widest)))
    of_prompt = np.arange(round(prompt_tokens))
    groups = [
        [encoded[(first + k) % len(encoded)] for k in range(responses)]
        for first in range(0, len(encoded), responses)
    ]
    planner = Planner()
    backend: Any = EngineBackend(planner)
    total = Planned()
    for group in groups:
        jobs = [_job(one, windows, frozenset(statistics), i) for i, one in enumerate(group)]
        total += backend.to_read(PromptCalls(of_prompt, [jobs]))
    scale = prompts / len(groups)
    return Planned(*(round(getattr(total, one.name) * scale) for one in fields(Planned)))


def _encoded(n_tokens: int, step_tokens: float, number: int) -> EncodedResponse:
    """A response of that length in steps; the number makes its tokens different from others."""
    n_steps = max(1, round(n_tokens / step_tokens))
    bounds = tuple(np.unique(np.linspace(0, n_tokens, n_steps + 1).round().astype(int)).tolist())
    ids = np.arange(n_tokens) + (number + 1) * 2**40
    spans = tuple(pairwise(bounds))
    return EncodedResponse(ids, bounds, spans, np.ones(n_tokens, bool), np.arange(1, n_tokens + 1))


def _job(
    response: EncodedResponse, windows: Sequence[Window], statistics: frozenset[str], number: int
) -> Job:
    """As `Scorer` asks for it; with ids of its own, as equal responses would be read once."""
    response = EncodedResponse(
        response.ids + number * 2**32, response.bounds, response.spans, response.scored,
        response.ends,
    )  # fmt: skip
    pairs: set[Pair] = {pair for window in windows for pair in window.pairs(response.n_steps)}
    if statistics - {"reward"}:
        pairs.update(Window(GLOBAL).pairs(response.n_steps))
    return Job(response, frozenset(pairs), whole=False, statistics=statistics - {"reward"})
