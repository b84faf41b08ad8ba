"""From the numbers of tokens to the statistics of steps and of a response.

Knows nothing of windows and of what metrics make of the statistics.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from lnat_plugins.engine import ACTIVATIONS, RunScores, TokenRun
from lnat_plugins.statistics_names import STEP, TOKEN
from lnat_plugins.tokens import Ids

OF_ACTIVATIONS: Final = ("activation_self", "activation_prompt")
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


def of_response(run: RunScores, names: frozenset[str]) -> Statistics:
    """What the run's activations say."""
    asked = [name for name in OF_ACTIVATIONS if name in names]
    if run.activations is None:
        return Statistics(undefined=dict.fromkeys(asked, run.failure))
    both = dict(zip(OF_ACTIVATIONS, run.activations, strict=True))
    return Statistics(values={name: both[name] for name in asked})


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
