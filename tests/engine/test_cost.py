"""The operations are those that torch counts in a forward; hours follow from them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, Qwen3MoeConfig

from lnat_plugins.engine.cost import LARGE, PEAKS, Shape, cost_of
from lnat_plugins.engine.planning import Planned
from lnat_plugins.errors import ConfigError
from tests.helpers_students import student

T = 12
SEVEN_B = Qwen2Config(
    hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
    num_key_value_heads=4, vocab_size=152064,
)  # fmt: skip


def counted(model: Any) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(T)[None])
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt_neox", "gpt2", "phi3"])
def test_a_dense_forward(name: str) -> None:
    """torch counts the whole square of the attention, of which half is needed.

    Some transformers multiply the rotary frequencies by the positions, which is no work of layers.
    """
    model = student(name)
    model.set_attn_implementation("eager")
    shape = Shape.of_model(model)
    square = Planned(prompt_tokens=T, projected_tokens=T, attended=T * T)
    head = getattr(model.config, "head_dim", None) or (
        model.config.hidden_size // model.config.num_attention_heads
    )
    assert counted(model) - cost_of(square, shape).flop in (
        0,
        *(T * size for size in range(2, head + 1)),
    )


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_is_counted_once(tied: bool) -> None:
    model = student("llama", tie_word_embeddings=tied)
    other = student("llama", tie_word_embeddings=not tied)
    assert Shape.of_model(model) == Shape.of_model(other)


def test_of_a_mixture_the_experts_that_a_token_is_sent_to() -> None:
    options: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "moe_intermediate_size": 32,
        "intermediate_size": 32, "num_experts": 8, "vocab_size": 400,
    }  # fmt: skip
    two, four = (Shape.of_config(Qwen3MoeConfig(**options, num_experts_per_tok=n)) for n in (2, 4))
    expert = 3 * 16 * 32
    assert four.weights - two.weights == 2 * 2 * expert
    attention = 16 * 16 + 2 * 16 * 8 + 16 * 16
    router = 8 * 16
    assert two.weights == 2 * (attention + router + 2 * expert)


def test_layers_with_linear_attention_attend_to_nothing() -> None:
    model = student("llama", num_hidden_layers=4)
    assert Shape.of_model(model).layers == 4
    model.config.layer_types = ["linear_attention", "full_attention"] * 2
    assert Shape.of_model(model).layers == 2


def test_a_known_size() -> None:
    """Qwen2.5-7B has 6.53 billion weights without embeddings, by its model card."""
    shape = Shape.of_config(SEVEN_B)
    assert shape.weights == pytest.approx(6.53e9, rel=0.002)
    assert (shape.layers, shape.attention, shape.width, shape.vocabulary) == (
        28, 3584, 3584, 152064,
    )  # fmt: skip


def test_hours() -> None:
    shape = Shape(weights=LARGE, layers=0, attention=0, width=0, vocabulary=0)
    cost = cost_of(Planned(body_tokens=10**9), shape, gpu="A100", gpus=4, share=0.5)
    assert cost.flop == 2e18 and cost.tokens == 10**9
    assert cost.gpu_hours == pytest.approx(2e18 / (PEAKS["A100"] * 0.5) / 3600)
    assert cost.hours == cost.gpu_hours / 4
    assert cost.in_words() == (
        "2e+18 floating-point operations in matrix products: 53 minutes on 4 A100 at 50% of its "
        "peak"
    )
    small = cost_of(Planned(body_tokens=10**9), Shape(LARGE - 1, 0, 0, 0, 0))
    assert small.in_words() == "2e+18 floating-point operations in matrix products"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpu": "H10"}, "unknown GPU .*H100"),
        ({"gpus": 0}, "at least one GPU"),
        ({"share": 0}, "at least one GPU"),
        ({"share": 1.1}, "at least one GPU"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cost_of(Planned(1), Shape(1, 1, 1, 1, 1), **options)
