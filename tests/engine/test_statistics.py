"""What is gathered beside log-probabilities, against its definition, one forward a response."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.projection import measure
from lnat_plugins.engine.types import ACTIVATIONS, TOKEN, RunScores, TokenRun
from tests.engine.students import ARCHITECTURES, student

PROMPT = np.array([5, 9, 33, 2])
EVERYTHING = frozenset((*TOKEN, ACTIVATIONS))
GATED = ["llama", "qwen2", "qwen3", "olmo2", "granite", "gemma2_sliding"]


def ids(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(3, 97, n)


def run_of(tokens: Any, wanted: frozenset[str] = frozenset(TOKEN)) -> TokenRun:
    return TokenRun(tokens, np.ones(len(tokens), bool), wanted)


@torch.no_grad()
def by_definition(model: Any, prompt: Any, tokens: Any) -> dict[str, list[float]]:
    """Written from method and paper, a token at a time, in numpy."""
    whole = torch.from_numpy(np.concatenate([prompt, tokens]))[None]
    logits = model.eval()(input_ids=whole, use_cache=False).logits[0].double().numpy()
    found: dict[str, list[float]] = {name: [] for name in TOKEN}
    for t, token in enumerate(tokens):
        row = logits[len(prompt) + t - 1]
        p = np.exp(row - row.max())
        p /= p.sum()
        top = np.argsort(-row)[:50]
        cut = np.zeros_like(p)
        cut[top] = p[top] / p[top].sum()
        found["capped_rank"].append(min(100, 1 + sum(row > row[token])))
        found["entropy"].append(-sum(v * np.log(v) for v in p if v > 0))
        found["brier"].append(sum((p - np.eye(len(p))[token]) ** 2))
        found["brier_top50"].append(1 - 2 * cut[token] + sum(cut**2))
    return found


@torch.no_grad()
def activations_by_definition(
    model: Any, prompt: Any, tokens: Any, special: frozenset[int] = frozenset()
) -> tuple[float, float]:
    """The sums of the n × n cosines themselves, without the rows and columns of special tokens."""
    held = []
    layers = getattr(model, "model", model).layers
    hook = layers[-1].mlp.up_proj.register_forward_hook(lambda *a: held.append(a[2]))
    whole = torch.from_numpy(np.concatenate([prompt, tokens]))[None]
    model.eval()(input_ids=whole, use_cache=False)
    hook.remove()
    unit = torch.nn.functional.normalize(held[0][0].double(), dim=-1)
    kept = torch.tensor([int(token) not in special for token in whole[0]])
    answer = unit[len(prompt) :][kept[len(prompt) :]]
    question = unit[: len(prompt)][kept[: len(prompt)]]
    return float((answer @ answer.T).sum()), float((answer @ question.T).sum())


def assert_agrees(model: Any, tokens: Any, found: RunScores) -> None:
    for name, expected in by_definition(model, PROMPT, tokens).items():
        np.testing.assert_allclose(found.statistics[name], expected, atol=2e-4, err_msg=name)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_with_the_definition(name: str) -> None:
    model = student(name)
    runs = [ids(20), ids(1, 1), ids(7, 2)]
    for tokens, one in zip(runs, Engine(model).score(PROMPT, [*map(run_of, runs)]), strict=True):
        assert_agrees(model, tokens, one)


@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("budget", [1, 7, 4096])
@pytest.mark.parametrize("name", ["qwen2", "granite"])
def test_neither_path_nor_budget_changes_a_number(name: str, path: str, budget: int) -> None:
    model = student(name)
    runs = [ids(20), ids(9, 1), ids(1, 2)]
    engine = Engine(model, token_budget=budget, path=path)
    asked = [run_of(tokens, EVERYTHING) for tokens in runs] + [run_of(ids(5, 3), frozenset())]
    found = engine.score(PROMPT, asked)
    for tokens, one in zip(runs, found, strict=False):
        assert_agrees(model, tokens, one)
        assert one.activations == pytest.approx(
            activations_by_definition(model, PROMPT, tokens), rel=1e-5
        )
    assert (found[-1].statistics, found[-1].activations) == ({}, None)


@pytest.mark.parametrize("name", GATED)
def test_activations_of_every_gated_architecture(name: str) -> None:
    model = student(name)
    engine = Engine(model)
    assert engine.has_activations
    (found,) = engine.score(PROMPT, [run_of(ids(12), EVERYTHING)])
    assert found.activations == pytest.approx(
        activations_by_definition(model, PROMPT, ids(12)), rel=1e-5
    )


@pytest.mark.parametrize("name", ["gpt2", "phi3", "mixtral"])
def test_a_model_without_the_projection_says_so(name: str) -> None:
    assert not Engine(student(name)).has_activations


@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("budget", [3, 4096])
@pytest.mark.parametrize("name", ["qwen2", "granite"])
def test_special_tokens_are_in_no_sum(name: str, path: str, budget: int) -> None:
    model = student(name)
    runs = [ids(20), ids(9, 1), ids(2, 2)]
    engine = Engine(model, token_budget=budget, path=path)
    first = int(runs[0][3])
    for special in (frozenset({5, 33}), frozenset({9, first, int(runs[1][-1])}), frozenset()):
        asked = [run_of(tokens, EVERYTHING)._replace(special=special) for tokens in runs]
        for tokens, one in zip(runs, engine.score(PROMPT, asked), strict=True):
            assert_agrees(model, tokens, one)
            assert one.activations == pytest.approx(
                activations_by_definition(model, PROMPT, tokens, special), rel=1e-5, abs=1e-6
            )


def test_runs_of_one_call_may_have_other_special_tokens() -> None:
    model = student("qwen2")
    specials = [frozenset({5}), frozenset(), frozenset({9, 33})]
    runs = [run_of(ids(9), EVERYTHING)._replace(special=special) for special in specials]
    for special, one in zip(specials, Engine(model).score(PROMPT, runs), strict=True):
        assert one.activations == pytest.approx(
            activations_by_definition(model, PROMPT, ids(9), special), rel=1e-5
        )


def test_activations_asked_for_after_the_prompt_was_read() -> None:
    model = student("qwen2")
    engine = Engine(model)
    engine.score(PROMPT, [run_of(ids(6))])
    (found,) = engine.score(PROMPT, [run_of(ids(12), frozenset({ACTIVATIONS}))])
    assert found.activations == pytest.approx(
        activations_by_definition(model, PROMPT, ids(12)), rel=1e-5
    )


def test_nothing_is_computed_that_is_not_wanted() -> None:
    engine = Engine(student("qwen2"))
    plain = engine.score(PROMPT, [run_of(ids(8), frozenset())])[0]
    read = engine.counts.body_tokens
    assert plain.statistics == {}
    engine.score(PROMPT, [run_of(ids(8), frozenset({"entropy"}))])
    assert engine.counts.body_tokens == 2 * read
    (found,) = engine.score(PROMPT, [run_of(ids(8), frozenset({ACTIVATIONS}))])
    assert engine.counts.body_tokens == 3 * read + 1
    np.testing.assert_allclose(found.logprobs, plain.logprobs, atol=1e-5)


def test_unscored_tokens_have_no_statistic() -> None:
    scored = np.array([False, True, True, False, True])
    (found,) = Engine(student("qwen2")).score(
        PROMPT, [TokenRun(ids(5), scored, frozenset({"entropy"}))]
    )
    assert np.isfinite(found.statistics["entropy"]).tolist() == scored.tolist()


def test_tokens_that_can_never_come_do_not_spoil_the_sums() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]])
    found = measure(logits, torch.tensor([1]), TOKEN)
    p = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    brier = 1 - 2 * p[1] + (p**2).sum()
    expected = [np.log(p[1]), 2, -(p * np.log(p)).sum(), brier, brier]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)


def test_ranks_above_the_cap_count_as_the_cap() -> None:
    logits = torch.arange(300.0)[None]
    assert measure(logits, torch.tensor([0]), ("capped_rank",))[1].item() == 100
    assert measure(logits, torch.tensor([299]), ("capped_rank",))[1].item() == 1


def test_equal_logits_do_not_raise_the_rank() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 2.0, 0.5]])
    for token, rank in enumerate([3, 1, 3, 1, 5]):
        assert measure(logits, torch.tensor([token]), ("capped_rank",))[1].item() == rank


def test_a_token_outside_the_top_has_no_share_of_it() -> None:
    logits = torch.arange(300.0)[None]
    outside = measure(logits, torch.tensor([0]), ("brier_top50",))[1].item()
    p = np.exp(np.arange(50.0) - 50)
    assert outside == pytest.approx(1 + ((p / p.sum()) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_blocks_of_rows_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(8, 40, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8)
    whole = measure(logits, targets, TOKEN)
    monkeypatch.setattr("lnat_plugins.engine._measure._BLOCK_BYTES", 4 * 40 * rows)
    assert torch.equal(measure(logits, targets, TOKEN), whole)
