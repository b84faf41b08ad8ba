"""A study of minutes: two teachers of sums, a random student, and questions with three choices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.units import write_done
from tests.harness.lab import CLASS
from tests.helpers_samples import teacher_table, write_run
from tests.helpers_students import student, tokenizer

TASK = {
    "task": "sums",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "doc_to_choice": "{{choices}}",
    "metric_list": [{"metric": "acc"}],
}


def write_study(folder: Path, **keys: Any) -> Path:
    """The study's YAML, with all that it names."""
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    reader.save_pretrained(folder / "student")
    student("llama").save_pretrained(folder / "student")
    rows = [
        {"prompt": f"What is {i} + 4?", "teacher": teacher, "response": text.format(i + 4)}
        for i in range(8)
        for teacher, text in {"long": "First step. So {}. Done.", "short": "{}."}.items()
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    block = {"windows": [1, "global"], "sensitivity": "none"}
    config = {"task": "teachers", "dataset_path": "rows.jsonl", "naturalness": block}
    (folder / "set.yaml").write_text(CLASS + yaml.safe_dump(config), encoding="utf-8")
    questions = [
        {"question": f"What is {i} + 3?", "choices": [f" {i + 3}", " 0", " step"], "answer": 0}
        for i in range(6)
    ]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    kwargs = {"data_files": {"test": str(folder / "test.jsonl")}}
    (folder / "sums.yaml").write_text(yaml.safe_dump(TASK | {"dataset_kwargs": kwargs}))
    study = {
        "study": "small",
        "teacher_set": "set.yaml",
        "students": "student",
        "seeds": 1,
        "budget": {"rows": 6},
        "selections": {"best": {"strategy": "best", "window": 1}},
        "sft": {"max_steps": 2, "learning_rate": 0.01, "use_cpu": True, "bf16": False},
        "evaluation": {
            "tasks": "sums.yaml", "metric": "acc", "device": "cpu", "batch_size": 8,
            "model_args": {"dtype": "float32"},
        },
    }  # fmt: skip
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study | keys), encoding="utf-8")
    return path


RIGHT = {"none": 1, "long": 9, "short": 4, "best": 8, "random": 6}
"""Arm -> of ten questions, how many are right with each seed."""


def finished(
    folder: Path,
    right: Mapping[str, int] = RIGHT,
    missing: str = "",
    keys: Mapping[str, Any] | None = None,
    out: Path | None = None,
) -> StudyRun:
    """A study whose units are done, by the seed's number one question more or less."""
    block = {"best": {"strategy": "best", "window": 1}, "random": {"strategy": "random"}}
    study = write_study(folder, seeds=3, selections=block, budget=[{"rows": 6}], **(keys or {}))
    run = StudyRun.of(study, out or folder / "out")
    for unit in run.units:
        if unit.name == missing:
            continue
        result: dict[str, Any] = {"seconds": 1.0}
        if unit.kind == "scores":
            scores = {"long": [-1.0, -1.5, -1.25], "short": [-2.0, -2.5, -1.0]}
            write_run(run.folder_of(unit) / "scores", teacher_table(scores))
        elif unit.kind == "warm":
            value = -1.5 if unit.arm == "long" else -0.25
            result["scores"] = {"p1": value, "p2": value}
        elif unit.kind == "before":
            result |= {"updates": 0, "log_probs": {"before": {"p1": -2.0, "p2": -3.0}}}
        elif unit.kind == "calibration":
            better = {"0.001": 0.01, "0.01": 0.1, "longer": 1.0}
            of = {name: n if unit.arm == "long" else -2 * n for name, n in better.items()}
            of["0.001"] = 0.01  # a tie
            after = {name: {"p1": -2.0 + n, "p2": -3.0 + n} for name, n in of.items()}
            result |= {"updates": 62, "log_probs": after}
        else:
            n = right[unit.arm or "none"] + (unit.seed - 2 if unit.seed else 0)
            result["values"] = {"sums": {str(i): float(i < n) for i in range(10)}}
        write_done(run.folder_of(unit), run._key(unit), result)
    return run
