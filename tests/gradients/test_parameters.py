"""Which parameters: against peft and plain autograd; nothing stays behind in the student."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import StudentError
from lnat_plugins.gradients.parameters import (
    LORA_ALPHA,
    LORA_LAYERS,
    LORA_RANK,
    PARAMETERS,
    Parameters,
    differentiated,
)
from tests.engine.students import student

IDS = torch.tensor([[5, 6, 7, 8, 9, 3]])
WHERE = torch.tensor([2, 3, 4])


def loss(model: Any) -> torch.Tensor:
    _, logits = Engine(model, path="batched").projector.run(
        {"input_ids": IDS, "use_cache": False}, WHERE, len(WHERE)
    )
    return torch.nn.functional.cross_entropy(logits, IDS[0, WHERE + 1])


def gradients(model: Any, chosen: Parameters) -> list[torch.Tensor]:
    with differentiated(model, chosen, 0) as leaves:
        return list(torch.autograd.grad(loss(model), leaves))


def plain_loss(model: Any) -> torch.Tensor:
    logits = model(IDS).logits[0, WHERE]
    return torch.nn.functional.cross_entropy(logits, IDS[0, WHERE + 1])


@pytest.mark.parametrize("name", ["llama", "gemma2_sliding", "gpt2", "mamba", "qwen3_moe"])
def test_all_are_those_of_autograd(name: str) -> None:
    model = student(name)
    found = gradients(model, "all")
    expected = torch.autograd.grad(plain_loss(model), list(model.parameters()), allow_unused=True)
    assert len(found) == len(expected) > 5
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["llama", "granite", "gemma2_sliding"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_last_layer_is_apart_from_the_embedding(name: str, tied: bool) -> None:
    """Also where logits are scaled (granite) or capped (gemma2) behind it."""
    model = student(name, tie_word_embeddings=tied)
    (found,) = gradients(model, "last_layer")
    untied = copy.deepcopy(model)
    untied.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    (expected,) = torch.autograd.grad(plain_loss(untied), [untied.lm_head.weight])
    assert found.shape == model.lm_head.weight.shape
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["llama", "gemma2_sliding"])
def test_adapters_are_those_of_peft(name: str) -> None:
    model = student(name)
    config = LoraConfig(
        r=LORA_RANK, lora_alpha=LORA_ALPHA, lora_dropout=0.0, bias="none",
        target_modules=list(LORA_LAYERS), task_type="CAUSAL_LM",
    )  # fmt: skip
    theirs = get_peft_model(copy.deepcopy(model), config)
    down: list[torch.Tensor] = []
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, weight in theirs.named_parameters():
            if "lora_A" in key:
                uniform = torch.rand(weight.shape, generator=generator)
                assert weight.abs().max() <= weight.shape[1] ** -0.5  # peft's own start
                weight.copy_((2 * uniform - 1) / weight.shape[1] ** 0.5)
                down.append(weight)
    up = [weight for key, weight in theirs.named_parameters() if "lora_B" in key]
    expected = torch.autograd.grad(plain_loss(theirs), up)
    assert not any(one.any() for one in torch.autograd.grad(plain_loss(theirs), down))
    found = gradients(model, "lora")
    assert len(found) == len(expected) == 12
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("chosen", PARAMETERS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_student_is_left_as_it_was_found(chosen: Parameters, fails: bool) -> None:
    model = student("llama")
    model.train()
    model.model.layers[0].eval()
    frozen = model.model.embed_tokens.weight.requires_grad_(False)
    kept = model.model.norm.weight
    kept.grad = torch.ones_like(kept)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    try:
        with differentiated(model, chosen, 0) as leaves:
            torch.autograd.grad(loss(model), leaves)
            assert not any(module.training for module in model.modules())
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert [module.training for module in model.modules()] == modes
    assert not frozen.requires_grad and all(
        weight.requires_grad for weight in model.parameters() if weight is not frozen
    )
    assert torch.equal(kept.grad, torch.ones_like(kept))
    assert not any(module._forward_hooks for module in model.modules())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_no_other_weights_have_gradients() -> None:
    model = student("llama")
    for chosen in ("last_layer", "lora"):
        with differentiated(model, chosen, 0):
            assert not any(weight.requires_grad for weight in model.parameters())


def test_half_precision_is_refused() -> None:
    model = student("llama").to(torch.bfloat16)
    with (
        pytest.raises(StudentError, match="bfloat16.*Load it with dtype=torch.float32"),
        differentiated(model, "all", 0),
    ):
        pass


def test_a_student_without_such_layers_is_refused() -> None:
    with (
        pytest.raises(StudentError, match="parameters: lora: the student has no layer for"),
        differentiated(student("gpt2"), "lora", 0),
    ):
        pass
    model = student("llama")
    model.set_output_embeddings(torch.nn.Identity())
    with (
        pytest.raises(StudentError, match="output head is not a linear layer.*Identity"),
        differentiated(model, "last_layer", 0),
    ):
        pass
    assert all(weight.requires_grad for weight in model.parameters())
