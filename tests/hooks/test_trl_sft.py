"""Exactly the chosen rows reach `training_step`, and what cannot be so is refused in one line."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from peft import LoraConfig, PromptTuningConfig
from trl import SFTTrainer

from lnat_plugins.errors import ConfigError, DataError, LnatError, StudentError
from lnat_plugins.hooks.trl_data import select_dataset
from lnat_plugins.hooks.trl_sft import (
    NaturalnessCallback,
    NaturalSelectionMixin,
    NaturalSFTTrainer,
    attach,
    main,
    refuse_sharded,
)
from tests.helpers_students import CHATML, student

from .builders import (
    BEST,
    CORRECT,
    TEACHERS,
    arguments,
    candidates,
    expected_rows,
    natural,
    padded,
    plain_trainer,
    record_rows,
    saved_student,
    sft_config,
    stored,
    write_config,
    write_teacher_set,
)

DROPS = CHATML.replace("m['content']", "m['content'].split('</think>')[-1]")
INSERTS = CHATML.replace(
    "{{ m['role'] }}\n", "{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<t>{% endif %}"
)
MARKED = CHATML.replace(
    "{{ m['content'] }}<|end|>",
    "{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}",
)
ROWS = candidates(2)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """(prompt, teacher) -> how often it was trained on."""
    return record_rows(monkeypatch)


@pytest.mark.parametrize("format", ["messages", "conversations", "plain"])
def test_only_the_chosen_rows_are_trained_on(
    tmp_path: Path, seen: Counter[tuple[str, str]], format: str
) -> None:
    trainer = natural(tmp_path, CORRECT, train_dataset=candidates(format=format))
    trainer.train()
    assert len(trainer.selection.indices) == 4
    assert seen == expected_rows(trainer.selection)
    assert trainer.state.max_steps == 2 * math.ceil(4 / 2)
    assert {TEACHERS[i % 3] for i in trainer.selection.indices} != set(TEACHERS)


def test_a_model_by_name(tmp_path: Path, seen: Counter[tuple[str, str]]) -> None:
    folder = str(saved_student(tmp_path / "student"))
    trainer = natural(tmp_path / "out", model=folder, processing_class=None)
    trainer.train()
    assert seen == expected_rows(trainer.selection)
    assert trainer.selection.student == folder


@pytest.mark.parametrize("key", ["train", "other"])
def test_evaluation_data_is_left_alone(tmp_path: Path, key: str) -> None:
    trainer = natural(tmp_path, eval_dataset={key: candidates(2)})
    assert len(trainer.eval_dataset[key]) == 6
    assert "input_ids" in trainer.eval_dataset[key].column_names
    assert len(trainer.train_dataset) == 4


def test_candidates_that_are_evaluated_on_too(tmp_path: Path) -> None:
    rows = candidates()
    trainer = natural(tmp_path, train_dataset=rows, eval_dataset=rows)
    assert (len(trainer.train_dataset), len(trainer.eval_dataset)) == (4, 12)


def test_the_counts_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    natural(tmp_path, CORRECT)
    printed = capsys.readouterr().out
    assert "prompts: 4 of 4, responses: 4 of 12, ties: 0" in printed
    assert "`correct` is false" in printed


def test_rows_that_training_would_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = natural(tmp_path, CORRECT, sft={"max_length": 84})
    assert "chosen rows are longer than SFTConfig.max_length=84" in caplog.text
    within = natural(tmp_path / "b", CORRECT | {"max_length": 84}, sft={"max_length": 84})
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


class Natural(NaturalSelectionMixin, Wrapped):
    """A trainer of one's own, with the mixin before it."""


def test_the_mixin_over_a_trainer_of_one_s_own(
    tmp_path: Path, seen: Counter[tuple[str, str]]
) -> None:
    options = arguments(tmp_path)
    trainer = Natural(options.pop("model"), **options, selection=BEST)
    trainer.train()
    assert seen == expected_rows(trainer.selection)


class Unprepared(SFTTrainer):
    """A trainer that leaves its rows as they are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.train_dataset = kwargs["train_dataset"]


class NaturalUnprepared(NaturalSelectionMixin, Unprepared):
    """Its rows are never handed to the mixin."""


def test_a_trainer_that_does_not_prepare_its_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this trainer did not prepare its data set"):
        NaturalUnprepared(**arguments(tmp_path), selection=BEST)


def test_packed_rows(tmp_path: Path, seen: Counter[tuple[str, str]]) -> None:
    trainer = natural(tmp_path, sft={"packing": True, "max_length": 400})
    trainer.train()
    assert seen == expected_rows(trainer.selection)
    assert len(trainer.train_dataset) < 4


def test_an_adapter(tmp_path: Path, seen: Counter[tuple[str, str]]) -> None:
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    trainer = natural(tmp_path, CORRECT, peft_config=lora)
    trainer.train()
    assert seen == expected_rows(trainer.selection)
    without = natural(tmp_path / "b", CORRECT)
    assert trainer.selection.scores == pytest.approx(without.selection.scores, nan_ok=True)


def test_the_choice_is_that_of_the_model_before_training(tmp_path: Path) -> None:
    trainer = natural(tmp_path, CORRECT)
    chosen = select_dataset(candidates(), student("llama"), padded(), **CORRECT)
    assert [row["messages"][1]["content"] for row in chosen] == [
        candidates()[i]["messages"][1]["content"] for i in trainer.selection.indices
    ]
    found = [trainer.selection.scores[i] for i in trainer.selection.indices]
    assert chosen["lnat_score"] == pytest.approx(found)


def test_attach(tmp_path: Path, seen: Counter[tuple[str, str]]) -> None:
    rows = candidates(format="plain")
    trainer = plain_trainer(tmp_path, train_dataset=rows)
    selection = attach(trainer, **CORRECT)
    trainer.train()
    assert seen == expected_rows(selection)
    assert trainer.state.max_steps == 4
    other = natural(tmp_path / "b", CORRECT, train_dataset=rows)
    assert selection.indices == other.selection.indices


def test_a_callback_logs_what_it_chose(tmp_path: Path) -> None:
    callback = NaturalnessCallback(selection=CORRECT)
    trainer = plain_trainer(tmp_path, callbacks=[callback])
    callback.attach(trainer)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "lnat/chosen" in entry]
    assert [entry["lnat/chosen"] for entry in logged] == [4]
    callbacks = trainer.callback_handler.callbacks
    assert sum(isinstance(one, NaturalnessCallback) for one in callbacks) == 1


def test_a_trainer_that_chooses_logs_it_too(tmp_path: Path) -> None:
    trainer = natural(tmp_path, CORRECT)
    trainer.train()
    assert sum("lnat/chosen" in entry for entry in trainer.state.log_history) == 1


def test_a_callback_that_was_never_attached_stops_the_training(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path, callbacks=[NaturalnessCallback({"strategy": "best"})])
    with pytest.raises(ConfigError, match="never attached to this trainer, so all rows would be"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_callback_of_another_trainer_does_not_count(tmp_path: Path) -> None:
    callback = NaturalnessCallback(BEST)
    first, second = (
        plain_trainer(tmp_path / name, train_dataset=ROWS, callbacks=[callback]) for name in "ab"
    )
    callback.attach(first)
    with pytest.raises(ConfigError, match="never attached to this trainer"):
        second.train()
    first.train()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"formatting_func": lambda row: "text"},
            "with a `formatting_func` the response cannot be separated from the prompt",
        ),
        ({"train_dataset": None}, "there are no candidates. Give `train_dataset`"),
        ({"train_dataset": ROWS.to_iterable_dataset()}, "a streaming data set cannot be chosen"),
        (
            {"train_dataset": ROWS.remove_columns("teacher")},
            "the candidates have no column 'teacher' that says who wrote a response",
        ),
        ({"selection": {"columns": {"teacher": "who"}}}, "no column 'who'"),
        ({"train_dataset": ROWS.remove_columns("messages")}, "the rows must have `messages`, or"),
        ({"selection": {"strategy": "bets"}}, "Did you mean 'best'?"),
        ({"selection": "best"}, "a selection is a mapping of keys to values"),
        ({"callbacks": [NaturalnessCallback()]}, "this trainer chooses its rows and logs"),
        (
            {"sft": {"dataset_kwargs": {"skip_prepare_dataset": True}}},
            "with `skip_prepare_dataset` the trainer takes rows as they are",
        ),
    ],
)
def test_refused_before_a_model_is_loaded(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The model named is not there: loading it would be another error."""
    with pytest.raises(LnatError) as caught:
        natural(tmp_path, **{"model": "./nowhere", "processing_class": None} | changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection": {"max_length": 3}}, "longer than max_length"),
        (
            {"train_dataset": candidates(2, "conversations"), "sft": {"max_length": 20}},
            "TRL drops every chosen row",
        ),
    ],
)
def test_refused_by_what_is_chosen(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LnatError) as caught:
        natural(tmp_path, **{"train_dataset": ROWS} | changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "build",
    [
        natural,
        lambda folder, block: NaturalnessCallback(block),
        lambda folder, block: attach(plain_trainer(folder), **block),
    ],
    ids=["trainer", "callback", "attach"],
)
def test_a_teacher_set_belongs_in_a_config(tmp_path: Path, build: Any) -> None:
    block = {"teacher_set": str(write_teacher_set(tmp_path, 1))}
    with pytest.raises(ConfigError, match="`teacher_set` belongs in a training config"):
        build(tmp_path, block)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sft": {"packing": True}}, "Use NaturalSFTTrainer, which chooses before packing"),
        (
            {"formatting_func": lambda row: row["messages"][1]["content"]},
            "with a `formatting_func`",
        ),
        (
            {"train_dataset": ROWS.add_column("input_ids", [[1, 2, 3, 4]] * 6)},
            "`input_ids` are not those of its text",
        ),
    ],
)
def test_what_cannot_be_attached_to(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    trainer = plain_trainer(tmp_path, **{"train_dataset": ROWS} | changes)
    with pytest.raises(ConfigError, match=message):
        attach(trainer, **BEST)


def test_rows_are_chosen_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has chosen its rows already"):
        attach(natural(tmp_path), **BEST)


def test_a_trainer_that_has_begun(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path, sft={"max_steps": 1})
    trainer.train()
    with pytest.raises(ConfigError, match=r"has trained already \(found 'step 1'"):
        attach(trainer, **BEST)


def test_a_model_that_another_trainer_has_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plain_trainer(tmp_path / "first", eval_dataset=ROWS)
    first.evaluate()
    assert first.model._is_accelerate_prepared
    again = plain_trainer(tmp_path / "again", model=first.model)
    fresh = attach(plain_trainer(tmp_path / "fresh"), **BEST)
    assert attach(again, **BEST).indices == fresh.indices
    before = [weight.clone() for weight in again.model.parameters()]
    again.train()
    after = again.model.parameters()
    assert any(not old.equal(new) for old, new in zip(before, after, strict=True))

    several = plain_trainer(tmp_path / "several", model=first.model)
    monkeypatch.setattr(type(several.accelerator), "num_processes", 2)
    with pytest.raises(ConfigError, match="with this model already"):
        attach(several, **BEST)


class Sharded:
    """As much of a trainer as says how the model is shared out."""

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
    ("options", "sharding"),
    [
        ({"fsdp": True}, "FSDP"),
        ({"stage": 3}, "DeepSpeed ZeRO-3"),
        ({"parallel": "tp"}, "tensor, context or sequence parallelism"),
        ({"parallel": "cp"}, "tensor, context or sequence parallelism"),
        ({"parallel": "sp"}, "tensor, context or sequence parallelism"),
    ],
)
def test_a_model_in_pieces(options: dict[str, Any], sharding: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_sharded(Sharded(**options))
    assert str(caught.value) == (
        f"rows cannot be chosen inside a run with {sharding}. Choose first with `lnat select`, and "
        "train on what it wrote with `trl sft`."
    )


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_whole_model(stage: int) -> None:
    refuse_sharded(Sharded(stage=stage))


def test_a_template_that_drops_the_thinking_is_refused(tmp_path: Path) -> None:
    turns = [
        [
            {"role": "user", "content": "What?"},
            {"role": "assistant", "content": f"{teacher} thinks.</think>Seven."},
        ]
        for teacher in TEACHERS
    ]
    rows = Dataset.from_dict({"messages": turns, "teacher": TEACHERS})
    with pytest.raises(DataError, match=r"train_dataset\[0\]: .* drops or changes part of the"):
        natural(tmp_path, train_dataset=rows, processing_class=padded(DROPS))
    assert natural(tmp_path, train_dataset=rows).selection.indices


def test_a_template_that_adds_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    natural(tmp_path, train_dataset=ROWS, processing_class=padded(INSERTS))
    assert "6 of 6 responses: the chat template puts other text before the resp" in caplog.text
    caplog.clear()
    natural(
        tmp_path / "b", train_dataset=ROWS, processing_class=padded(MARKED),
        args=sft_config(tmp_path / "b", assistant_only_loss=True),
    )  # fmt: skip
    assert "other text" not in caplog.text


def test_virtual_tokens_are_refused(tmp_path: Path) -> None:
    prompts = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    with pytest.raises(StudentError, match="puts tokens of its own before the text"):
        natural(tmp_path, peft_config=prompts)


@pytest.mark.parametrize("column", ["tools", "chat_template_kwargs"])
def test_columns_that_the_template_cannot_read(tmp_path: Path, column: str) -> None:
    rows = ROWS.add_column(column, ["calculator"] * 6)
    with pytest.raises(DataError, match=rf"train_dataset\[0\]: TRL gives the column `{column}`"):
        natural(tmp_path, train_dataset=rows)


def test_a_config_is_all_that_main_needs(tmp_path: Path, seen: Counter[tuple[str, str]]) -> None:
    path = write_config(tmp_path, saved_student(tmp_path / "student"))
    assert main(["--config", str(path)]) == 0
    assert seen == expected_rows(stored(tmp_path / "out"), epochs=1)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    seen.clear()
    assert main([f"--config={path}", "--max_steps", "1"]) == 0
    assert seen.total() == 2


def test_main_takes_candidates_from_a_teacher_set(
    tmp_path: Path, seen: Counter[tuple[str, str]]
) -> None:
    write_teacher_set(tmp_path, 3)
    folder = saved_student(tmp_path / "student")
    path = write_config(tmp_path, folder, "datasets", selection=BEST | {"teacher_set": "set.yaml"})
    assert main(["--config", str(path)]) == 0
    assert seen.total() == 3
    chosen = stored(tmp_path / "out").indices
    assert set(seen) == {(f"p{i // 2}", TEACHERS[i % 2]) for i in chosen}


def test_help_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--config FILE" in capsys.readouterr().out
