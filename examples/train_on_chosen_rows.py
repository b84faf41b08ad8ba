"""Train a student on the rows that suit it, in a program: TRL's SFTTrainer with a selection.

Shows the one argument that `NaturalSFTTrainer` has beyond `trl.SFTTrainer`: `selection`. The
candidates are an ordinary SFT data set with several responses to each prompt, and a column that
says who wrote them. The student scores them before it trains, and trains on the chosen ones only.

    python examples/train_on_chosen_rows.py --prompts 8 --max_steps 4 --output_dir out/train

The student and the rows are those that come with the package.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files

import torch
from datasets import Dataset
from trl import SFTConfig

from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer

STUDENT = files("lnat_plugins") / "student"
ROWS = files("lnat_plugins.tasks") / "local_naturalness" / "teachers.jsonl"


def candidates(prompts: int) -> Dataset:
    """Eight rows a prompt, one of each teacher: `prompt`, `completion`, `teacher`, `correct`."""
    lines = ROWS.read_text(encoding="utf-8").splitlines()
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "completion": [{"role": "assistant", "content": row["response"]}],
                "teacher": row["teacher"],
                "correct": row["correct"],
            }
            for row in map(json.loads, lines[: 8 * prompts])
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled student on chosen rows.")
    parser.add_argument("--prompts", type=int, default=8, help="of 200; default: %(default)s")
    parser.add_argument("--max_steps", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--output_dir", default="out/train", help="default: %(default)s")
    args = parser.parse_args()

    trainer = NaturalSFTTrainer(
        str(STUDENT),
        args=SFTConfig(
            args.output_dir,
            max_steps=args.max_steps,
            max_length=None,  # TRL cuts rows at 1024 tokens unless told otherwise
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=candidates(args.prompts),
        # Of each prompt's correct responses the one that is most natural to the student.
        selection={"strategy": "best", "windows": [4], "require_correct": True},
    )
    trainer.train()

    chosen = trainer.selection
    losses = [round(entry["loss"], 3) for entry in trainer.state.log_history if "loss" in entry]
    print("chosen:", chosen.chosen_by_teacher)
    print("why not the second row:", chosen.reasons[1])
    print(f"trained on {len(trainer.train_dataset)} rows, loss by step: {losses}")


if __name__ == "__main__":
    main()
