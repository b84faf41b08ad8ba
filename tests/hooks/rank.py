"""One of two processes that choose and train together, started by test_two_ranks.py."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from lnat_plugins import Selection, hookimpl
from lnat_plugins.errors import DataError
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from lnat_plugins.selection import choose
from tests.helpers_ranks import leave

from . import weighted
from .builders import CORRECT, candidates, names, natural, record_order, record_rows


class Divided:
    """A plugin that chooses differently in each process."""

    @hookimpl
    def lnat_select(self, candidates: Any, student: Any, config: Any) -> Selection:
        chosen = choose(candidates, student, config)
        rank = int(os.environ["RANK"])
        reasons = {i: "not this one" for i in range(len(candidates.rows)) if i != rank}
        return replace(chosen, indices=(rank,), weights=(1.0,), reasons=reasons)


def build(folder: Path, rows: Dataset, **selection: Any) -> NaturalSFTTrainer:
    sft = {"ddp_backend": "gloo", "per_device_train_batch_size": 1}
    return natural(folder, CORRECT | selection, train_dataset=rows, sft=sft)


WEIGHTED = {
    "rows": {"gradient_accumulation_steps": 2},
    # The processes have different parts of rows.
    "packs": {"packing": True, "packing_strategy": "wrapped", "max_length": 70},
    "apart": {"average_tokens_across_devices": False},
}


def train_by_weight(folder: Path, sft: dict[str, Any]) -> dict[str, Any]:
    """The losses that this rank logs, and its model's parameters."""
    sft = {"ddp_backend": "gloo", "per_device_train_batch_size": 1, **sft}
    trainer = weighted.trainer(folder, sft=sft)
    trainer.train()
    parameters = [parameter.flatten().tolist() for parameter in trainer.model.parameters()]
    return {"losses": weighted.losses(trainer), "parameters": parameters}


def train_in_order(folder: Path) -> dict[str, Any]:
    """The rows that this rank sees, and the order of the selection."""
    order = {"strategy": "top_k", "k": 12, "order": "hard_to_easy"}
    with pytest.MonkeyPatch.context() as patch:
        seen = record_order(patch)
        trainer = build(folder, candidates(5), **order, require_correct=False)
        trainer.train()
    return {"seen": seen, "order": names(trainer.selection)}


def main(arguments: Sequence[str]) -> None:
    """Writes what this rank chose, saw and how its model was wrapped."""
    folder, rank = Path(arguments[0]), int(os.environ["RANK"])
    try:
        build(folder / "other", candidates(5 + rank))
    except DataError as error:
        refused = str(error)
    divided = build(folder / "divided", candidates(5), plugins=[Divided()])
    by_weight = {name: train_by_weight(folder / name, sft) for name, sft in WEIGHTED.items()}
    in_order = train_in_order(folder / "order")
    trainer = build(folder / "out", candidates(5))
    wrapped_early = hasattr(trainer.model, "_is_accelerate_prepared")
    seen = record_rows(pytest.MonkeyPatch())
    trainer.train()
    found = {
        "refused": refused,
        "divided": divided.selection.indices,
        "selection": trainer.selection.as_dict(),
        "seen": [[*key, count] for key, count in seen.items()],
        "wrapped_early": wrapped_early,
        "wrapped": type(trainer.model_wrapped).__name__,
        "max_steps": trainer.state.max_steps,
        "by_weight": by_weight,
        "in_order": in_order,
        "weights": [float(weight.sum()) for weight in trainer.model.parameters()],
    }
    (folder / f"found{rank}.json").write_text(json.dumps(found))
    leave()
