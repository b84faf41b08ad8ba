"""`python -m lnat_plugins.sft --config sft.yaml`: `trl sft` with its rows chosen by the student.

Takes TRL's own arguments and the `selection:` block. Under `accelerate launch -m
lnat_plugins.sft` the processes share out the scoring and train on the same choice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lnat_plugins.errors import ConfigError, LnatError

_HELP = """usage: python -m lnat_plugins.sft --config FILE [TRL's arguments ...]

Chooses rows as the `selection:` block of FILE says, and trains on them as `trl sft` does.
FILE holds TRL's keys (`trl sft --help` lists them) and the block; arguments win over FILE.
docs/selection.md explains every key of the block."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, train, save. Returns the exit code; 2 for bad input, told in one line."""
    given = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(given):
        print(_HELP)
        return 0
    try:
        _train(given)
    except LnatError as error:
        print(f"lnat: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _train(arguments: Sequence[str]) -> None:
    from trl import get_peft_config

    from lnat_plugins.training.load import FOREIGN, check_student, load_splits, model_arguments
    from lnat_plugins.training.run_config import read_run_config

    run = read_run_config(arguments)
    # Now: in a bare checkout, where it is missing, reading the block has told why.
    from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer

    check_student(run)
    checkpoint = _checkpoint(run.training)
    run.training.model_init_kwargs = model_arguments(run)
    candidates, evaluation = load_splits(run)
    try:
        trainer = NaturalSFTTrainer(
            model=run.model.model_name_or_path,
            args=run.training,
            train_dataset=candidates,
            eval_dataset=evaluation,
            peft_config=get_peft_config(run.model),
            selection=run.chooser,
        )
    except FOREIGN as cause:
        raise ConfigError(
            f"TRL cannot build the trainer: {str(cause).strip().splitlines()[0]}",
            where=str(run.path),
            found=type(cause).__name__,
        ) from cause
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model(run.training.output_dir)
    trainer.accelerator.print(f"Model saved to {run.training.output_dir}")
    if run.training.push_to_hub:
        trainer.push_to_hub(dataset_name=run.script.dataset_name)


def _checkpoint(training: Any) -> str | bool | None:
    """Where to resume from, checked before anything is scored."""
    asked: str | bool | None = training.resume_from_checkpoint
    if not asked:
        return None
    if str(asked).lower() == "true":
        if any(Path(training.output_dir).glob("checkpoint-*")):
            return True
    elif Path(str(asked)).is_dir():
        return asked
    raise ConfigError(
        "there is no checkpoint to resume from",
        where="resume_from_checkpoint",
        found=asked,
        remedy="name a checkpoint's folder, or leave it out",
    )


if __name__ == "__main__":
    raise SystemExit(main())
