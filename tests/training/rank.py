"""One of two processes that choose and train together, started by test_two_ranks.py."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from tests.helpers_students import student, tokenizer

from .lab import candidates, config, record_steps


def main(arguments: Sequence[str]) -> None:
    """Writes what this rank chose, saw and how its model was wrapped."""
    folder = Path(arguments[0])
    built = tokenizer()
    built.pad_token = "<|end|>"
    trainer = NaturalSFTTrainer(
        student("llama"),
        config(folder / "out", ddp_backend="gloo", per_device_train_batch_size=1),
        train_dataset=candidates(5),
        processing_class=built,
        selection={"strategy": "best", "windows": [1], "require_correct": True},
    )
    wrapped_early = hasattr(trainer.model, "_is_accelerate_prepared")
    seen = record_steps(trainer)
    trainer.train()
    told = {
        "selection": trainer.selection.as_dict(),
        "seen": [[*key, count] for key, count in seen.items()],
        "wrapped_early": wrapped_early,
        "wrapped": type(trainer.model_wrapped).__name__,
        "max_steps": trainer.state.max_steps,
        "weights": [float(weight.sum()) for weight in trainer.model.parameters()],
    }
    (folder / f"told{os.environ['RANK']}.json").write_text(json.dumps(told))
    PartialState().destroy_process_group()
