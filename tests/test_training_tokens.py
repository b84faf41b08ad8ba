"""The count of training tokens is that of TRL's own preparation, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import load_tokenizer, training_tokens
from tests.helpers_students import student, tokenizer
from tests.helpers_tokenizers import byte_level

ASKED = ("What is 3 + 4?", "Second step.\n\nThird one", " ")
RESPONSES = (
    "<think>\nFirst step. Wait.\n</think>\n\nDone.",
    "\n\nSo 3 + 4 = 7.  ",
    "结果是七！🎉",
    "Done.<|end|>",
    "step " * 1200,
)
ROWS = [(asked, response) for asked in ASKED for response in RESPONSES]


def lengths_in_trl(folder: Path, model: Any, reader: Any, rows: list[dict[str, Any]]) -> list[int]:
    """How many ids SFTTrainer gives each row when it may not cut."""
    args = SFTConfig(
        str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=None,  # False too is deprecated
        report_to="none",
        max_length=None,
    )
    trainer = SFTTrainer(
        model, args, train_dataset=Dataset.from_list(rows), processing_class=reader
    )
    return [len(ids) for ids in trainer.train_dataset["input_ids"]]


def turns(asked: str, response: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    prompt = [{"role": "system", "content": "Think."}, {"role": "user", "content": asked}]
    return prompt, [{"role": "assistant", "content": response}]


def table(form: str) -> list[dict[str, Any]]:
    """The rows as a data set in that form has them."""
    if form == "plain":
        return [{"prompt": asked, "completion": response} for asked, response in ROWS]
    pairs = [turns(*row) for row in ROWS]
    if form == "messages":
        return [{"messages": prompt + answer} for prompt, answer in pairs]
    return [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]


def counted(reader: Any, form: str) -> list[int]:
    if form == "plain":
        return [
            training_tokens(reader, [{"role": "user", "content": asked}], response, plain=True)
            for asked, response in ROWS
        ]
    return [training_tokens(reader, turns(*row)[0], row[1], plain=False) for row in ROWS]


@pytest.mark.parametrize("form", ["plain", "prompt_completion", "messages"])
@pytest.mark.parametrize("begins", [False, True])
def test_a_toy_student(tmp_path: Path, form: str, begins: bool) -> None:
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    if begins:
        reader.bos_token = "<|end|>"
        reader.add_bos_token = True
        assert reader("a").input_ids[0] == reader.bos_token_id
    expected = lengths_in_trl(tmp_path, student("llama"), reader, table(form))
    assert counted(reader, form) == expected
    assert max(expected) > 1024


@pytest.mark.parametrize("form", ["plain", "prompt_completion", "messages"])
def test_a_trained_student(tmp_path: Path, shared: Path, form: str) -> None:
    from transformers import AutoModelForCausalLM

    folder = str(shared / "models" / "student-base")
    model = AutoModelForCausalLM.from_pretrained(folder)
    reader = load_tokenizer(folder)
    assert counted(reader, form) == lengths_in_trl(tmp_path, model, reader, table(form))


def test_what_a_row_gives_to_the_template_counts() -> None:
    reader = tokenizer()
    reader.chat_template += "{{ tools or '' }}{{ more or '' }}"
    bare, filled = (
        training_tokens(reader, turns("?", "!")[0], "!", plain=False, template_arguments=arguments)
        for arguments in (None, {"tools": [{"name": "add"}], "more": "step"})
    )
    assert filled > bare + 1


def test_a_student_that_cannot_be_trained_is_told() -> None:
    bare = byte_level()
    with pytest.raises(StudentError, match=r"x\.jsonl row 3: the rows are conversations, and the "):
        training_tokens(bare, turns("?", "!")[0], "!", plain=False, where="x.jsonl row 3")
    bare.eos_token = None
    with pytest.raises(StudentError, match="has no end-of-text token"):
        training_tokens(bare, turns("?", "!")[0], "!", plain=True)
    reader = tokenizer()
    reader.chat_template = "{{ raise_exception('no system turn') }}"
    with pytest.raises(DataError, match=r"conversation: no system turn \(found \['system', 'user'"):
        training_tokens(reader, turns("?", "!")[0], "!", plain=False)


@pytest.mark.parametrize("name", ["org/nowhere", "/no/such/folder", "."])
def test_a_tokenizer_that_is_not_there_is_one_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudentError, match=r"cannot be loaded: .*Give --tokenizer a folder"):
        load_tokenizer(name)


def test_a_saved_tokenizer_is_loaded(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    assert training_tokens(load_tokenizer(str(tmp_path)), turns("?", "!")[0], "!", plain=False) > 1
