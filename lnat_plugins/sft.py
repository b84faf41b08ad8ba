"""`python -m lnat_plugins.sft --config sft.yaml`: `trl sft` with its rows chosen by the student.

Takes TRL's own arguments and the `selection:` block. Under `accelerate launch -m
lnat_plugins.sft` the processes share out the scoring and train on the same choice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lnat_plugins.errors import LnatError


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, train, save. Returns the exit code; 2 for bad input, told in one line."""
    try:
        _train(sys.argv[1:] if arguments is None else arguments)
    except LnatError as error:
        print(f"lnat: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _train(arguments: Sequence[str]) -> None:
    from trl import get_peft_config

    from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
    from lnat_plugins.training.load import (
        check_student,
        load_candidates,
        load_evaluation,
        model_arguments,
    )
    from lnat_plugins.training.run_config import read_run_config

    run = read_run_config(arguments)
    check_student(run)
    run.training.model_init_kwargs = model_arguments(run)
    trainer = NaturalSFTTrainer(
        model=run.model.model_name_or_path,
        args=run.training,
        train_dataset=load_candidates(run),
        eval_dataset=load_evaluation(run),
        peft_config=get_peft_config(run.model),
        selection=run.chooser,
    )
    trainer.train(resume_from_checkpoint=run.training.resume_from_checkpoint)
    trainer.save_model(run.training.output_dir)
    trainer.accelerator.print(f"Model saved to {run.training.output_dir}")
    if run.training.push_to_hub:
        trainer.push_to_hub(dataset_name=run.script.dataset_name)


if __name__ == "__main__":
    raise SystemExit(main())
