"""What the engine promises beside its numbers: counts, memory, failures, a clean model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lnat_plugins.engine import attention as split_module
from lnat_plugins.engine import packed as packed_module
from lnat_plugins.engine.attention import formula
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.projection import Projector
from lnat_plugins.engine.types import TokenRun
from lnat_plugins.errors import ConfigError, StudentError

from .students import student

PROMPT = np.array([5, 6, 7, 8])


def run(n: int, scored: slice = slice(None), seed: int = 0) -> TokenRun:
    mask = np.zeros(n, bool)
    mask[scored] = True
    return TokenRun(np.random.default_rng(seed).integers(3, 97, n), mask)


def test_counts_of_the_packed_pass() -> None:
    engine = Engine(student("qwen2"), token_budget=64)
    engine.score(PROMPT, [run(10), run(20, slice(15, 20)), run(1)])
    counts = engine.counts
    assert counts.prompt_tokens == 4  # once for all runs
    assert counts.body_tokens == 9 + 19 + 0  # the last token is predicted, never read
    assert counts.projected_tokens == 10 + 5 + 1
    assert counts.padding_tokens == 0
    assert counts.forwards == 2  # the prompt, and one row


def test_counts_of_the_batched_pass() -> None:
    engine = Engine(student("qwen2"), path="batched")
    engine.score(PROMPT, [run(10), run(9)])
    counts = engine.counts
    assert (counts.forwards, counts.prompt_tokens, counts.body_tokens) == (1, 8, 17)
    assert counts.padding_tokens == 1


def test_the_same_prompt_is_read_once() -> None:
    engine = Engine(student("qwen2"))
    engine.score(PROMPT, [run(10)])
    engine.score(PROMPT.copy(), [run(12)])
    assert engine.counts.prompt_tokens == 4
    engine.score(PROMPT[:3], [run(12)])
    assert engine.counts.prompt_tokens == 7


def test_tokens_not_asked_for_are_nan() -> None:
    (score,) = Engine(student("qwen2")).score(PROMPT, [run(6, slice(2, 4))])
    assert np.isnan(score.logprobs).tolist() == [True, True, False, False, True, True]
    assert score.failure == ""


def test_nothing_asked_nothing_done() -> None:
    assert Engine(student("qwen2")).score(PROMPT, []) == []


def test_the_projection_is_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = student("qwen2")
    whole = Engine(model).score(PROMPT, [run(50)])
    rows: list[int] = []
    monkeypatch.setattr("lnat_plugins.engine._projection.CHUNK_BYTES", 4 * 97 * 8)
    engine = Engine(model)
    engine.score(PROMPT, [run(2)])  # the trial is over
    handle = model.lm_head.register_forward_hook(lambda m, a, out: rows.append(out.shape[-2]))
    chunked = engine.score(PROMPT, [run(50)])
    handle.remove()
    assert max(rows) <= 8
    np.testing.assert_allclose(chunked[0].logprobs, whole[0].logprobs, atol=1e-5)


def test_a_wrong_attention_is_found_and_the_plain_pass_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs that see their own later tokens: 0.05 nats and more."""

    def unmasked(query: Any, key: Any, value: Any, *, causal: bool, scale: Any) -> Any:
        return formula(query, key, value, causal=False, scale=scale)

    monkeypatch.setattr(split_module, "attention_with_lse", unmasked)
    engine = Engine(student("llama"))
    engine.score(PROMPT, [run(40)])
    assert engine.path == "batched"
    assert "off by" in engine.reason


def test_a_pass_that_raises_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no such mask")

    monkeypatch.setattr(packed_module.PackedPass, "_read_packed", fail)
    engine = Engine(student("qwen2"))
    assert len(engine.score(PROMPT, [run(40)])) == 1
    assert engine.path == "batched"
    assert "ValueError: no such mask" in engine.reason


def test_packed_by_name_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(ConfigError, match="cannot take the packed pass.*sliding"):
        Engine(student("mistral_sliding"), path="packed")
    with pytest.raises(ConfigError, match="unknown engine path.*auto, packed, batched"):
        Engine(student("qwen2"), path="fast")


def test_a_model_without_output_embedding_is_refused() -> None:
    with pytest.raises(StudentError, match="no output embedding"):
        Projector(nn.Linear(2, 2))


class Scarce:
    """Runs out of memory whenever a pass reads more than `limit` tokens at once."""

    def __init__(self, model: Any, limit: int) -> None:
        self.limit = limit
        self.refused = 0
        model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].numel() > self.limit:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("path", ["packed", "batched"])
def test_a_pass_that_does_not_fit_is_split(path: str) -> None:
    runs = [run(20 + k, seed=k) for k in range(12)]
    expected = Engine(student("qwen2"), path=path).score(PROMPT, runs)
    model = student("qwen2")
    engine = Engine(model, path=path, token_budget=500)
    engine.score(PROMPT, [run(5)])
    scarce = Scarce(model, 90)
    got = engine.score(PROMPT, runs)
    assert scarce.refused > 0
    for a, b in zip(got, expected, strict=True):
        assert a.failure == ""
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)


@pytest.mark.parametrize("path", ["packed", "batched"])
def test_a_run_that_never_fits_has_no_number(path: str) -> None:
    model = student("qwen2")
    engine = Engine(model, path=path, token_budget=256)
    engine.score(PROMPT, [run(5)])
    Scarce(model, 20)
    long, short = engine.score(PROMPT, [run(200), run(5)])
    assert "out of memory" in long.failure
    assert np.isnan(long.logprobs).all()
    assert short.failure == "" and np.isfinite(short.logprobs).all()


def test_another_error_of_the_model_is_raised() -> None:
    model = student("qwen2")
    engine = Engine(model)
    engine.score(PROMPT, [run(5)])

    def fail(*_: Any) -> None:
        raise RuntimeError("broken layer")

    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken layer"):
        engine.score(PROMPT, [run(6)])


def test_nan_from_the_student_is_a_failure_with_a_reason() -> None:
    model = student("qwen2")
    engine = Engine(model, path="batched")
    with torch.no_grad():
        model.lm_head.weight[:] = float("nan")
    (score,) = engine.score(PROMPT, [run(5)])
    assert "NaN" in score.failure
    assert np.isnan(score.logprobs).all()


def test_a_run_without_a_number_takes_none_from_its_neighbours() -> None:
    model = student("qwen2")
    with torch.no_grad():
        model.get_input_embeddings().weight[2] = float("nan")
    runs = [run(n, seed=n) for n in (5, 3, 14, 12)]
    broken = runs[2].ids.copy()
    broken[0] = 2
    engine = Engine(model)
    engine.score(PROMPT, runs[:1])
    found = engine.score(PROMPT, [*runs[:2], TokenRun(broken, runs[2].scored), runs[3]])
    assert engine.path == "packed"
    assert [bool(one.failure) for one in found] == [False, False, True, False]
    alone = engine.score(PROMPT, runs)
    for place in (0, 1, 3):
        np.testing.assert_allclose(found[place].logprobs, alone[place].logprobs, atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    model = student("qwen2")
    model.train()
    model.model.layers[0].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    Engine(model).score(PROMPT, [run(5)])
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.lm_head._forward_pre_hooks


def test_one_shortage_does_not_shrink_every_pass_after_it() -> None:
    model = student("qwen2")
    engine = Engine(model, token_budget=190)
    engine.score(PROMPT, [run(5)])
    Scarce(model, 100)
    scores = engine.score(PROMPT, [run(10, seed=k) for k in range(60)])
    assert all(not score.failure for score in scores)
    assert engine.counts.forwards < 15  # one halving to 95 tokens, and 7 rows of 10 runs


def test_positions_that_depend_on_the_length_are_read_length_by_length() -> None:
    """Beyond the original context "longrope" reads a whole pass with other frequencies."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": 24,
        "factor": 8.0,
    }
    model = student("phi3", rope_parameters=rope, original_max_position_embeddings=24)
    engine = Engine(model)
    short, long = run(12), run(40, seed=1)
    together = engine.score(PROMPT, [short, long])
    assert engine.path == "batched"
    assert engine.reason == "rotary positions of type longrope"
    for one, score in zip([short, long], together, strict=True):
        (alone,) = Engine(model).score(PROMPT, [one])
        np.testing.assert_allclose(score.logprobs, alone.logprobs, atol=1e-5)


def test_positions_that_depend_on_what_was_read_before_are_refused() -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    with pytest.raises(StudentError, match="depends on what was read before.*yarn"):
        Engine(student("llama", rope_parameters=rope))
