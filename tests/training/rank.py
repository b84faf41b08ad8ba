"""One of two processes that choose and train together, started by test_two_ranks.py."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from lnat_plugins import Selection, hookimpl
from lnat_plugins.errors import DataError
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from lnat_plugins.selection import choose
from tests.helpers_students import student, tokenizer

from .lab import candidates, config, record_steps


class Divided:
    """A plugin that chooses otherwise in each process."""

    @hookimpl
    def lnat_select(self, candidates: Any, student: Any, config: Any) -> Selection:
        chosen = choose(candidates, student, config)
        rank = int(os.environ["RANK"])
        reasons = {i: "not this one" for i in range(len(candidates.rows)) if i != rank}
        return replace(chosen, indices=(rank,), weights=(1.0,), reasons=reasons)


def build(folder: Path, rows: Any, **selection: Any) -> NaturalSFTTrainer:
    built = tokenizer()
    built.pad_token = "<|end|>"
    return NaturalSFTTrainer(
        student("llama"),
        config(folder, ddp_backend="gloo", per_device_train_batch_size=1),
        train_dataset=rows,
        processing_class=built,
        selection={"strategy": "best", "windows": [1], "require_correct": True, **selection},
    )


def main(arguments: Sequence[str]) -> None:
    """Writes what this rank chose, saw and how its model was wrapped."""
    folder = Path(arguments[0])
    try:
        build(folder / "other", candidates(5 + int(os.environ["RANK"])))
    except DataError as error:
        refused = str(error)
    divided = build(folder / "divided", candidates(5), plugins=[Divided()])
    trainer = build(folder / "out", candidates(5))
    wrapped_early = hasattr(trainer.model, "_is_accelerate_prepared")
    seen = record_steps(trainer)
    trainer.train()
    told = {
        "refused": refused,
        "divided": divided.selection.indices,
        "selection": trainer.selection.as_dict(),
        "seen": [[*key, count] for key, count in seen.items()],
        "wrapped_early": wrapped_early,
        "wrapped": type(trainer.model_wrapped).__name__,
        "max_steps": trainer.state.max_steps,
        "weights": [float(weight.sum()) for weight in trainer.model.parameters()],
    }
    (folder / f"told{os.environ['RANK']}.json").write_text(json.dumps(told))
    PartialState().destroy_process_group()
