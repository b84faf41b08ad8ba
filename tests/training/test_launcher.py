"""`python -m lnat_plugins.hooks.trl_sft --config sft.yaml`: TRL's arguments and the selection block."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from trl import SFTTrainer

from lnat_plugins.hooks.trl_sft import main
from lnat_plugins.selection import Selection

from .lab import candidates, saved_student, text_of, wanted


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_student(tmp_path_factory.mktemp("student"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """What reaches any trainer's `training_step`."""
    seen: Counter[tuple[str, str]] = Counter()
    step = SFTTrainer.training_step

    def recording(self: Any, model: Any, inputs: Mapping[str, Any], *rest: Any) -> Any:
        for row in inputs["input_ids"]:
            seen.update(re.findall(r"#(p\d+)/(\w+)#", self.processing_class.decode(row)))
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(SFTTrainer, "training_step", recording)
    return seen


def write_config(folder: Path, student: Path, drop: str = "", **changes: Any) -> Path:
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
        "selection": {"strategy": "best", "windows": [1], "require_correct": True},
    }
    path = folder / "sft.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (keys | changes).items() if k != drop}))
    return path


def chosen(folder: Path) -> Selection:
    return Selection.from_dict(json.loads((folder / "out" / "lnat_selection.json").read_text()))


def test_the_chosen_rows_are_trained_on_and_the_model_is_saved(
    tmp_path: Path, student_folder: Path, trained: Counter[tuple[str, str]]
) -> None:
    assert main(["--config", str(write_config(tmp_path, student_folder))]) == 0
    assert trained == wanted(chosen(tmp_path), epochs=1)
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_the_command_line_wins_over_the_file(
    tmp_path: Path, student_folder: Path, trained: Counter[tuple[str, str]]
) -> None:
    path = write_config(tmp_path, student_folder)
    assert main([f"--config={path}", "--max_steps", "1"]) == 0
    assert trained.total() == 2


def test_candidates_from_a_teacher_set(
    tmp_path: Path, student_folder: Path, trained: Counter[tuple[str, str]]
) -> None:
    rows = [
        {
            "prompt_id": f"p{p}",
            "prompt": f"What is {p} + 4?",
            "teacher": t,
            "response": text_of(p, t),
        }
        for p in range(3)
        for t in ("QwQ", "R1")
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "set.yaml").write_text("task: mine\ndataset_path: rows.jsonl\nnaturalness: {}\n")
    block = {"strategy": "best", "windows": [1], "teacher_set": "set.yaml"}
    path = write_config(tmp_path, student_folder, drop="datasets", selection=block)
    assert main(["--config", str(path)]) == 0
    assert trained.total() == 3
    assert set(trained) == {(f"p{i // 2}", ("QwQ", "R1")[i % 2]) for i in chosen(tmp_path).indices}


@pytest.mark.parametrize(
    ("drop", "changes", "message"),
    [
        ("selection", {}, "the config has no `selection:` block"),
        ("model_name_or_path", {}, "no student is named"),
        ("datasets", {}, "no candidates are named"),
        ("", {"selection": {"teacher_set": "x.yaml"}}, "x.yaml: no such file"),
        ("", {"selction": {}}, "Did you mean 'selection'?"),
        ("", {"max_length": 0, "eos_token": "nope"}, "vocabulary has no such token"),
        ("", {"dtype": "nonsense"}, "torch has no such dtype"),
        ("", {"test_split_size": 0.5}, "`test_split_size` splits at random"),
        ("", {"eval_strategy": "epoch"}, "the data set has no split 'test'"),
        ("", {"resume_from_checkpoint": "nowhere"}, "there is no checkpoint to resume from"),
        ("", {"resume_from_checkpoint": "true"}, "there is no checkpoint to resume from"),
        ("", {"attn_implementation": "nonsense"}, "TRL cannot build the trainer"),
        ("", {"streaming": True}, "a streaming data set cannot be chosen from"),
        ("", {"model_name_or_path": "./nowhere"}, "the student cannot be loaded"),
        ("", {"datasets": [{"path": "parquet", "data_files": "x.parquet"}]}, "cannot be loaded"),
        ("", {"selection": {"strategy": "bets"}}, "Did you mean 'best'?"),
        ("", {"selection": {"windows": ["many"]}}, "unknown window"),
        ("", {"dataset_train_split": "test"}, "the data set has no split 'test'"),
        ("", {"datasets": [], "dataset_name": "./nowhere"}, "the data set cannot be loaded"),
    ],
)
def test_bad_configs_are_one_line_and_exit_code_2(
    tmp_path: Path,
    student_folder: Path,
    capsys: pytest.CaptureFixture[str],
    drop: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    path = write_config(tmp_path, student_folder, drop, **changes)
    assert main(["--config", str(path)]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("lnat: error: ")
    assert message in told
    assert not (tmp_path / "out").exists()


def test_one_source_of_candidates(
    tmp_path: Path, student_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set.yaml").write_text("task: mine\ndataset_path: rows.jsonl\nnaturalness: {}\n")
    path = write_config(tmp_path, student_folder, selection={"teacher_set": "set.yaml"})
    assert main(["--config", str(path)]) == 2
    assert "two sources of candidates are named" in capsys.readouterr().err


def test_a_teacher_set_s_own_steps_and_windows_are_used(
    tmp_path: Path, student_folder: Path, trained: Counter[tuple[str, str]]
) -> None:
    lines = [
        {"prompt_id": "p0", "prompt": "What?", "teacher": t, "response": text_of(0, t)}
        for t in ("QwQ", "R1")
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (tmp_path / "set.yaml").write_text(
        "task: mine\ndataset_path: rows.jsonl\nnaturalness: {steps: line, windows: [2, global]}\n"
    )
    for block, expected in (({}, ("line", ["2", "global"])), ({"steps": "turn"}, ("turn", None))):
        block = {"teacher_set": "set.yaml", **block}
        out = str(tmp_path / f"out{len(block)}")
        path = write_config(
            tmp_path, student_folder, drop="datasets", selection=block, output_dir=out
        )
        assert main(["--config", str(path)]) == 0
        kept = json.loads((Path(out) / "lnat_selection.json").read_text())["settings"]
        assert kept["steps"] == expected[0]
        assert expected[1] is None or list(map(str, kept["windows"])) == expected[1]


def test_help_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--config FILE" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--config", "a", "--config", "b"]])
def test_one_config_is_needed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "one `--config FILE` is needed" in capsys.readouterr().err
