"""A student that fails at one of its forwards: right numbers, or none with a reason."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import torch
from torch import nn

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set import Response
from tests.helpers_students import student
from tests.scoring.builders import LONG, scorer_of

PROMPTS: Final = (
    ([5, 6, 7], (LONG, "First step. Second step.")),
    ([9, 8], ("First step.", LONG[:60])),
    ([5, 6, 7, 8, 9, 10], ("Seven.",)),
)


def scored(model: Any, tokenizer: Any, path: str, statistics: frozenset[str]) -> list[StepSums]:
    """The records of all prompts, which are read together."""
    backend = EngineBackend(Engine(model, path=path))
    scorer = scorer_of(model, tokenizer, backend=backend, statistics=statistics, tokens=True)
    ready = [
        scorer.prepare(prompt, [Response(f"t{i}", text) for i, text in enumerate(texts)])
        for prompt, texts in PROMPTS
    ]
    with backend.reading([scorer.calls(one) for one in ready]):
        return [record for one in ready for record in scorer.score_prepared(one)]


@contextmanager
def failing(
    model: nn.Module, part: nn.Module, n: int, fault: Callable[[Any], Any]
) -> Iterator[Any]:
    """In the n-th forward of the model what `part` returns goes through `fault`."""
    forwards: list[int] = []
    hooks = [
        model.register_forward_pre_hook(lambda *_: forwards.append(1)),
        part.register_forward_hook(
            lambda _, __, output: fault(output) if len(forwards) == n else None
        ),
    ]
    try:
        yield forwards
    finally:
        for hook in hooks:
            hook.remove()


def filled(value: float, at: slice) -> Callable[[Any], Any]:
    """Replaces the values of some tokens."""

    def fill(output: Any) -> Any:
        whole = output[0] if isinstance(output, tuple) else output
        whole = whole.clone()
        # The output embedding is given tokens without rows, some of the time.
        whole.view(-1, *whole.shape[-2:])[:, at] = value
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    return fill


def out_of_memory(_: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory")


FAULTS: Final = {
    "nan": filled(math.nan, slice(None)),
    "nan at one token": filled(math.nan, slice(1, 2)),
    "nan at the last": filled(math.nan, slice(-1, None)),
    "inf": filled(math.inf, slice(None)),
    "minus inf": filled(-math.inf, slice(2, 4)),
    "memory": out_of_memory,
}


def parts_of(model: Any) -> dict[str, nn.Module]:
    body = model.model
    found = {"embedding": body.embed_tokens, "norm": body.norm, "head": model.lm_head}
    for i, layer in enumerate(body.layers):
        found[f"layer {i}"] = layer
        found[f"layer {i} attention"] = layer.self_attn
        found[f"layer {i} mlp"] = layer.mlp
    return found


PARTS: Final = (
    "embedding", "norm", "head", "layer 0", "layer 0 attention", "layer 0 mlp", "layer 1",
    "layer 1 attention", "layer 1 mlp",
)  # fmt: skip


def near(found: Any, expected: Any) -> bool:
    return bool(abs(found - expected) <= 1e-4 * max(1, abs(expected)))


def check(found: StepSums, clean: StepSums) -> int:
    """Every number is right, or NaN where `undefined` says why; returns how many are NaN."""
    missing = 0
    for window, sums in clean.sums.items():
        own = found.sums[window]
        assert own is not None and sums is not None
        lost = [math.isnan(value) for value in own]
        missing += sum(lost)
        assert all(
            gone or near(*pair)
            for gone, pair in zip(lost, zip(own, sums, strict=True), strict=True)
        )
        assert any(lost) == (window in found.undefined)
        assert math.isnan(found.totals[window]) == any(lost)
    for name, value in clean.statistics.items():
        assert (name in found.statistics) != (name in found.undefined)
        if name in found.statistics:
            assert near(found.statistics[name], value), name
        else:
            missing += 1
    for name, values in clean.step_statistics.items():
        assert (name in found.step_statistics) != (name in found.undefined)
        if name in found.step_statistics:
            assert all(
                near(*pair) for pair in zip(found.step_statistics[name], values, strict=True)
            )
        else:
            missing += 1
    assert found.may_pass == bool(missing)
    return missing


@pytest.fixture(scope="module")
def clean(tokenizer: Any) -> list[StepSums]:
    return scored(student("llama"), tokenizer, "batched", ALL - {"reward"})


@pytest.mark.parametrize("path", ["auto", "batched"])
@pytest.mark.parametrize("part", PARTS)
def test_a_fault_of_one_forward(
    part: str, path: str, tokenizer: Any, clean: list[StepSums]
) -> None:
    """Of each of them in one part of the student, of some in the others, with two faults each."""
    model = student("llama")
    where = parts_of(model)[part]
    statistics = ALL - {"reward"}
    with failing(model, where, -1, out_of_memory) as forwards:
        scored(model, tokenizer, path, statistics)
    # The first is the engine's look at the output embedding.
    every = range(2, len(forwards) + 1)
    chosen = every if part == "layer 0" else sorted({*every[:2], *every[2:-2:16], *every[-2:]})
    lost = 0
    for (i, fault), (j, n) in itertools.product(enumerate(FAULTS.values()), enumerate(chosen)):
        if part == "layer 0" or (i - j) % 3 == 0:
            with failing(model, where, n, fault):
                found = scored(model, tokenizer, path, statistics)
            lost += sum(check(*pair) for pair in zip(found, clean, strict=True))
    assert lost
