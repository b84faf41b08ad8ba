"""A training config: read as TRL reads it, refused in one line, and chosen by without training."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from trl import SFTTrainer

from lnat_plugins.cli import main as lnat
from lnat_plugins.errors import LnatError
from lnat_plugins.hooks.trl_config import (
    FirstStage,
    choose_by_config,
    load_splits,
    read_run_config,
    without_own_warnings,
)
from lnat_plugins.hooks.trl_data import candidates_of, select_dataset
from lnat_plugins.hooks.trl_sft import main as sft
from lnat_plugins.selection.training_set import write_training_set
from tests.helpers_students import CHATML, student

from .builders import (
    BEST,
    CORRECT,
    candidates,
    padded,
    saved_student,
    stored,
    write_config,
    write_teacher_set,
)

# TRL takes a list of one name for a pattern.
MODULES = ["q_proj", "v_proj"]


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def weightless(student_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student without its weights: what is refused with it is refused before they are read."""
    folder = tmp_path_factory.mktemp("weightless")
    for path in student_folder.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, folder)
    return folder


def by_select(path: Path) -> int:
    out = str(path.parent / "c")
    return lnat(["select", "--config", str(path), "--output_path", out])


def by_sft(path: Path) -> int:
    return lnat(["sft", "--config", str(path)])


@pytest.mark.parametrize("run", [by_select, by_sft])
@pytest.mark.parametrize(
    ("drop", "changes", "message"),
    [
        ("selection", {}, "the config has no `selection:` block"),
        ("model_name_or_path", {}, "no student is named"),
        ("datasets", {}, "no candidates are named"),
        ("", {"selection": {"teacher_set": "x.yaml"}}, "x.yaml: no such file"),
        ("", {"selction": {}}, "Did you mean 'selection'?"),
        ("", {"eos_token": "nope"}, "vocabulary has no such token (found 'nope')"),
        ("", {"dtype": "nonsense"}, "torch has no such dtype (found 'nonsense')"),
        ("", {"max_steps": -2, "lr_scheduler_type": "no"}, "TRL refuses the arguments"),
        ("", {"test_split_size": 0.5}, "`test_split_size` splits at random: differently in each"),
        ("", {"streaming": True}, "a streaming data set cannot be chosen from"),
        ("", {"model_name_or_path": "./nowhere"}, "the student cannot be loaded"),
        ("", {"datasets": [{"path": "parquet", "data_files": "x.parquet"}]}, "cannot be loaded"),
        ("", {"selection": {"strategy": "bets"}}, "Did you mean 'best'?"),
        ("", {"selection": {"windows": ["many"]}}, "unknown window"),
        ("", {"selection": {"columns": {"teacher": "who"}}}, "the candidates have no column 'who'"),
        ("", {"dataset_train_split": "test"}, "the data set has no split 'test'"),
        ("", {"datasets": [], "dataset_name": "./nowhere"}, "the data set cannot be loaded"),
    ],
)
def test_bad_configs_are_refused_before_weights_are_loaded(
    tmp_path: Path,
    weightless: Path,
    capsys: pytest.CaptureFixture[str],
    run: Callable[[Path], int],
    drop: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    assert run(write_config(tmp_path, weightless, drop, **changes)) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("lnat: error: ")
    assert message in line
    assert {path.name for path in tmp_path.iterdir()} == {"candidates.parquet", "sft.yaml"}


@pytest.mark.parametrize("run", [by_select, by_sft])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "TRL cannot build the trainer: "),
        ({"attn_implementation": "nonsense"}, "TRL cannot build the trainer: "),
        ({"padding_free": True}, "TRL cannot build the trainer: When `padding_free=True`"),
    ],
)
def test_what_trl_refuses_is_one_line(
    tmp_path: Path,
    student_folder: Path,
    weightless: Path,
    capsys: pytest.CaptureFixture[str],
    run: Callable[[Path], int],
    changes: dict[str, Any],
    message: str,
) -> None:
    assert run(write_config(tmp_path, student_folder if changes else weightless, **changes)) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"lnat: error: {tmp_path / 'sft.yaml'}: {message}")


@pytest.mark.parametrize(
    ("run", "changes", "message"),
    [
        (by_sft, {"eval_strategy": "epoch"}, "the data set has no split 'test'"),
        (by_sft, {"resume_from_checkpoint": "no"}, "there is no checkpoint to resume from"),
        (by_sft, {"resume_from_checkpoint": "true"}, "there is no checkpoint to resume from"),
        (by_select, {"eval_strategy": "epoch"}, "a training set has no rows to evaluate on"),
    ],
)
def test_what_one_of_the_two_refuses(
    tmp_path: Path,
    weightless: Path,
    capsys: pytest.CaptureFixture[str],
    run: Callable[[Path], int],
    changes: dict[str, Any],
    message: str,
) -> None:
    assert run(write_config(tmp_path, weightless, **changes)) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("drop", "changes", "message"),
    [
        ("", {}, "two sources of candidates are named"),
        ("datasets", {"eval_strategy": "epoch"}, "a teacher set has no rows to evaluate on"),
    ],
)
def test_a_teacher_set_is_the_only_source(
    tmp_path: Path, weightless: Path, drop: str, changes: dict[str, Any], message: str
) -> None:
    write_teacher_set(tmp_path, 1)
    block = {"teacher_set": "set.yaml"}
    path = write_config(tmp_path, weightless, drop, selection=block, **changes)
    with pytest.raises(LnatError, match=message):
        load_splits(read_run_config(["--config", str(path)]))


@pytest.mark.parametrize(
    ("block", "steps", "markers", "windows"),
    [
        ({}, "line", "keep", ["2", "global"]),
        ({"steps": "turn"}, "turn", "keep", ["2", "global"]),
        ({"markers": "skip"}, "line", "skip", ["2", "global"]),
        ({"windows": [1]}, "line", "keep", ["1"]),
    ],
)
def test_a_teacher_set_s_own_steps_and_windows_are_used(
    tmp_path: Path, weightless: Path,
    block: dict[str, Any], steps: str, markers: str, windows: list[str],
) -> None:  # fmt: skip
    write_teacher_set(tmp_path, 1, "{steps: line, markers: keep, windows: [2, global]}")
    block = {"teacher_set": "set.yaml", **block}
    path = write_config(tmp_path, weightless, "datasets", selection=block)
    spec = read_run_config(["--config", str(path)]).chooser.spec
    assert str(spec.settings.steps) == steps
    assert [window.name for window in spec.windows] == windows
    assert spec.written["steps"] == steps
    assert spec.settings.markers == spec.steps.markers == spec.written["markers"] == markers
    assert [str(window) for window in spec.written["windows"]] == windows


@pytest.mark.parametrize("name", ["--config FILE", "--config=FILE"])
def test_the_command_line_wins_over_the_file(tmp_path: Path, weightless: Path, name: str) -> None:
    path = write_config(tmp_path, weightless, learning_rate=0.5, max_steps=9)
    arguments = ["--max_steps", "1", *name.replace("FILE", str(path)).split(), "--seed", "5"]
    run = read_run_config(arguments)
    assert (run.training_args.max_steps, run.training_args.seed) == (1, 5)
    assert (run.training_args.learning_rate, run.keys["max_steps"]) == (0.5, 9)
    ignoring = read_run_config(["--config", str(path)], ignore=["learning_rate"])
    assert ignoring.training_args.learning_rate != 0.5 == ignoring.keys["learning_rate"]


@pytest.mark.parametrize("given", [[], ["learning_rate"], ["gradient_checkpointing"]])
def test_a_warning_of_a_setting_that_the_user_did_not_make_is_left_out(given: list[str]) -> None:
    old = "`gradient_checkpointing` is deprecated and will be removed in v6."
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with without_own_warnings(given):
            warnings.warn(old, FutureWarning, stacklevel=1)
            warnings.warn("`fp16` is deprecated", FutureWarning, stacklevel=1)
        warnings.warn(old, FutureWarning, stacklevel=1)
    said = [str(one.message) for one in seen]
    assert said == [old] * ("gradient_checkpointing" in given) + ["`fp16` is deprecated", old]


def test_reading_a_config_warns_of_nothing(tmp_path: Path, weightless: Path) -> None:
    path = write_config(tmp_path, weightless)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        read_run_config(["--config", str(path)])


@pytest.mark.parametrize(
    "arguments",
    [[], ["--config"], ["--config", "a", "--config", "b"], ["--config", "--max_steps", "1"]],
)
def test_one_config_is_needed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert sft(arguments) == 2
    assert "one `--config FILE` is needed" in capsys.readouterr().err


def test_both_ways_choose_the_same_rows(tmp_path: Path, student_folder: Path) -> None:
    path = write_config(tmp_path, student_folder)
    assert by_select(path) == 0
    # What is stored is that of the run, not the first stage's.
    assert not (tmp_path / "out").exists()
    assert by_sft(path) == 0
    written = json.loads((tmp_path / "c" / "selection.json").read_text())
    trained = stored(tmp_path / "out")
    assert written["indices"] == list(trained.indices)
    assert written["settings"] == trained.settings
    rows = pq.read_table(tmp_path / "c" / "data" / "train.parquet").to_pylist()
    assert [row["lnat_index"] for row in rows] == written["indices"]


def test_the_rest_of_the_config_goes_on(tmp_path: Path, student_folder: Path) -> None:
    path = write_config(
        tmp_path, student_folder, learning_rate=0.5, deepspeed="zero3.json", dtype="bfloat16",
        fsdp="full_shard", push_to_hub=True, hub_model_id="nobody/nothing",
    )  # fmt: skip
    assert by_select(path) == 0
    second = yaml.safe_load((tmp_path / "c" / "sft.yaml").read_text())
    assert second["learning_rate"] == 0.5
    assert (second["deepspeed"], second["fsdp"]) == ("zero3.json", "full_shard")
    assert (second["push_to_hub"], second["hub_model_id"]) == (True, "nobody/nothing")
    assert second["output_dir"] == str(tmp_path / "out")
    assert second["datasets"][0]["data_files"] == str(tmp_path / "c" / "data" / "train.parquet")
    assert "selection" not in second


def chosen_with(folder: Path, student_folder: Path, **changes: Any) -> FirstStage:
    return choose_by_config(write_config(folder, student_folder, **changes))


def test_the_first_stage_scores_with_the_student_as_it_is_named(
    tmp_path: Path, student_folder: Path
) -> None:
    found = chosen_with(tmp_path, student_folder).selection
    direct = select_dataset(candidates(), student("llama"), padded(), **CORRECT)
    assert [found.scores[i] for i in found.indices] == pytest.approx(direct["lnat_score"])
    assert found.student == str(student_folder)


def test_what_the_trainer_does_to_the_student_is_scored(
    tmp_path: Path, student_folder: Path
) -> None:
    """An adapter changes nothing before it is trained; a template and a dtype do."""
    plain = chosen_with(tmp_path, student_folder).selection
    adapter = chosen_with(
        tmp_path, student_folder, use_peft=True, lora_r=2, lora_target_modules=MODULES
    )
    assert adapter.selection.scores == pytest.approx(plain.scores, nan_ok=True)
    assert adapter.selection.indices == plain.indices
    template = tmp_path / "short.jinja"
    template.write_text(CHATML.replace("<|im_start|>", ""))
    other = chosen_with(tmp_path, student_folder, chat_template_path=str(template))
    assert other.selection.scores != pytest.approx(plain.scores, nan_ok=True)
    direct = select_dataset(candidates(), student("llama"), padded(template.read_text()), **CORRECT)
    chosen = [other.selection.scores[i] for i in other.selection.indices]
    assert chosen == pytest.approx(direct["lnat_score"])
    halved = chosen_with(tmp_path, student_folder, dtype="bfloat16").selection
    assert halved.scores != plain.scores
    assert halved.scores == pytest.approx(plain.scores, nan_ok=True, abs=0.2)


def test_what_the_trainer_is_built_with(
    tmp_path: Path, student_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained, tracked or uploaded, and nothing is left behind."""
    built: list[Any] = []
    init = SFTTrainer.__init__

    def recording(self: Any, **options: Any) -> None:
        built.append(options)
        init(self, **options)

    monkeypatch.setattr(SFTTrainer, "__init__", recording)
    monkeypatch.setattr(SFTTrainer, "init_hf_repo", lambda self: pytest.fail("made a repository"))
    chosen_with(
        tmp_path, student_folder, push_to_hub=True, hub_model_id="nobody/nothing",
        fsdp="full_shard", report_to="all", use_peft=True, lora_target_modules=MODULES,
        attn_implementation="eager",
    )  # fmt: skip
    (options,) = built
    args = options["args"]
    assert not Path(args.output_dir).exists()
    assert (args.report_to, args.push_to_hub, bool(args.fsdp)) == ([], False, False)
    assert options["peft_config"].target_modules == set(MODULES)
    assert args.model_init_kwargs["attn_implementation"] == "eager"
    assert args.model_init_kwargs["dtype"] == "float32"
    assert args.model_init_kwargs["device_map"] is None
    assert "quantization_config" not in args.model_init_kwargs
    assert not (tmp_path / "out").exists()


def test_a_quantised_student_is_loaded_quantised(
    tmp_path: Path, student_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []

    def load(name: str, **options: Any) -> Any:
        loaded.append(options)
        raise ValueError("no GPU here")

    monkeypatch.setattr("trl.trainer.sft_trainer.create_model_from_path", load)
    with pytest.raises(LnatError, match="TRL cannot build the trainer: no GPU here"):
        chosen_with(tmp_path, student_folder, load_in_4bit=True, use_peft=True, dtype="bfloat16")
    quantization = loaded[0]["quantization_config"]
    assert quantization.load_in_4bit
    assert quantization.bnb_4bit_compute_dtype == torch.bfloat16


def write(found: FirstStage, folder: Path, **options: Any) -> None:
    """As `lnat select --config` does."""
    write_training_set(
        folder, found.candidates, found.selection, provenance=found.provenance,
        sft_settings=found.sft_settings, **options,
    )  # fmt: skip


def test_weights_are_written(tmp_path: Path, student_folder: Path) -> None:
    block = {"strategy": "weighted", "budget": 2, "windows": [1]}
    found = chosen_with(tmp_path, student_folder, selection=block)
    assert found.selection.weighted
    write(found, tmp_path / "c", format="trl_messages")
    rows = pq.read_table(tmp_path / "c" / "data" / "train.parquet").to_pylist()
    assert sum(row["lnat_weight"] for row in rows) == pytest.approx(4)  # 1 a prompt
    assert "messages" in rows[0]


def test_columns_that_the_template_reads_are_kept(tmp_path: Path, student_folder: Path) -> None:
    rows = candidates().add_column("chat_template_kwargs", [{"enable": True}] * 12)
    rows.to_parquet(str(tmp_path / "rows.parquet"))
    data = [{"path": "parquet", "data_files": str(tmp_path / "rows.parquet"), "split": "train"}]
    found = chosen_with(tmp_path, student_folder, datasets=data)
    write(found, tmp_path / "c")
    names = pq.read_table(tmp_path / "c" / "data" / "train.parquet").column_names
    assert "chat_template_kwargs" in names


def test_where_the_choice_comes_from(tmp_path: Path, student_folder: Path) -> None:
    found = chosen_with(tmp_path, student_folder)
    assert found.provenance.task == "parquet"
    assert found.provenance.files == (str(tmp_path / "sft.yaml"),)
    assert found.provenance.scoring["settings"]["windows"] == ["1"]
    assert found.provenance.versions["transformers"]
    unscored = chosen_with(tmp_path, student_folder, selection={"strategy": "longest"})
    assert (unscored.provenance.scoring, unscored.provenance.versions) == ({}, {})
    rows, _ = load_splits(found.run)
    assert found.candidates.fingerprint == candidates_of(rows, {}).fingerprint


def test_a_teacher_set_gives_its_name(
    tmp_path: Path, student_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_teacher_set(tmp_path, 1)
    block = BEST | {"teacher_set": "set.yaml", "windows": [4]}
    path = write_config(tmp_path, student_folder, "datasets", selection=block)
    assert by_select(path) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"task: mine, student: {student_folder}, prompts: 1 of 1")
    assert "window: 4" in printed
