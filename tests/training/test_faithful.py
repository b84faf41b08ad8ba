"""What is scored is what is trained on; where it cannot be, that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from peft import PromptTuningConfig
from trl import SFTTrainer

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.hooks.trl_sft import NaturalnessCallback, NaturalSFTTrainer, attach
from tests.helpers_students import CHATML, student, tokenizer

from .lab import TEACHERS, candidates, config

BEST = {"strategy": "best", "windows": [1]}
DROPS = CHATML.replace("m['content']", "m['content'].split('</think>')[-1]")
INSERTS = CHATML.replace(
    "{{ m['role'] }}\n", "{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<t>{% endif %}"
)
MARKED = CHATML.replace(
    "{{ m['content'] }}<|end|>",
    "{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}",
)


def padded(template: str = CHATML) -> Any:
    built = tokenizer()
    built.pad_token = "<|end|>"
    built.chat_template = template
    return built


def natural(folder: Path, template: str = CHATML, **changes: Any) -> NaturalSFTTrainer:
    options = {
        "model": student("llama"),
        "args": config(folder / "out"),
        "train_dataset": candidates(2),
        "processing_class": padded(template),
        "selection": BEST,
    }
    return NaturalSFTTrainer(**(options | changes))


def thinking() -> Dataset:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": f"{teacher} thinks.</think>Seven."},
            ],
            "teacher": teacher,
        }
        for teacher in TEACHERS
    ]
    return Dataset.from_list(rows)


def test_a_template_that_drops_the_thinking_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_dataset\[0\]: .* drops or changes part of the"):
        natural(tmp_path, DROPS, train_dataset=thinking())
    assert natural(tmp_path, train_dataset=thinking()).selection.indices


def test_a_template_that_adds_text_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    natural(tmp_path, INSERTS)
    assert "6 of 6 responses follow other text in training" in caplog.text
    caplog.clear()
    natural(tmp_path / "b", MARKED, args=config(tmp_path / "c", assistant_only_loss=True))
    assert "other text" not in caplog.text


def test_virtual_tokens_are_refused(tmp_path: Path) -> None:
    prompts = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    with pytest.raises(StudentError, match="puts tokens of its own before the text"):
        natural(tmp_path, peft_config=prompts)


def test_rows_whose_prompt_fills_the_length_are_told(tmp_path: Path) -> None:
    rows = candidates(2, "conversations")
    with pytest.raises(ConfigError, match="TRL leaves out every chosen row"):
        natural(tmp_path, train_dataset=rows, args=config(tmp_path / "out", max_length=20))


def test_rows_that_were_tokenised_otherwise_are_refused(tmp_path: Path) -> None:
    rows = candidates(2).add_column("input_ids", [[1, 2, 3, 4]] * 6)
    trainer = SFTTrainer(
        student("llama"), config(tmp_path), train_dataset=rows, processing_class=padded()
    )
    with pytest.raises(ConfigError, match="`input_ids` are not those of its text"):
        attach(trainer, **BEST)


def test_a_formatting_function_is_refused_by_attach_too(tmp_path: Path) -> None:
    trainer = SFTTrainer(
        student("llama"),
        config(tmp_path),
        train_dataset=candidates(2),
        processing_class=padded(),
        formatting_func=lambda row: row["messages"][1]["content"],
    )
    with pytest.raises(ConfigError, match="with a `formatting_func`"):
        attach(trainer, **BEST)


def test_rows_are_chosen_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has chosen its rows already"):
        attach(natural(tmp_path), **BEST)


def test_a_callback_of_another_trainer_does_not_count(tmp_path: Path) -> None:
    callback = NaturalnessCallback(**BEST)
    trainers = [
        SFTTrainer(
            student("llama"),
            config(tmp_path / name),
            train_dataset=candidates(2),
            processing_class=padded(),
            callbacks=[callback],
        )
        for name in "ab"
    ]
    callback.attach(trainers[0])
    with pytest.raises(ConfigError, match="never attached to this trainer"):
        trainers[1].train()
    trainers[0].train()


@pytest.mark.parametrize(
    "build", [natural, lambda folder, **k: NaturalnessCallback(**k["selection"])]
)
def test_a_teacher_set_belongs_into_a_config(tmp_path: Path, build: Any) -> None:
    (tmp_path / "set.yaml").write_text("task: mine\ndataset_path: x.jsonl\nnaturalness: {}\n")
    with pytest.raises(ConfigError, match="`teacher_set` belongs into a training config"):
        build(tmp_path, selection={"teacher_set": str(tmp_path / "set.yaml")})


@pytest.mark.parametrize("column", ["tools", "chat_template_kwargs"])
def test_columns_that_the_template_cannot_read(tmp_path: Path, column: str) -> None:
    rows = candidates(2).add_column(column, ["calculator"] * 6)
    with pytest.raises(DataError, match=rf"train_dataset\[0\]: TRL gives the column `{column}`"):
        natural(tmp_path, train_dataset=rows)
    plain = candidates(2, "plain").add_column(column, ["calculator"] * 6)
    assert NaturalnessCallback(**BEST).chooser.choose  # the block itself is fine
    from lnat_plugins import select_dataset

    assert len(select_dataset(plain, student("llama"), padded(), **BEST)) == 2


@pytest.mark.parametrize("kind", ["pandas", "numpy", "torch"])
def test_the_data_set_s_format_plays_no_part(tmp_path: Path, kind: str) -> None:
    from lnat_plugins import select_dataset

    plain = candidates(2, "plain")
    found = select_dataset(plain.with_format(kind), student("llama"), padded(), **BEST)
    expected = select_dataset(plain, student("llama"), padded(), **BEST)
    assert found.with_format(None)["completion"] == expected["completion"]
