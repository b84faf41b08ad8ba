"""The engine against the definition, on many architectures and both passes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.scoring.backend import EngineBackend, Job
from lnat_plugins.scoring.tokens import EncodedResponse
from lnat_plugins.steps.windows import parse_windows

from .oracle import step_sums
from .students import ARCHITECTURES, student

WINDOWS = parse_windows(["0", "1", "4", "10%", "global"])


def random_steps(n_steps: int, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(3, 97) for _ in range(rng.randint(1, 7))] for _ in range(n_steps)]


def encoded(steps: list[list[int]]) -> EncodedResponse:
    bounds = np.cumsum([0, *map(len, steps)])
    spans = tuple((i, i + 1) for i in range(len(steps)))
    return EncodedResponse(np.concatenate(steps).astype(np.int64), tuple(bounds.tolist()), spans)


def by_engine(engine: Engine, prompt: list[int], responses: list[list[list[int]]]) -> list[Any]:
    """For each response, window -> step sums."""
    jobs = [
        Job(encoded(steps), frozenset(p for w in WINDOWS for p in w.pairs(len(steps))), False)
        for steps in responses
    ]
    answers = EngineBackend(engine).sums(np.array(prompt), jobs)
    return [
        {w.name: [answer.pairs[p].value for p in w.pairs(len(steps))] for w in WINDOWS}
        for steps, answer in zip(responses, answers, strict=True)
    ]


def assert_equals_oracle(engine: Engine, model: Any, prompt: list[int], *responses: Any) -> None:
    for steps, got in zip(responses, by_engine(engine, prompt, list(responses)), strict=True):
        for window in WINDOWS:
            expected = step_sums(model, prompt, steps, window.name)
            np.testing.assert_allclose(got[window.name], expected, atol=1e-4, rtol=0)


PROMPT = random_steps(2, seed=9)[0] + [5, 6, 7]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_with_the_definition(name: str) -> None:
    model = student(name)
    engine = Engine(model)
    assert_equals_oracle(engine, model, PROMPT, random_steps(12), random_steps(3, seed=1))
    assert engine.path == ARCHITECTURES[name][2], engine.reason


@pytest.mark.parametrize("name", ["qwen2", "granite"])
@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("budget", [1, 7, 33, 4096])
def test_the_budget_changes_no_number(name: str, path: str, budget: int) -> None:
    model = student(name)
    engine = Engine(model, token_budget=budget, path=path)
    assert_equals_oracle(engine, model, PROMPT, random_steps(9))


def test_the_order_of_responses_and_prompts_changes_no_number() -> None:
    engine = Engine(student("qwen2"), token_budget=40)
    one, two = random_steps(6, seed=1), random_steps(8, seed=2)
    first, second = by_engine(engine, PROMPT, [one, two])
    by_engine(engine, [3, 4], [two])
    again_second, again_first = by_engine(engine, PROMPT, [two, one])
    for window in WINDOWS:
        np.testing.assert_allclose(first[window.name], again_first[window.name], atol=1e-4)
        np.testing.assert_allclose(second[window.name], again_second[window.name], atol=1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_both_attentions_that_take_a_mask_are_packed(attention: str) -> None:
    model = student("llama", attention)
    engine = Engine(model)
    assert_equals_oracle(engine, model, PROMPT, random_steps(7))
    assert engine.path == "packed"


def test_windows_of_a_long_response_differ() -> None:
    """Else the comparisons above could not see a window ignored."""
    (got,) = by_engine(Engine(student("qwen2")), PROMPT, [random_steps(12)])
    for a, b in [("0", "1"), ("1", "4"), ("4", "global")]:
        assert max(abs(x - y) for x, y in zip(got[a], got[b], strict=True)) > 0.05


def test_a_one_token_prompt_and_one_token_steps() -> None:
    model = student("qwen2")
    assert_equals_oracle(Engine(model), model, [5], [[7]], [[8], [9]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_packs_and_stays_near(dtype: torch.dtype) -> None:
    exact, half = student("llama"), student("llama").to(dtype)
    engine = Engine(half)
    (near,) = by_engine(engine, PROMPT, [random_steps(12)])
    (right,) = by_engine(Engine(exact), PROMPT, [random_steps(12)])
    assert engine.path == "packed", engine.reason
    for window in WINDOWS:
        np.testing.assert_allclose(near[window.name], right[window.name], atol=0.5)
