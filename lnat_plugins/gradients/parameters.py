"""By which parameters of a student gradients are taken; the student is left as it was found.

    all          every parameter, as the paper has it
    lora         the B of adapters on the layers that the authors' code adapts, r = 16, alpha = 32,
                 B = 0 and A random. At B = 0 the gradient by A is 0, and so is not taken.
    last_layer   the output head's weights alone, apart from an embedding that shares them: no
                 backward pass below the head (ours)

Shapes: B rows, L positions, I inputs and O outputs of a layer, R the rank of an adapter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor, nn

from lnat_plugins.errors import StudentError

Parameters = Literal["all", "last_layer", "lora"]
PARAMETERS: Final[tuple[str, ...]] = get_args(Parameters)

LORA_LAYERS: Final = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj", "gate_proj")
LORA_RANK: Final = 16
LORA_ALPHA: Final = 32

_OTHERS: Final = "choose other parameters: all, or last_layer"


@contextmanager
def differentiated(model: Any, chosen: Parameters, seed: int) -> Iterator[list[Tensor]]:
    """The tensors by which gradients are taken, while the model is in eval mode.

    Args:
        model: a transformers causal language model with weights in float32 (or float64).
        chosen: of the three above.
        seed: of the adapters' A.

    Raises:
        StudentError: weights of another dtype, or no layer that is asked for.
    """
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and weight.dtype not in (torch.float32, torch.float64):
            raise StudentError(
                "gradients are taken in float32, and the student's weights are not", where=name,
                found=str(weight.dtype), remedy="load it with dtype=torch.float32",
            )  # fmt: skip
    training = [module for module in model.modules() if module.training]
    needed = [weight for weight in model.parameters() if weight.requires_grad]
    with ExitStack() as undo:
        for module in training:
            undo.callback(setattr, module, "training", True)
        undo.callback(_require, model, needed)
        model.eval()
        if chosen == "all":
            leaves = [weight for weight in model.parameters() if weight.is_floating_point()]
            _require(model, leaves)
        else:
            _require(model, [])
            attach = _adapted if chosen == "lora" else _untied
            leaves, hooks = attach(model, seed)
            for hook in hooks:
                undo.callback(hook.remove)
        yield leaves


def _require(model: nn.Module, wanted: list[Any]) -> None:
    """Gradients by these weights of the model, and by no other."""
    names = set(map(id, wanted))
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in names)


def _adapted(model: nn.Module, seed: int) -> tuple[list[Tensor], list[Any]]:
    """The B of each adapter, and the hooks that add the adapters' outputs."""
    generator = torch.Generator().manual_seed(seed)
    leaves: list[Tensor] = []
    hooks: list[Any] = []
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear) or name.rpartition(".")[2] not in LORA_LAYERS:
            continue
        # As peft begins: uniform within 1/√I (kaiming_uniform_ with a = √5).
        uniform_RI = torch.rand(LORA_RANK, layer.in_features, generator=generator)
        down_RI = ((2 * uniform_RI - 1) / math.sqrt(layer.in_features)).to(layer.weight)
        up_OR = down_RI.new_zeros(layer.out_features, LORA_RANK).requires_grad_()
        leaves.append(up_OR)
        hooks.append(layer.register_forward_hook(_adding(down_RI, up_OR)))
    if not leaves:
        raise StudentError(
            "the student has no layer for adapters", where="parameters: lora",
            found=type(model).__name__, remedy=f"{_OTHERS}; adapted are {', '.join(LORA_LAYERS)}",
        )  # fmt: skip
    return leaves, hooks


def _adding(down_RI: Tensor, up_OR: Tensor) -> Callable[..., Tensor]:
    def add(_layer: nn.Module, args: tuple[Tensor, ...], output_BLO: Tensor) -> Tensor:
        return output_BLO + LORA_ALPHA / LORA_RANK * (args[0] @ down_RI.T @ up_OR.T)

    return add


def _untied(model: Any, _seed: int) -> tuple[list[Tensor], list[Any]]:
    """The output head's weights as a leaf of their own, and the hook that reads them."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise StudentError(
            "the student's output head is not a linear layer", where="parameters: last_layer",
            found=type(head).__name__, remedy="choose other parameters: all, or lora",
        )  # fmt: skip
    weight_OI = head.weight.detach().requires_grad_()

    def read(_head: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        return nn.functional.linear(args[0], weight_OI, head.bias)

    return [weight_OI], [head.register_forward_hook(read)]
