"""A planner counts what an engine reads, call by call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.planning import HeldPrompt, Planned, Planner
from lnat_plugins.engine.types import ACTIVATIONS, PromptRuns, TokenRun
from tests.helpers_students import student

PROMPT, OTHER = np.arange(5, 12), np.arange(20, 24)
SPECIAL = frozenset({6})


def run(n: int, *wanted: str, special: frozenset[int] = frozenset()) -> TokenRun:
    return TokenRun(np.arange(30, 30 + n), np.ones(n, bool), frozenset(wanted), special)


Call = list[tuple[Any, list[TokenRun]]]

CALLS: dict[str, list[Call]] = {
    "one": [[(PROMPT, [run(4), run(1), run(250)])]],
    "the same prompt again": [[(PROMPT, [run(4)])], [(PROMPT.copy(), [run(3)])]],
    "another between": [[(PROMPT, [run(4)])], [(OTHER, [run(2)])], [(PROMPT, [run(3)])]],
    "activations among others": [[(PROMPT, [run(4), run(5, ACTIVATIONS), run(2, "entropy")])]],
    "activations later": [[(PROMPT, [run(4)])], [(PROMPT, [run(5, ACTIVATIONS)])]],
    "activations first": [[(PROMPT, [run(5, ACTIVATIONS)])], [(PROMPT, [run(4)])]],
    "other special tokens": [
        [(PROMPT, [run(5, ACTIVATIONS)])],
        [(PROMPT, [run(5, ACTIVATIONS, special=SPECIAL)])],
    ],
    "no run": [[(PROMPT, [])], [(PROMPT, [run(2)])]],
    "two prompts": [[(PROMPT, [run(4), run(2)]), (OTHER, [run(3), run(9)])]],
    "one of two again": [
        [(PROMPT, [run(4)]), (OTHER, [run(3)])], [(OTHER, [run(2)])], [(PROMPT, [run(2)])],
    ],
    "in another place": [
        [(PROMPT, [run(4)]), (OTHER, [run(3)])], [(OTHER, [run(2)]), (PROMPT, [run(5)])],
    ],
    "a prompt twice in a call": [[(PROMPT, [run(4)]), (PROMPT, [run(3)])], [(PROMPT, [run(2)])]],
    "two prompts of two kinds": [
        [(PROMPT, [run(4), run(5, ACTIVATIONS)]), (OTHER, [run(6), run(5, ACTIVATIONS)])],
    ],
    "more prompts than a row holds": [[(np.arange(5, 5 + n), [run(n)]) for n in (3, 60, 50, 4)]],
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Any:
    return student("llama")


@pytest.mark.parametrize("budget", [None, 64])
@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_the_counts_are_the_engines(
    model: Any, path: str, calls: list[Call], budget: int | None
) -> None:
    engine, planner = Engine(model, path=path, token_budget=budget), Planner(path)
    for call in calls:
        reads = [PromptRuns(*one) for one in call]
        engine.score_all(reads)
        planner.add(reads)
    counts = engine.counts
    read = Planned(counts.prompt_tokens, counts.body_tokens, counts.projected_tokens)
    assert replace(planner.planned, attended=0) == read
    assert planner.planned.tokens == counts.prompt_tokens + counts.body_tokens > 0


def test_a_planner_in_an_engines_place_scores_nothing() -> None:
    planner = Planner()
    ((found,),) = planner.score_all([PromptRuns(PROMPT, [run(3, "entropy")])])
    assert found.failure == "the run was planned, not read"
    assert np.isnan(found.logprobs).all() and np.isnan(found.statistics["entropy"]).all()
    assert planner.planned == Planned(7, 2, 3, attended=28 + 8 + 9)


def test_what_each_token_attends_to() -> None:
    """The packed pass reads the prompt once, the batched one before each run."""
    lengths = (5, 1, 3)  # the last token of a run is predicted, not read
    own = sum(7 + i for n in lengths for i in range(1, n))
    prompt = sum(range(1, 8))
    for path, times in (("packed", 1), ("batched", 3)):
        planner = Planner(path)
        planner.add([PromptRuns(PROMPT, [run(n) for n in lengths])])
        assert planner.planned.attended == times * prompt + own
        assert planner.planned + Planned(1, 2, 3, 4) == Planned(
            7 * times + 1, 6 + 2, 9 + 3, times * prompt + own + 4
        )


def test_what_a_held_prompt_serves() -> None:
    summed = HeldPrompt(PROMPT, summed=True, special=SPECIAL)
    assert HeldPrompt(PROMPT).serves(run(4)) and summed.serves(run(4))
    assert not HeldPrompt(PROMPT).serves(run(4, ACTIVATIONS))
    assert summed.serves(run(4, ACTIVATIONS, special=SPECIAL))
    assert not summed.serves(run(4, ACTIVATIONS))
