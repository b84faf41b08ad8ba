"""`lnat select --config`: the first of two stages, and what it hands to the second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from lnat_plugins.cli import main as lnat
from lnat_plugins.hooks.trl_sft import main as sft

from .lab import saved_student
from .test_launcher import chosen, write_config


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_student(tmp_path_factory.mktemp("student"))


def select(path: Path, *more: str) -> int:
    return lnat(["select", "--config", str(path), "--output_path", str(path.parent / "c"), *more])


def test_both_ways_choose_the_same_rows(tmp_path: Path, student_folder: Path) -> None:
    path = write_config(tmp_path, student_folder)
    assert select(path) == 0
    assert sft(["--config", str(path)]) == 0
    written = json.loads((tmp_path / "c" / "selection.json").read_text())
    assert written["indices"] == list(chosen(tmp_path).indices)
    assert written["settings"] == chosen(tmp_path).settings
    rows = pq.read_table(tmp_path / "c" / "data" / "train.parquet").to_pylist()
    assert [row["lnat_index"] for row in rows] == written["indices"]


def test_the_rest_of_the_config_goes_on(tmp_path: Path, student_folder: Path) -> None:
    path = write_config(
        tmp_path, student_folder, learning_rate=0.5, deepspeed="zero3.json", dtype="bfloat16"
    )
    assert select(path) == 0
    second = yaml.safe_load((tmp_path / "c" / "sft.yaml").read_text())
    assert second["learning_rate"] == 0.5
    assert second["deepspeed"] == "zero3.json"
    assert second["output_dir"] == str(tmp_path / "out")
    assert second["datasets"][0]["data_files"] == str(tmp_path / "c" / "data" / "train.parquet")
    assert "selection" not in second


def test_a_teacher_set_gives_its_name(
    tmp_path: Path, student_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": "What?", "teacher": teacher, "response": f"{teacher} says seven."}
        for teacher in ("QwQ", "R1")
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "set.yaml").write_text("task: mine\ndataset_path: rows.jsonl\nnaturalness: {}\n")
    block = {"teacher_set": "set.yaml"}
    path = write_config(tmp_path, student_folder, drop="datasets", selection=block)
    assert select(path) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"task: mine, student: {student_folder}, prompts: 1 of 1")
    assert "window: 4" in printed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval_strategy": "epoch"}, "a training set has no rows to evaluate on"),
        ({"test_split_size": 0.5}, "`test_split_size` splits at random"),
        ({"model_name_or_path": "./nowhere"}, "the student cannot be loaded"),
        ({"attn_implementation": "nonsense"}, "the student cannot be loaded"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    student_folder: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    assert select(write_config(tmp_path, student_folder, **changes)) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "c").exists()
