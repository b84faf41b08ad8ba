"""A planner counts what an engine reads, call by call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.planning import HeldPrompt, Planned, Planner
from lnat_plugins.engine.types import ACTIVATIONS, TokenRun
from tests.helpers_students import student

PROMPT, OTHER = np.arange(5, 12), np.arange(20, 24)
SPECIAL = frozenset({6})


def run(n: int, *wanted: str, special: frozenset[int] = frozenset()) -> TokenRun:
    return TokenRun(np.arange(30, 30 + n), np.ones(n, bool), frozenset(wanted), special)


CALLS: dict[str, list[tuple[Any, list[TokenRun]]]] = {
    "one": [(PROMPT, [run(4), run(1), run(250)])],
    "the same prompt again": [(PROMPT, [run(4)]), (PROMPT.copy(), [run(3)])],
    "another between": [(PROMPT, [run(4)]), (OTHER, [run(2)]), (PROMPT, [run(3)])],
    "activations among others": [(PROMPT, [run(4), run(5, ACTIVATIONS), run(2, "entropy")])],
    "activations later": [(PROMPT, [run(4)]), (PROMPT, [run(5, ACTIVATIONS)])],
    "activations first": [(PROMPT, [run(5, ACTIVATIONS)]), (PROMPT, [run(4)])],
    "other special tokens": [
        (PROMPT, [run(5, ACTIVATIONS)]),
        (PROMPT, [run(5, ACTIVATIONS, special=SPECIAL)]),
    ],
    "no run": [(PROMPT, []), (PROMPT, [run(2)])],
}


@pytest.fixture(scope="module")
def model() -> Any:
    return student("llama")


@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_the_counts_are_the_engines(model: Any, path: str, calls: Any) -> None:
    engine, planner = Engine(model, path=path), Planner(path)
    for prompt, runs in calls:
        engine.score(prompt, runs)
        planner.add(prompt, runs)
    counts = engine.counts
    assert planner.planned == Planned(counts.prompt_tokens, counts.body_tokens)
    assert planner.planned.tokens == counts.prompt_tokens + counts.body_tokens > 0


def test_a_planner_in_an_engines_place_scores_nothing() -> None:
    planner = Planner()
    (found,) = planner.score(PROMPT, [run(3, "entropy")])
    assert found.failure == "the run was planned, not read"
    assert np.isnan(found.logprobs).all() and np.isnan(found.statistics["entropy"]).all()
    assert planner.planned == Planned(7, 2)


def test_a_held_prompt_serves_the_same_ids_alone() -> None:
    held = HeldPrompt(PROMPT)
    assert held.serves(PROMPT.copy(), False, frozenset())
    assert not held.serves(PROMPT[:-1], False, frozenset())
    assert not held.serves(PROMPT, True, frozenset())
    assert not HeldPrompt().serves(PROMPT, False, frozenset())
