"""A resumed run keeps its choice; another one is not mistaken for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from lnat_plugins.scoring.student import LocalStudent
from tests.helpers_students import student, tokenizer

from .lab import candidates, config, record_steps, wanted

SELECTION = {"strategy": "best", "windows": [1]}


def natural(folder: Path, **changes: Any) -> NaturalSFTTrainer:
    built = tokenizer()
    built.pad_token = "<|end|>"
    options = {
        "model": student("llama"),
        "args": config(folder, save_strategy="steps", save_steps=2),
        "train_dataset": candidates(),
        "processing_class": built,
        "selection": SELECTION,
    }
    return NaturalSFTTrainer(**(options | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with a checkpoint in the middle."""
    trainer = natural(tmp_path_factory.mktemp("run"))
    trainer.train()
    return trainer


def folder_of(trainer: Any) -> Path:
    return Path(trainer.args.output_dir)


def test_a_resumed_run_trains_on_the_rows_chosen_first(finished: Any) -> None:
    again = natural(folder_of(finished))
    assert again.selection == finished.selection
    seen = record_steps(again)
    again.train(resume_from_checkpoint=str(folder_of(finished) / "checkpoint-2"))
    assert again.state.global_step == finished.state.global_step == 4
    assert seen == wanted(finished.selection, epochs=1)


def test_a_resumed_run_does_not_score_again(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []
    score = LocalStudent.score

    def counting(self: Any, rows: Any) -> Any:
        scored.append(len(rows))
        return score(self, rows)

    monkeypatch.setattr(LocalStudent, "score", counting)
    natural(folder_of(finished))
    assert scored == [3]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"train_dataset": candidates(5)}, "the data set changed"),
        ({"selection": {"strategy": "best", "windows": [0]}}, "the selection's settings changed"),
        ({"model": student("llama", seed=1)}, "the student changed"),
    ],
)
def test_another_run_beside_a_checkpoint_is_refused(
    finished: Any, changes: dict[str, Any], what: str
) -> None:
    before = (folder_of(finished) / "lnat_selection.json").read_bytes()
    with pytest.raises(ConfigError, match=f"{what}, and this folder holds a run on the rows"):
        natural(folder_of(finished), **changes)
    assert (folder_of(finished) / "lnat_selection.json").read_bytes() == before


def test_without_a_checkpoint_another_run_chooses_anew(tmp_path: Path) -> None:
    first = natural(tmp_path)
    second = natural(tmp_path, train_dataset=candidates(5))
    assert len(second.selection.indices) == 5 > len(first.selection.indices)
    kept = json.loads((tmp_path / "lnat_selection.json").read_text())
    assert kept["indices"] == list(second.selection.indices)


def test_a_damaged_choice_is_told(tmp_path: Path) -> None:
    (tmp_path / "lnat_selection.json").write_text('{"indices": [0')
    with pytest.raises(DataError, match="Delete it to choose again"):
        natural(tmp_path)


def test_nothing_is_left_beside_the_choice(tmp_path: Path) -> None:
    natural(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "lnat" in path.name] == [
        "lnat_selection.json"
    ]


@pytest.mark.parametrize("metric", ["lark", "ifd", "aslec_casl"])
def test_another_student_is_noticed_whatever_the_rows_are_chosen_by(
    tmp_path: Path, metric: str
) -> None:
    selection = {"strategy": "best", "metric": metric}
    first = natural(tmp_path, selection=selection)
    first.train()
    assert natural(tmp_path, selection=selection).selection == first.selection
    with pytest.raises(ConfigError, match="the student changed"):
        natural(tmp_path, selection=selection, model=student("llama", seed=1))


def test_a_student_without_a_finite_score_is_another_one(tmp_path: Path) -> None:
    natural(tmp_path).train()
    broken = student("llama")
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match="the student changed"):
        natural(tmp_path, model=broken)


def test_other_rewards_are_other_rows(tmp_path: Path) -> None:
    selection = {"strategy": "best", "metric": "car"}
    rows = candidates()
    better = rows.add_column("reward", [float(i) for i in range(len(rows))])
    natural(tmp_path, selection=selection, train_dataset=better).train()
    worse = rows.add_column("reward", [float(-i) for i in range(len(rows))])
    with pytest.raises(ConfigError, match="the data set changed"):
        natural(tmp_path, selection=selection, train_dataset=worse)
