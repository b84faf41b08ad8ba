"""Exactly the chosen rows reach `training_step`, whatever way the trainer is set up."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig
from trl import SFTTrainer

from lnat_plugins.hooks.trl_data import select_dataset
from lnat_plugins.hooks.trl_sft import (
    NaturalnessCallback,
    NaturalSelectionMixin,
    NaturalSFTTrainer,
    attach,
)
from tests.helpers_students import student, tokenizer

from .lab import TEACHERS, candidates, config, record_steps, saved_student, wanted

SELECTION = {"strategy": "best", "windows": [1], "require_correct": True}


def build(tmp_path: Path, selection: Any = SELECTION, form: str = "messages", **more: Any) -> Any:
    changes = more.pop("changes", {})
    built = tokenizer()
    built.pad_token = "<|end|>"
    options = {
        "model": student("llama"),
        "args": config(tmp_path / "out", **changes),
        "train_dataset": candidates(form=form),
        "processing_class": built,
    }
    return NaturalSFTTrainer(**(options | more), selection=selection)


@pytest.mark.parametrize("form", ["messages", "conversations", "plain"])
def test_only_the_chosen_rows_are_trained_on(tmp_path: Path, form: str) -> None:
    trainer = build(tmp_path, form=form)
    seen = record_steps(trainer)
    trainer.train()
    assert len(trainer.selection.indices) == 4
    assert seen == wanted(trainer.selection)
    assert trainer.state.max_steps == 2 * math.ceil(4 / 2)
    assert {TEACHERS[i % 3] for i in trainer.selection.indices} != set(TEACHERS)


def test_a_model_by_name(tmp_path: Path) -> None:
    folder = saved_student(tmp_path / "student")
    trainer = build(tmp_path, model=str(folder), processing_class=None)
    seen = record_steps(trainer)
    trainer.train()
    assert seen == wanted(trainer.selection)
    assert trainer.selection.student == str(folder)


@pytest.mark.parametrize("key", ["train", "other"])
def test_evaluation_data_is_left_alone(tmp_path: Path, key: str) -> None:
    trainer = build(tmp_path, eval_dataset={key: candidates(2)})
    assert len(trainer.eval_dataset[key]) == 6
    assert "input_ids" in trainer.eval_dataset[key].column_names
    assert len(trainer.train_dataset) == 4


def test_candidates_that_are_evaluated_on_too(tmp_path: Path) -> None:
    rows = candidates()
    trainer = build(tmp_path, train_dataset=rows, eval_dataset=rows)
    assert (len(trainer.train_dataset), len(trainer.eval_dataset)) == (4, 12)


def test_the_counts_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path)
    printed = capsys.readouterr().out
    assert "prompts: 4 of 4, responses: 4 of 12, ties: 0" in printed
    assert "`correct` is false" in printed


def test_rows_that_training_would_cut_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = build(tmp_path, changes={"max_length": 84})
    assert "chosen rows are longer than SFTConfig.max_length=84" in caplog.text
    within = build(tmp_path / "b", SELECTION | {"max_length": 84}, changes={"max_length": 84})
    assert len(within.selection.indices) <= len(trainer.selection.indices)
    assert max(len(row["input_ids"]) for row in within.train_dataset) <= 84
    assert caplog.text.count("longer than SFTConfig.max_length") == 1


def test_what_the_mixin_overrides_is_still_there() -> None:
    parameters = list(inspect.signature(SFTTrainer._prepare_dataset).parameters)
    assert parameters == [
        "self", "dataset", "processing_class", "args", "packing", "formatting_func", "dataset_name",
    ]  # fmt: skip
    assert NaturalSFTTrainer.__mro__[1:3] == (NaturalSelectionMixin, SFTTrainer)


class Wrapped(SFTTrainer):
    """A trainer that hands its arguments on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def test_the_mixin_over_a_trainer_of_one_s_own(tmp_path: Path) -> None:
    class Natural(NaturalSelectionMixin, Wrapped):
        pass

    built = tokenizer()
    built.pad_token = "<|end|>"
    trainer = Natural(
        student("llama"),
        args=config(tmp_path),
        train_dataset=candidates(),
        processing_class=built,
        selection=SELECTION,
    )
    seen = record_steps(trainer)
    trainer.train()
    assert seen == wanted(trainer.selection)


def test_packed_rows(tmp_path: Path) -> None:
    trainer = build(tmp_path, changes={"packing": True, "max_length": 400})
    seen = record_steps(trainer)
    trainer.train()
    assert seen == wanted(trainer.selection)
    assert len(trainer.train_dataset) < 4


def test_an_adapter(tmp_path: Path) -> None:
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    trainer = build(tmp_path, peft_config=lora)
    seen = record_steps(trainer)
    trainer.train()
    assert seen == wanted(trainer.selection)
    assert trainer.selection.scores == pytest.approx(
        build(tmp_path / "b").selection.scores, nan_ok=True
    )


def test_the_choice_is_that_of_the_model_before_training(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    built = tokenizer()
    chosen = select_dataset(candidates(), student("llama"), built, **SELECTION)
    assert [row["messages"][1]["content"] for row in chosen] == [
        candidates()[i]["messages"][1]["content"] for i in trainer.selection.indices
    ]
    found = [trainer.selection.scores[i] for i in trainer.selection.indices]
    assert chosen["lnat_score"] == pytest.approx(found)


def test_attach(tmp_path: Path) -> None:
    built = tokenizer()
    built.pad_token = "<|end|>"
    trainer = SFTTrainer(
        student("llama"),
        config(tmp_path / "out"),
        train_dataset=candidates(form="plain"),
        processing_class=built,
    )
    selection = attach(trainer, **SELECTION)
    seen = record_steps(trainer)
    trainer.train()
    assert seen == wanted(selection)
    assert trainer.state.max_steps == 4
    assert selection.indices == build(tmp_path / "b", form="plain").selection.indices


def test_a_callback_logs_what_it_chose(tmp_path: Path) -> None:
    built = tokenizer()
    built.pad_token = "<|end|>"
    callback = NaturalnessCallback(**SELECTION)
    trainer = SFTTrainer(
        student("llama"),
        config(tmp_path / "out"),
        train_dataset=candidates(),
        processing_class=built,
        callbacks=[callback],
    )
    callback.attach(trainer)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "lnat/chosen" in entry]
    assert [entry["lnat/chosen"] for entry in logged] == [4]
    assert (
        sum(isinstance(one, NaturalnessCallback) for one in trainer.callback_handler.callbacks) == 1
    )
