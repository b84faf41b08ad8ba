"""Choose rows for a trainer that is not ours: as a data set, as a file, or inside TRL's own class.

Shows three ways. `select_dataset` gives the chosen rows as a `datasets.Dataset`, for anything
that trains on one; `to_json` writes them for anything that reads a file; `NaturalnessCallback`
chooses for a plain `trl.SFTTrainer` and logs what it chose.

    python examples/other_trainers.py --prompts 6 --output_dir out/other

The student and the rows are those that come with the package.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from lnat_plugins import select_dataset
from lnat_plugins.hooks.trl_sft import NaturalnessCallback

STUDENT = files("lnat_plugins") / "student"
ROWS = files("lnat_plugins.tasks") / "local_naturalness" / "teachers.jsonl"


def candidates(prompts: int) -> Dataset:
    """Eight rows a prompt, one of each teacher: a conversation, and who wrote its last turn."""
    lines = ROWS.read_text(encoding="utf-8").splitlines()
    return Dataset.from_list(
        [
            {
                "messages": [
                    {"role": "user", "content": row["prompt"]},
                    {"role": "assistant", "content": row["response"]},
                ],
                "teacher": row["teacher"],
            }
            for row in map(json.loads, lines[: 8 * prompts])
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose rows for any trainer.")
    parser.add_argument("--prompts", type=int, default=6, help="of 200; default: %(default)s")
    parser.add_argument("--output_dir", default="out/other", help="default: %(default)s")
    args = parser.parse_args()

    model = AutoModelForCausalLM.from_pretrained(str(STUDENT), dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(str(STUDENT))
    rows = candidates(args.prompts)

    # 1. The chosen rows, with all their columns, `lnat_score` and `lnat_weight`, for any trainer.
    #    Weights differ with `strategy="weighted"`, for a loss that weighs rows.
    chosen = select_dataset(rows, model, tokenizer, strategy="best", windows=[4])
    teachers = ", ".join(sorted(set(chosen["teacher"])))
    print(f"select_dataset: {len(chosen)} of {len(rows)} rows, by {teachers}")

    # 2. The same as a file, for a trainer that reads one.
    path = f"{args.output_dir}/chosen.jsonl"
    chosen.to_json(path)
    print("written:", path)

    # 3. A plain SFTTrainer, or a subclass of your own. The callback must be attached, since a
    #    callback alone sees neither the trainer nor its rows; it refuses to train if it is not.
    callback = NaturalnessCallback({"strategy": "top_k", "k": 2, "windows": [4]})
    trainer = SFTTrainer(
        model,
        args=SFTConfig(
            args.output_dir,
            max_steps=1,
            max_length=None,
            save_strategy="no",
            report_to="none",
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[callback],
    )
    selection = callback.attach(trainer)
    trainer.train()
    print("callback:", selection.chosen_by_teacher)


if __name__ == "__main__":
    main()
