"""Candidates whose texts say who they are, students, trainers and configs for them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from lnat_plugins.selection import Selection
from tests.helpers_students import CHATML, student, tokenizer

TEACHERS = ("QwQ", "R1", "DSQ")
BEST = {"strategy": "best", "windows": [1]}
CORRECT = BEST | {"require_correct": True}
_MARK = re.compile(r"#(p\d+)/(\w+)#")


def text_of(prompt: int, teacher: str) -> str:
    """A response of a few sentences; the last one names prompt and teacher."""
    opening = {
        "QwQ": "First step. Wait. So 3 + 4 = 7.",
        "R1": "Second step. Done.",
        "DSQ": "Seven.",
    }
    return f"{opening[teacher]} Next {prompt * 'step '}is this. #p{prompt}/{teacher}#"


def candidates(prompts: int = 4, format: str = "messages") -> Dataset:
    """A row for each prompt and teacher; R1 is wrong on odd prompts."""
    rows = []
    for prompt in range(prompts):
        for teacher in TEACHERS:
            question, response = f"What is {prompt} + 4?", text_of(prompt, teacher)
            user = [{"role": "user", "content": question}]
            assistant = [{"role": "assistant", "content": response}]
            texts: Mapping[str, Any] = {
                "messages": {"messages": user + assistant},
                "conversations": {"prompt": user, "completion": assistant},
                "plain": {"prompt": f"{question}\n\n", "completion": response},
            }[format]
            correct = teacher != "R1" or prompt % 2 == 0
            rows.append({**texts, "teacher": teacher, "correct": correct})
    return Dataset.from_list(rows)


def sft_config(folder: Path, **changes: Any) -> SFTConfig:
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


def padded(template: str = CHATML) -> Any:
    """The students' tokenizer, with a token for padding."""
    built = tokenizer()
    built.pad_token = "<|end|>"
    built.chat_template = template
    return built


def arguments(folder: Path, **changes: Any) -> dict[str, Any]:
    """What a trainer of a tiny student takes; `sft` changes the training arguments."""
    options = {
        "args": sft_config(folder, **changes.pop("sft", {})),
        "train_dataset": candidates(),
        "processing_class": padded(),
    }
    # A student is built only where none is given.
    return ({} if "model" in changes else {"model": student("llama")}) | options | changes


def natural(folder: Path, selection: Any = BEST, **changes: Any) -> NaturalSFTTrainer:
    """A trainer that chooses its rows while it is built."""
    return NaturalSFTTrainer(**arguments(folder, **changes), selection=selection)


def plain_trainer(folder: Path, **changes: Any) -> SFTTrainer:
    """TRL's own trainer."""
    return SFTTrainer(**arguments(folder, **changes))


def saved_student(folder: Path) -> Path:
    """A tiny student and its tokenizer, in a folder as `from_pretrained` reads it."""
    student("llama").save_pretrained(folder)
    padded().save_pretrained(folder)
    return folder


def write_config(folder: Path, student: Path, drop: str = "", **changes: Any) -> Path:
    """A training config with candidates of its own; one epoch, the model goes to `out`."""
    candidates().to_parquet(str(folder / "candidates.parquet"))
    keys: dict[str, Any] = {
        "model_name_or_path": str(student),
        "datasets": [
            {"path": "parquet", "data_files": str(folder / "candidates.parquet"), "split": "train"}
        ],
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "num_train_epochs": 1,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "max_length": 512,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "selection": CORRECT,
    }
    path = folder / "sft.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (keys | changes).items() if k != drop}))
    return path


def write_teacher_set(folder: Path, prompts: int, block: str = "{}") -> Path:
    """A teacher set of two teachers and its YAML, with this `naturalness:` block."""
    rows = [
        {"prompt_id": f"p{p}", "prompt": f"What is {p} + 4?", "teacher": t}
        | {"response": text_of(p, t)}
        for p in range(prompts)
        for t in TEACHERS[:2]
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "set.yaml"
    path.write_text(f"task: mine\ndataset_path: rows.jsonl\nnaturalness: {block}\n")
    return path


def stored(folder: Path) -> Selection:
    """The choice that a trainer stored in its output folder."""
    return Selection.from_dict(json.loads((folder / "lnat_selection.json").read_text()))


def record_rows(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Counts (prompt, teacher) of every row that reaches any trainer's step from now on."""
    seen: Counter[tuple[str, str]] = Counter()
    _record(monkeypatch, seen.update)
    return seen


def record_order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(prompt, teacher) of every row that reaches any trainer's step from now on, in order."""
    seen: list[tuple[str, str]] = []
    _record(monkeypatch, seen.extend)
    return seen


def _record(
    monkeypatch: pytest.MonkeyPatch, add: Callable[[list[tuple[str, str]]], object]
) -> None:
    step = SFTTrainer.training_step

    def recording(self: Any, model: Any, inputs: Mapping[str, Any], *rest: Any) -> Any:
        add(marks(self.processing_class.decode(row) for row in inputs["input_ids"]))
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(SFTTrainer, "training_step", recording)


def marks(texts: Iterable[str]) -> list[tuple[str, str]]:
    """(prompt, teacher) of each response of `text_of` in the texts."""
    return [mark for text in texts for mark in _MARK.findall(text)]


def names(selection: Selection) -> list[tuple[str, str]]:
    """(prompt, teacher) of the training set's rows in its order, for rows made by `candidates`."""
    return [(f"p{i // len(TEACHERS)}", selection.teachers[i]) for i in selection.rows]


def expected_rows(selection: Selection, epochs: int = 2) -> Counter[tuple[str, str]]:
    """What training on the selection must show, for rows made by `candidates`."""
    return Counter(names(selection) * epochs)
