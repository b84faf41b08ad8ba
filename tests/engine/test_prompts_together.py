"""Several prompts in one call: each run is read as if its prompt were the only one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ACTIVATIONS, PromptRuns, RunScores, TokenRun
from tests.engine.oracle import step_sums
from tests.engine.students import ARCHITECTURES, Scarce, run, student, tokens

PROMPTS = [tokens(n, seed=n) for n in (4, 1, 11, 6)]
RUNS = [[run(5, seed=1), run(9, seed=2)], [run(3, seed=3)], [run(1, seed=4)], [run(40, seed=5)]]
READS = [PromptRuns(*one) for one in zip(PROMPTS, RUNS, strict=True)]
PATHS = pytest.mark.parametrize("path", ["packed", "batched"])
BUDGETS = pytest.mark.parametrize("budget", [8, 21, 64, 512])
"""Of these one is less than a run, and one holds two prompts but not three."""


def flat(found: Sequence[Sequence[RunScores]]) -> list[RunScores]:
    return [one for own in found for one in own]


def alone(model: Any, reads: Sequence[PromptRuns] = tuple(READS)) -> list[RunScores]:
    """Each prompt by an engine of its own, by the plain pass."""
    return [
        one for prompt, runs in reads for one in Engine(model, path="batched").score(prompt, runs)
    ]


def assert_same(found: Sequence[RunScores], expected: Sequence[RunScores]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.failure == other.failure
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=2e-5, rtol=0)
        for name, values in other.statistics.items():
            np.testing.assert_allclose(one.statistics[name], values, atol=2e-5, rtol=0)
        if other.activations is not None:
            assert one.activations == pytest.approx(other.activations, rel=1e-5, abs=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_with_the_definition(name: str) -> None:
    model = student(name)
    engine = Engine(model)
    for (prompt, runs), scores in zip(READS, engine.score_all(READS), strict=True):
        for one, found in zip(runs, scores, strict=True):
            steps = [[token] for token in one.ids.tolist()]
            expected = step_sums(model, prompt.tolist(), steps, "global")
            np.testing.assert_allclose(found.logprobs, expected, atol=1e-4, rtol=0)
    assert engine.path == ARCHITECTURES[name][2], engine.reason


@PATHS
@BUDGETS
def test_neither_path_nor_budget_changes_a_number(path: str, budget: int) -> None:
    model = student("qwen2")
    engine = Engine(model, path=path, token_budget=budget)
    assert_same(flat(engine.score_all(READS)), alone(model))


@BUDGETS
@pytest.mark.parametrize("order", [[3, 2, 1, 0], [2, 0, 3], [1, 1, 0]])
def test_neither_order_nor_company_changes_a_number(budget: int, order: list[int]) -> None:
    model = student("qwen2")
    engine = Engine(model, path="packed", token_budget=budget)
    reads = [READS[i] for i in order]
    assert_same(flat(engine.score_all(reads)), alone(model, reads))


@PATHS
@BUDGETS
def test_statistics_and_activations(path: str, budget: int) -> None:
    model = student("qwen2")
    special = frozenset({int(PROMPTS[0][1]), int(PROMPTS[2][3])})
    wanted = frozenset({"entropy", "capped_rank", ACTIVATIONS})
    reads = [
        PromptRuns(
            prompt,
            [*runs, *(TokenRun(one.ids, one.scored, wanted, special) for one in runs)],
        )
        for prompt, runs in READS
    ]
    engine = Engine(model, path=path, token_budget=budget)
    assert_same(flat(engine.score_all(reads)), alone(model, reads))


def test_short_prompts_share_a_pass_and_so_do_their_runs() -> None:
    engine = Engine(student("qwen2"), path="packed", token_budget=128)
    engine.score_all(READS)
    counts = engine.counts
    assert counts.forwards == 2
    assert counts.prompt_tokens == sum(map(len, PROMPTS))
    assert counts.body_tokens == sum(len(one.read) for own in RUNS for one in own)


def test_the_prompts_of_a_row_are_no_more_than_its_tokens() -> None:
    """Else prompts that are long beside their runs would all be held for one row."""
    model = student("qwen2")
    engine = Engine(model, path="packed", token_budget=32)
    rows: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    reads = [PromptRuns(tokens(15, seed=k), [run(4, seed=k)]) for k in range(6)]
    found = engine.score_all(reads)
    hook.remove()
    assert max(rows) <= 32 and rows.count(6) == 3  # two runs of three tokens behind two prompts
    assert_same(flat(found), alone(model, reads))


def test_no_more_is_held_than_a_pass_may_read() -> None:
    model = student("qwen2")
    engine = Engine(model, path="packed", token_budget=32)
    held: list[int] = []
    model.register_forward_hook(
        lambda *_: held.append(sum(len(p.ids) for p in engine._packed._held.values()))  # type: ignore[union-attr]
    )
    wanted = frozenset({"entropy"})
    reads = [
        PromptRuns(tokens(15, seed=k), [run(4, seed=k), run(5, seed=k, wanted=wanted)])
        for k in range(6)
    ]
    found = engine.score_all(reads)
    assert max(held) <= 32
    assert_same(flat(found), alone(model, reads))


def test_a_prompt_of_nan_spoils_no_other() -> None:
    model = student("qwen2")
    with torch.no_grad():
        model.get_input_embeddings().weight[2] = float("nan")
    broken = PROMPTS[2].copy()
    broken[4] = 2
    reads = [READS[0], READS[1], PromptRuns(broken, RUNS[2]), READS[3]]
    found = Engine(model).score_all(reads)
    assert [[bool(one.failure) for one in own] for own in found] == [
        [False, False], [False], [True], [False],
    ]  # fmt: skip
    whole = Engine(model).score_all(READS)
    for place in (0, 1, 3):
        assert_same(found[place], whole[place])


def test_a_group_that_does_not_fit_is_read_in_smaller_rows() -> None:
    model = student("qwen2")
    expected = alone(model)
    engine = Engine(model, path="packed", token_budget=512)
    engine.score(PROMPTS[0], RUNS[0][:1])  # the trial is over
    scarce = Scarce(model, tokens=50)
    assert_same(flat(engine.score_all(READS)), expected)
    assert scarce.refused


def test_one_prompt_that_never_fits_leaves_the_others() -> None:
    model = student("qwen2")
    expected = alone(model)
    engine = Engine(model, path="packed", token_budget=512)
    engine.score(PROMPTS[0], RUNS[0][:1])
    Scarce(model, context=30)
    found = flat(engine.score_all(READS))
    assert [bool(one.failure) for one in found] == [False, False, False, False, True]
    assert_same(found[:4], expected[:4])


def test_nothing_to_read() -> None:
    engine = Engine(student("qwen2"))
    assert engine.score_all([]) == []
    assert engine.score_all([PromptRuns(PROMPTS[0], []), READS[1]])[0] == []
    assert engine.counts.prompt_tokens == len(PROMPTS[1])
