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

from .builders import CORRECT, candidates, natural, record_rows


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


def main(arguments: Sequence[str]) -> None:
    """Writes what this rank chose, saw and how its model was wrapped."""
    folder, rank = Path(arguments[0]), int(os.environ["RANK"])
    try:
        build(folder / "other", candidates(5 + rank))
    except DataError as error:
        refused = str(error)
    divided = build(folder / "divided", candidates(5), plugins=[Divided()])
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
        "weights": [float(weight.sum()) for weight in trainer.model.parameters()],
    }
    (folder / f"found{rank}.json").write_text(json.dumps(found))
    leave()
