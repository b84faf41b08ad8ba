"""What rows cannot be chosen from is one clear line, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import SFTTrainer

from lnat_plugins.errors import ConfigError, DataError, LnatError
from lnat_plugins.hooks.trl_data import select_dataset
from lnat_plugins.hooks.trl_sft import (
    NaturalnessCallback,
    NaturalSFTTrainer,
    attach,
    refuse_sharded,
)
from tests.helpers_students import student, tokenizer

from .lab import candidates, config


def padded() -> Any:
    built = tokenizer()
    built.pad_token = "<|end|>"
    return built


def natural(tmp_path: Path, **changes: Any) -> NaturalSFTTrainer:
    options = {
        "model": student("llama"),
        "args": config(tmp_path / "out"),
        "train_dataset": candidates(2),
        "processing_class": padded(),
    }
    return NaturalSFTTrainer(**(options | changes))


ROWS = candidates(2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_dataset": ROWS.to_iterable_dataset()}, "a streaming data set cannot be chosen"),
        (
            {"train_dataset": ROWS.add_column("input_ids", [[1]] * 6)},
            "the rows are tokenised already, so there are no steps to see",
        ),
        (
            {"train_dataset": ROWS.add_column("image", ["x.png"] * 6)},
            "rows with images cannot be scored",
        ),
        ({"formatting_func": lambda row: "text"}, "with a `formatting_func` the response cannot"),
        ({"train_dataset": None}, "there are no candidates. Give `train_dataset`"),
        (
            {"train_dataset": ROWS.remove_columns("teacher")},
            "the candidates have no column 'teacher' that says who wrote a response",
        ),
        (
            {"train_dataset": ROWS.add_column("prompt", ["?"] * 6)},
            "the rows must have `messages`, or `prompt` and `completion`, and not both",
        ),
        (
            {"train_dataset": Dataset.from_dict({"text": ["a"], "teacher": ["QwQ"]})},
            "A trace in one `text` column does not say where the response begins",
        ),
        ({"train_dataset": ROWS.select([])}, "the data set has no row"),
        (
            {"selection": {"strategy": "bets"}},
            "unknown strategy (found 'bets'). Did you mean 'best'?",
        ),
        ({"selection": {"metric": "local_naturalnes"}}, "Did you mean 'local_naturalness'?"),
        ({"selection": {"max_length": 3}}, "longer than max_length"),
        ({"selection": {"columns": {"teacher": "who"}}}, "no column 'who'"),
        ({"selection": {"columns": {"prompt": "who"}}}, "unknown key in `columns`"),
        ({"selection": "best"}, "a selection is a mapping of keys to values"),
        ({"callbacks": [NaturalnessCallback()]}, "this trainer chooses its rows and logs"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LnatError) as caught:
        natural(tmp_path, **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/lnat*"))


def test_a_skipped_preparation(tmp_path: Path) -> None:
    args = config(tmp_path / "out", dataset_kwargs={"skip_prepare_dataset": True})
    with pytest.raises(ConfigError, match="with `skip_prepare_dataset` the trainer takes rows"):
        natural(tmp_path, args=args)


def test_weights_that_the_loss_would_ignore(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TRL's loss gives every row the same weight"):
        natural(tmp_path, selection={"strategy": "weighted", "budget": 2, "windows": [1]})
    chosen = select_dataset(
        candidates(2), student("llama"), padded(), strategy="weighted", budget=2, windows=[1]
    )
    assert sum(chosen["lnat_weight"]) == pytest.approx(2)


def test_a_packed_trainer_cannot_be_attached_to(tmp_path: Path) -> None:
    trainer = SFTTrainer(
        student("llama"),
        config(tmp_path, packing=True),
        train_dataset=candidates(2),
        processing_class=padded(),
    )
    with pytest.raises(ConfigError, match="Use NaturalSFTTrainer, which chooses before packing"):
        attach(trainer)


def test_a_callback_that_was_never_attached_stops_the_training(tmp_path: Path) -> None:
    trainer = SFTTrainer(
        student("llama"),
        config(tmp_path),
        train_dataset=candidates(2),
        processing_class=padded(),
        callbacks=[NaturalnessCallback(strategy="best")],
    )
    with pytest.raises(ConfigError, match="never attached to this trainer, so all rows would be"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_trainer_that_has_begun(tmp_path: Path) -> None:
    trainer = SFTTrainer(
        student("llama"), config(tmp_path), train_dataset=candidates(2), processing_class=padded()
    )
    trainer.model._is_accelerate_prepared = True
    with pytest.raises(ConfigError, match="has evaluated, predicted or trained already"):
        attach(trainer)


class _Sharded:
    """As much of a trainer as tells how the model is shared out."""

    def __init__(self, *, fsdp: bool = False, stage: int = 0, parallel: str = "") -> None:
        self.is_fsdp_enabled = fsdp
        self.model = object()
        plugin = type("Plugin", (), {"zero_stage": stage})() if stage else None
        state = type("State", (), {"deepspeed_plugin": plugin})()
        flags = {f"{parallel}_enabled": True} if parallel else {}
        parallelism = type("Parallelism", (), flags)()
        self.accelerator = type(
            "Accelerator", (), {"state": state, "parallelism_config": parallelism}
        )()


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({"fsdp": True}, "FSDP"),
        ({"stage": 3}, "DeepSpeed ZeRO-3"),
        ({"parallel": "tp"}, "tensor, context or sequence parallelism"),
    ],
)
def test_a_model_in_pieces(options: dict[str, Any], way: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_sharded(_Sharded(**options))
    assert str(caught.value) == (
        f"rows cannot be chosen inside a run with {way}. Choose first with `lnat select`, and "
        "train on what it wrote with `trl sft`."
    )


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_whole_model(stage: int) -> None:
    refuse_sharded(_Sharded(stage=stage))


def test_two_responses_of_one_teacher_need_samples(tmp_path: Path) -> None:
    twice = Dataset.from_list([*candidates(1), candidates(1)[0]])
    with pytest.raises(DataError, match="Number a teacher's responses in a `sample` column"):
        natural(tmp_path, train_dataset=twice)
