"""A resumed run reuses its choice; another run's choice is not mistaken for its own."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks.trl_resume import TOLERANCE, checkpoint_to_resume
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from lnat_plugins.scoring.student import LocalStudent
from tests.helpers_students import student

from .builders import BEST, candidates, expected_rows, natural, record_rows, sft_config, stored

FILE = "lnat_selection.json"


def build(folder: Path, selection: Any = BEST, **changes: Any) -> NaturalSFTTrainer:
    """A trainer that saves a checkpoint in the middle."""
    return natural(folder, selection, sft={"save_strategy": "steps", "save_steps": 2}, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    trainer = build(tmp_path_factory.mktemp("run"))
    trainer.train()
    return trainer


def folder_of(trainer: Any) -> Path:
    return Path(trainer.args.output_dir)


def test_a_resumed_run_trains_on_the_rows_chosen_first(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = build(folder_of(finished))
    assert again.selection == finished.selection
    seen: Counter[tuple[str, str]] = record_rows(monkeypatch)
    again.train(resume_from_checkpoint=str(folder_of(finished) / "checkpoint-2"))
    assert again.state.global_step == finished.state.global_step == 4
    assert seen == expected_rows(finished.selection, epochs=1)


def test_a_resumed_run_scores_one_prompt_again(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []
    score = LocalStudent.score

    def counting(self: Any, rows: Any) -> Any:
        scored.append(len(rows))
        return score(self, rows)

    monkeypatch.setattr(LocalStudent, "score", counting)
    build(folder_of(finished))
    assert scored == [3]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"train_dataset": candidates(5)}, "the data set changed"),
        ({"selection": {"strategy": "best", "windows": [0]}}, "the selection's settings changed"),
        ({"model": student("llama", seed=1)}, "the student changed"),
    ],
)
def test_another_run_beside_a_checkpoint_is_refused(
    finished: Any, changes: dict[str, Any], changed: str
) -> None:
    before = (folder_of(finished) / FILE).read_bytes()
    with pytest.raises(ConfigError, match=f"{changed}, and this folder holds a run on the rows"):
        build(folder_of(finished), **changes)
    assert (folder_of(finished) / FILE).read_bytes() == before


def test_without_a_checkpoint_another_run_chooses_anew(tmp_path: Path) -> None:
    first = build(tmp_path)
    second = build(tmp_path, train_dataset=candidates(5))
    assert len(second.selection.indices) == 5 > len(first.selection.indices)
    assert stored(tmp_path) == second.selection


@pytest.mark.parametrize("text", ['{"indices": [0', "[]", '{"indices": [0]}'])
def test_a_damaged_choice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DataError, match="Delete it to choose again"):
        build(tmp_path)


def test_nothing_is_left_beside_the_choice(tmp_path: Path) -> None:
    build(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "lnat" in path.name] == [FILE]


def test_a_choice_without_scores_has_no_probe(tmp_path: Path) -> None:
    """So a run of another student takes it up: it would choose the same."""
    first = build(tmp_path, {"strategy": "longest"})
    first.train()
    assert json.loads((tmp_path / FILE).read_text())["probe"] == {}
    second = build(tmp_path, {"strategy": "longest"}, model=student("llama", seed=1))
    assert second.selection.indices == first.selection.indices


@pytest.mark.parametrize(("shift", "same"), [(0.5, True), (-0.5, True), (1.5, False)])
def test_the_student_may_differ_by_rounding(
    finished: Any, tmp_path: Path, shift: float, same: bool
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(folder_of(finished), folder)
    document = json.loads((folder / FILE).read_text())
    for means in document["probe"].values():
        means["1"] += shift * TOLERANCE
    (folder / FILE).write_text(json.dumps(document))
    if same:
        assert build(folder).selection == finished.selection
    else:
        with pytest.raises(ConfigError, match="the student changed"):
            build(folder)


@pytest.mark.parametrize("metric", ["lark", "ifd", "aslec_casl"])
def test_another_student_is_noticed_whatever_the_rows_are_chosen_by(
    tmp_path: Path, metric: str
) -> None:
    selection = {"strategy": "best", "metric": metric}
    first = build(tmp_path, selection)
    first.train()
    assert build(tmp_path, selection).selection == first.selection
    with pytest.raises(ConfigError, match="the student changed"):
        build(tmp_path, selection, model=student("llama", seed=1))


def test_a_student_without_a_finite_score_is_another_one(tmp_path: Path) -> None:
    build(tmp_path).train()
    broken = student("llama")
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match="the student changed"):
        build(tmp_path, model=broken)


def test_other_rewards_are_other_rows(tmp_path: Path) -> None:
    selection = {"strategy": "best", "metric": "car"}
    rows = candidates()
    better = rows.add_column("reward", [float(i) for i in range(len(rows))])
    build(tmp_path, selection, train_dataset=better).train()
    worse = rows.add_column("reward", [float(-i) for i in range(len(rows))])
    with pytest.raises(ConfigError, match="the data set changed"):
        build(tmp_path, selection, train_dataset=worse)


def test_the_checkpoint_to_resume(tmp_path: Path) -> None:
    def found(value: str | None) -> str | None:
        return checkpoint_to_resume(sft_config(tmp_path, resume_from_checkpoint=value))

    def write(step: str, state: str | None) -> Path:
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
        return folder

    half, cut = write("100", None), write("20", '{"step')
    write("best", "{}")
    assert found(None) is None
    for missing in ("true", str(half), str(cut), str(tmp_path / "no")):
        with pytest.raises(ConfigError, match="there is no checkpoint to resume from"):
            found(missing)
    second, last = write("2", "{}"), write("10", "{}")
    assert found("true") == found("True") == str(last)
    assert found(str(second)) == str(second)
