"""The packed pass: which models can take it, what it reads, and what stays in the cache."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from lnat_plugins.engine import packed
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.packed import cache_keyword, unsupported
from lnat_plugins.engine.types import TokenRun
from tests.engine.oracle import step_sums
from tests.engine.students import PROMPT, run, student, tokens


def test_counts() -> None:
    engine = Engine(student("qwen2"), token_budget=64)
    engine.score(PROMPT, [run(10), run(20, slice(15, 20)), run(1)])
    counts = engine.counts
    assert counts.prompt_tokens == 4  # once for all runs
    assert counts.body_tokens == 9 + 19 + 0  # the last token is predicted, never read
    assert counts.projected_tokens == 10 + 5 + 1
    assert counts.padding_tokens == 0
    assert counts.forwards == 2  # the prompt, and one row


def test_a_prompt_is_held_while_the_call_lasts() -> None:
    engine = Engine(student("qwen2"), token_budget=16)
    engine.score(PROMPT, [run(10), run(10, seed=1), run(40)])
    assert (engine.counts.prompt_tokens, engine.counts.forwards) == (4, 1 + 1 + 1 + 3)
    assert engine._packed is not None and not engine._packed._held
    engine.score(PROMPT, [run(12)])
    assert engine.counts.prompt_tokens == 8


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


def test_runs_that_fit_leave_the_cache_alone() -> None:
    """Before every pass the cache holds the prompt and nothing else, at the same place."""
    model = student("qwen2")
    engine = Engine(model, token_budget=16, path="packed")
    seen: list[tuple[int, int]] = []

    def look(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if held := engine._packed._held:  # type: ignore[union-attr]
            cache = held[0].cache
            layer: Any = cache.layers[0]
            seen.append((cache.get_seq_length(), layer.keys.data_ptr()))

    model.register_forward_pre_hook(look, with_kwargs=True)
    engine.score(PROMPT, [run(17), run(9, seed=1), run(8, seed=2)])
    assert len(seen) == 2
    assert {length for length, _ in seen} == {4}
    assert len({place for _, place in seen}) == 1
    # One token above the budget: in pieces, in room of its own; then others behind the prompt.
    engine.score(PROMPT, [run(18), run(5)])
    assert [length for length, _ in seen[2:]] == [4, 20, 4]
    assert seen[2][1] == seen[3][1]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("qwen2", {}, ""),
        ("qwen2", {"sliding_window": 6, "use_sliding_window": False}, ""),
        ("mistral_sliding", {}, "sliding-window attention"),
        ("gemma2_sliding", {}, "layers of type sliding_attention"),
        ("falcon_alibi", {}, "positions that a packed row cannot restart"),
    ],
)
def test_models_that_cannot_take_it(name: str, changes: dict[str, Any], reason: str) -> None:
    assert unsupported(student(name, **changes)) == reason


def test_an_attention_that_computes_something_else_is_not_replaced() -> None:
    model = student("llama")
    model.config._attn_implementation = "made_up"
    assert unsupported(model) == "attention 'made_up' cannot be replaced"


def test_a_model_that_takes_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_keyword(nn.Linear(2, 2)) == ""
    monkeypatch.setattr(packed, "cache_keyword", lambda _: "")
    assert unsupported(student("llama")) == "a forward that takes no cache"


class OldNames(nn.Module):
    def forward(self, input_ids: Any, past_key_values: Any = None, **kwargs: Any) -> None: ...


class NewNames(nn.Module):
    def forward(self, input_ids: Any, cache: Any = None, **kwargs: Any) -> None: ...


class BothNames(nn.Module):
    def forward(self, input_ids: Any, past_key_values: Any = None, cache: Any = None) -> None: ...


class Wrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)


def patched(model: Any, *, like: Any = None) -> Any:
    """A forward set on the object; `like` gives it a signature, as TRL and accelerate do."""
    original = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    model.forward = forward if like is None else functools.wraps(like)(forward)
    return model


def in_old_names(model: Any) -> Any:
    """A model with code of its own, written for transformers before 5.24."""
    original, name = model.forward, cache_keyword(model)

    def forward(
        input_ids: Any, position_ids: Any = None, past_key_values: Any = None, **kwargs: Any
    ) -> Any:
        kwargs |= {name: past_key_values, "position_ids": position_ids}
        return original(input_ids, **kwargs)

    model.forward = forward
    return model


@pytest.mark.parametrize(
    ("model", "keyword"),
    [
        (OldNames(), "past_key_values"),
        (NewNames(), "cache"),
        (BothNames(), "cache"),
        (Wrapper(Wrapper(OldNames())), "past_key_values"),
        (Wrapper(NewNames()), "cache"),
        (patched(NewNames(), like=NewNames.forward), "cache"),
        (patched(Wrapper(OldNames())), "past_key_values"),
    ],
)
def test_the_name_of_the_cache(model: nn.Module, keyword: str) -> None:
    assert cache_keyword(model) == keyword


LORA = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: get_peft_model(model, LORA),
        patched,
        lambda model: patched(model, like=type(model).forward),
        in_old_names,
    ],
    ids=["plain", "peft", "patched", "patched with a signature", "old names"],
)
def test_a_wrapped_or_patched_student_is_packed(wrap: Any) -> None:
    """Warnings are errors here, so an old name would show."""
    model = wrap(student("llama"))
    engine = Engine(model)
    found = engine.score(PROMPT, [run(12), run(5, seed=1)])
    assert engine.path == "packed", engine.reason
    for n, seed, one in [(12, 0, found[0]), (5, 1, found[1])]:
        expected = step_sums(model, PROMPT.tolist(), [tokens(n, seed).tolist()], "global")
        assert one.logprobs.sum() == pytest.approx(expected[0], abs=1e-4)
