"""The numbers of tokens against their definition, one forward a response; activation sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.projection import Projector, measure
from lnat_plugins.engine.types import ACTIVATIONS, TEMPERED, TOKEN, RunScores, TokenRun
from lnat_plugins.errors import StudentError
from tests.engine.students import ARCHITECTURES, PROMPT, run, student, tokens

STATISTICS = frozenset(TOKEN)
EVERYTHING = frozenset((*TOKEN, ACTIVATIONS))
GATED = ["llama", "qwen2", "qwen3", "olmo2", "granite", "gemma2_sliding"]


@torch.no_grad()
def by_definition(model: Any, ids: Any) -> dict[str, list[float]]:
    """Written from method and paper, a token at a time, in numpy."""
    whole = torch.from_numpy(np.concatenate([PROMPT, ids]))[None]
    logits = model.eval()(input_ids=whole, use_cache=False).logits[0].double().numpy()
    found: dict[str, list[float]] = {name: [] for name in TOKEN}
    for t, token in enumerate(ids):
        row = logits[len(PROMPT) + t - 1]
        p = np.exp(row - row.max())
        p /= p.sum()
        top = np.argsort(-row)[:50]
        cut = np.zeros_like(p)
        cut[top] = p[top] / p[top].sum()
        found["capped_rank"].append(min(100, 1 + sum(row > row[token])))
        found["entropy"].append(-sum(v * np.log(v) for v in p if v > 0))
        found["brier"].append(sum((p - np.eye(len(p))[token]) ** 2))
        found["brier_top50"].append(1 - 2 * cut[token] + sum(cut**2))
        found["top_probability"].append(p.max())
        found["top_is_right"].append(float(row[token] == row.max()))
        for name, temperature in TEMPERED.items():
            tempered = row / temperature
            found[name].append(tempered[token] - np.logaddexp.reduce(tempered))
    return found


@torch.no_grad()
def activations_by_definition(
    model: Any, ids: Any, special: frozenset[int] = frozenset()
) -> tuple[float, float]:
    """The sums of the n × n cosines themselves, without the rows and columns of special tokens."""
    held = []
    layers = getattr(model, "model", model).layers
    hook = layers[-1].mlp.up_proj.register_forward_hook(lambda *a: held.append(a[2]))
    whole = torch.from_numpy(np.concatenate([PROMPT, ids]))[None]
    model.eval()(input_ids=whole, use_cache=False)
    hook.remove()
    unit = torch.nn.functional.normalize(held[0][0].double(), dim=-1)
    kept = torch.tensor([int(token) not in special for token in whole[0]])
    answer = unit[len(PROMPT) :][kept[len(PROMPT) :]]
    question = unit[: len(PROMPT)][kept[: len(PROMPT)]]
    return float((answer @ answer.T).sum()), float((answer @ question.T).sum())


def assert_agrees(model: Any, ids: Any, found: RunScores) -> None:
    for name, expected in by_definition(model, ids).items():
        np.testing.assert_allclose(found.statistics[name], expected, atol=2e-4, err_msg=name)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_with_the_definition(name: str) -> None:
    model = student(name)
    runs = [run(20, wanted=STATISTICS), run(1, wanted=STATISTICS), run(7, wanted=STATISTICS)]
    for one, found in zip(runs, Engine(model).score(PROMPT, runs), strict=True):
        assert_agrees(model, one.ids, found)


@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("budget", [1, 7, 4096])
@pytest.mark.parametrize("name", ["qwen2", "granite"])
def test_neither_path_nor_budget_changes_a_number(name: str, path: str, budget: int) -> None:
    model = student(name)
    engine = Engine(model, token_budget=budget, path=path)
    runs = [run(n, seed=k, wanted=EVERYTHING) for k, n in enumerate((20, 9, 1))]
    *found, plain = engine.score(PROMPT, [*runs, run(5, seed=3)])
    for one, scores in zip(runs, found, strict=True):
        assert_agrees(model, one.ids, scores)
        assert scores.activations == pytest.approx(
            activations_by_definition(model, one.ids), rel=1e-5
        )
    assert (plain.statistics, plain.activations) == ({}, None)


@pytest.mark.parametrize("name", GATED)
def test_activations_of_every_gated_architecture(name: str) -> None:
    model = student(name)
    engine = Engine(model)
    assert engine.has_activations
    (found,) = engine.score(PROMPT, [run(12, wanted=EVERYTHING)])
    assert found.activations == pytest.approx(
        activations_by_definition(model, tokens(12)), rel=1e-5
    )


@pytest.mark.parametrize("name", ["gpt2", "phi3", "mixtral"])
def test_a_model_without_the_projection_has_no_activations(name: str) -> None:
    assert not Engine(student(name)).has_activations


@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("budget", [3, 4096])
@pytest.mark.parametrize("name", ["qwen2", "granite"])
def test_special_tokens_are_in_no_sum(name: str, path: str, budget: int) -> None:
    model = student(name)
    runs = [run(n, seed=i, wanted=EVERYTHING) for i, n in enumerate((20, 9, 2))]
    engine = Engine(model, token_budget=budget, path=path)
    first, last = int(runs[0].ids[3]), int(runs[1].ids[-1])
    for special in (frozenset({5, 33}), frozenset({9, first, last}), frozenset()):
        given = [one._replace(special=special) for one in runs]
        for one, found in zip(runs, engine.score(PROMPT, given), strict=True):
            assert_agrees(model, one.ids, found)
            assert found.activations == pytest.approx(
                activations_by_definition(model, one.ids, special), rel=1e-5, abs=1e-6
            )


def test_runs_of_one_call_may_have_other_special_tokens() -> None:
    model = student("qwen2")
    specials = [frozenset({5}), frozenset(), frozenset({9, 33})]
    runs = [run(9, wanted=EVERYTHING)._replace(special=special) for special in specials]
    for special, found in zip(specials, Engine(model).score(PROMPT, runs), strict=True):
        assert found.activations == pytest.approx(
            activations_by_definition(model, tokens(9), special), rel=1e-5
        )


def test_activations_wanted_after_the_prompt_was_read() -> None:
    model = student("qwen2")
    engine = Engine(model)
    engine.score(PROMPT, [run(6, wanted=STATISTICS)])
    (found,) = engine.score(PROMPT, [run(12, wanted=frozenset({ACTIVATIONS}))])
    assert found.activations == pytest.approx(
        activations_by_definition(model, tokens(12)), rel=1e-5
    )


def test_nothing_is_computed_that_is_not_wanted() -> None:
    engine = Engine(student("qwen2"))
    plain = engine.score(PROMPT, [run(8)])[0]
    read = engine.counts.body_tokens
    assert plain.statistics == {}
    engine.score(PROMPT, [run(8, wanted=frozenset({"entropy"}))])
    assert engine.counts.body_tokens == 2 * read
    (found,) = engine.score(PROMPT, [run(8, wanted=frozenset({ACTIVATIONS}))])
    assert engine.counts.body_tokens == 3 * read + 1
    np.testing.assert_allclose(found.logprobs, plain.logprobs, atol=1e-5)


def test_unscored_tokens_have_no_statistic() -> None:
    scored = np.array([False, True, True, False, True])
    one = TokenRun(tokens(5), scored, frozenset({"entropy"}))
    (found,) = Engine(student("qwen2")).score(PROMPT, [one])
    assert np.isfinite(found.statistics["entropy"]).tolist() == scored.tolist()


def test_the_projection_is_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = student("qwen2")
    whole = Engine(model).score(PROMPT, [run(50)])
    rows: list[int] = []
    monkeypatch.setattr("lnat_plugins.engine.projection.CHUNK_BYTES", 4 * 97 * 8)
    engine = Engine(model)
    engine.score(PROMPT, [run(2)])  # the trial is over
    handle = model.lm_head.register_forward_hook(lambda m, a, out: rows.append(out.shape[-2]))
    chunked = engine.score(PROMPT, [run(50)])
    handle.remove()
    assert max(rows) <= 8
    np.testing.assert_allclose(chunked[0].logprobs, whole[0].logprobs, atol=1e-5)


def test_a_model_without_output_embedding_is_refused() -> None:
    with pytest.raises(StudentError, match="no output embedding"):
        Projector(nn.Linear(2, 2))


# Measuring alone.


def test_tokens_of_probability_zero_do_not_spoil_the_sums() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]])
    found = measure(logits, torch.tensor([1]), TOKEN)
    p = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    brier = 1 - 2 * p[1] + (p**2).sum()
    expected = [np.log(p[1]), 2, -(p * np.log(p)).sum(), brier, brier, p.max(), 0]
    for temperature in TEMPERED.values():
        tempered = np.array([0.0, 1.0, 2.0]) / temperature
        expected.append(tempered[1] - np.logaddexp.reduce(tempered))
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
    monkeypatch.setattr("lnat_plugins.engine.projection.BLOCK_BYTES", 4 * 40 * rows)
    assert torch.equal(measure(logits, targets, TOKEN), whole)


def test_a_block_holds_no_more_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of float32, on the CPU: 16 rows of 2**16 tokens are 4 MiB."""
    sizes: list[int] = []

    def seen(logits: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(logits))
        return measure(logits, *rest)

    monkeypatch.setattr("lnat_plugins.engine.projection.measure", seen)
    found = measure(torch.zeros(40, 2**16), torch.zeros(40, dtype=torch.long), ())
    assert sizes == [16, 16, 8] and found.shape == (1, 40)
