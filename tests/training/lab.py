"""Candidates whose texts say who they are, students on disk, a record of what is trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig

from lnat_plugins.selection import Selection
from tests.helpers_students import student, tokenizer

TEACHERS = ("QwQ", "R1", "DSQ")
_MARK = re.compile(r"#(p\d+)/(\w+)#")


def text_of(prompt: int, teacher: str) -> str:
    """A response of a few sentences; the last one names prompt and teacher."""
    opening = {
        "QwQ": "First step. Wait. So 3 + 4 = 7.",
        "R1": "Second step. Done.",
        "DSQ": "Seven.",
    }
    return f"{opening[teacher]} Next {prompt * 'step '}is this. #p{prompt}/{teacher}#"


def candidates(prompts: int = 4, form: str = "messages", **more: Any) -> Dataset:
    """A row for each prompt and teacher; R1 is wrong on odd prompts. `more`: other columns."""
    rows = []
    for prompt in range(prompts):
        for teacher in TEACHERS:
            question, answer = f"What is {prompt} + 4?", text_of(prompt, teacher)
            asked = [{"role": "user", "content": question}]
            told = [{"role": "assistant", "content": answer}]
            texts: Mapping[str, Any] = {
                "messages": {"messages": asked + told},
                "conversations": {"prompt": asked, "completion": told},
                "plain": {"prompt": f"{question}\n\n", "completion": answer},
            }[form]
            correct = teacher != "R1" or prompt % 2 == 0
            rows.append({**texts, "teacher": teacher, "correct": correct} | more)
    return Dataset.from_list(rows)


def config(folder: Path, **changes: Any) -> SFTConfig:
    """Two epochs on the CPU in float32, nothing reported."""
    options: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "logging_steps": 1,
        "max_length": 512,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return SFTConfig(**(options | changes))


def saved_student(folder: Path, **changes: Any) -> Path:
    """A tiny student and its tokenizer, in a folder as `from_pretrained` reads it."""
    built = tokenizer()
    built.pad_token = "<|end|>"
    student("llama", **changes).save_pretrained(folder)
    built.save_pretrained(folder)
    return folder


def record_steps(trainer: Any) -> Counter[tuple[str, str]]:
    """Counts (prompt, teacher) of every row that reaches `training_step` from now on."""
    seen: Counter[tuple[str, str]] = Counter()
    step: Callable[..., Any] = trainer.training_step

    def recording(model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        for row in inputs["input_ids"]:
            seen.update(_MARK.findall(trainer.processing_class.decode(row)))
        return step(model, inputs, *args, **kwargs)

    trainer.training_step = recording
    return seen


def wanted(selection: Selection, epochs: int = 2) -> Counter[tuple[str, str]]:
    """What training on the selection must show, for pools made by `candidates`."""
    rows = [(i // len(TEACHERS), selection.teachers[i]) for i in selection.indices]
    return Counter({(f"p{prompt}", teacher): epochs for prompt, teacher in rows})
