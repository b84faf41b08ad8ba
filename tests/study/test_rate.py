"""Held-out text under a trained student: what does not count is counted, with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import DataError
from lnat_plugins.study.rate import TOO_LONG, WRONG, mean_log_probs
from lnat_plugins.teacher_set import TeacherSet
from tests.harness.lab import CLASS
from tests.helpers_students import student, tokenizer

CONTEXT = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that reads few tokens, and a set with a long and two wrong responses."""
    folder = tmp_path_factory.mktemp("rate")
    tokenizer().save_pretrained(folder)
    student("llama", max_position_embeddings=CONTEXT).save_pretrained(folder)
    rows = [
        {
            "prompt": f"What is {i} + 4?", "teacher": teacher,
            "response": f"So {i + 4}." + " step" * (CONTEXT if (i, teacher) == (1, "long") else 0),
            "correct": i != 2,
        }
        for i in range(4)
        for teacher in ("long", "short")
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = {"task": "teachers", "dataset_path": "rows.jsonl"}
    (folder / "set.yaml").write_text(CLASS + yaml.safe_dump(config), encoding="utf-8")
    return folder


def found(folder: Path, teachers: set[str], places: range) -> tuple[set[int], dict[str, int]]:
    """The places of the prompts that have a mean, and what was left out."""
    teacher_set: TeacherSet = load_teacher_set(folder / "set.yaml")
    ids = [prompt.prompt_id for prompt in teacher_set.prompts]
    means, left_out = mean_log_probs(
        folder, teacher_set, teachers, prompts=[ids[i] for i in places], where="unit",
        apply_chat_template=False, device="cpu",
    )  # fmt: skip
    return {ids.index(prompt) for prompt in means}, left_out


def test_what_is_left_out_is_counted(folder: Path) -> None:
    assert found(folder, {"long", "short"}, range(4)) == ({0, 1, 3}, {WRONG: 2, TOO_LONG: 1})
    assert found(folder, {"long"}, range(2)) == ({0}, {TOO_LONG: 1})
    assert found(folder, {"short"}, range(2)) == ({0, 1}, {})


def test_nothing_is_left(folder: Path) -> None:
    with pytest.raises(DataError, match="no response to measure an update on"):
        found(folder, {"short"}, range(2, 3))
