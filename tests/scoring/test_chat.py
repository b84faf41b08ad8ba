"""Rows rendered for the student: prompt ids as in training, token counts as TRL counts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tokenizers import processors
from trl import SFTConfig, SFTTrainer

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import (
    load_tokenizer,
    prompt_ids,
    render,
    template_digest,
    training_tokens,
)
from lnat_plugins.teacher_set import Candidate, Response
from tests.helpers_students import CHATML, student, tokenizer
from tests.helpers_tokenizers import byte_level

TOOLS = "{% if tools %}{{ tools | length }} tools\n{% endif %}" + CHATML


def row(*turns: str, **extra: Any) -> Candidate:
    roles = ["user", "assistant"] * len(turns)
    messages = tuple({"role": r, "content": t} for r, t in zip(roles, turns, strict=False))
    return Candidate(0, "p", messages, Response("QwQ", "Done.", extra=extra, where="rows[0]"))


def test_a_conversation_ends_where_the_response_begins() -> None:
    built = tokenizer()
    ids = prompt_ids(built, row("First?"), plain=False)
    assert built.decode(ids) == "<|im_start|>user\nFirst?<|end|>\n<|im_start|>assistant\n"


def test_a_plain_prompt_is_taken_as_it_stands() -> None:
    built = tokenizer()
    assert built.decode(prompt_ids(built, row("First?\n\n"), plain=True)) == "First?\n\n"


def test_a_plain_prompt_gets_the_opening_token_and_not_the_closing_one() -> None:
    built = tokenizer()
    built.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|end|> $A <|end|>", special_tokens=[("<|end|>", built.eos_token_id)]
    )
    ids = list(prompt_ids(built, row("First?"), plain=True))
    assert built("First?")["input_ids"] == [*ids, built.eos_token_id]


@pytest.mark.parametrize(
    ("extra", "opening"),
    [
        ({"tools": [{"name": "add"}]}, "1 tools\n"),
        ({"tools": '[{"name": "add"}, {"name": "sum"}]'}, "2 tools\n"),
        ({"tools": None}, ""),
    ],
)
def test_tools_reach_the_template(extra: dict[str, Any], opening: str) -> None:
    built = tokenizer()
    built.chat_template = TOOLS
    text = built.decode(prompt_ids(built, row("First?", **extra), plain=False))
    assert text.startswith(f"{opening}<|im_start|>user")


def test_no_template_is_told() -> None:
    built = tokenizer()
    built.chat_template = None
    with pytest.raises(StudentError, match="rows are conversations, and the student's tokenizer"):
        prompt_ids(built, row("First?"), plain=False)


def test_a_template_that_refuses_is_told() -> None:
    built = tokenizer()
    built.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(DataError, match=r"rows\[0\]: .* does not take this .*: no such role"):
        prompt_ids(built, row("First?"), plain=False)


def test_the_digest_tells_templates_apart() -> None:
    built, other = tokenizer(), tokenizer()
    other.chat_template = TOOLS.replace("user", "human").replace("im_start", "start")
    one, two = (template_digest(partial(render, own)) for own in (built, other))
    assert one and two and one != two
    assert template_digest(None) is None


PROMPTS = ("What is 3 + 4?", "Second step.\n\nThird one", " ")
RESPONSES = (
    "<think>\nFirst step. Wait.\n</think>\n\nDone.",
    "\n\nSo 3 + 4 = 7.  ",
    "结果是七！🎉",
    "Done.<|end|>",
    "step " * 1200,
)
ROWS = [(prompt, response) for prompt in PROMPTS for response in RESPONSES]


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


def turns(prompt: str, response: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": prompt}]
    return messages, [{"role": "assistant", "content": response}]


def table(form: str) -> list[dict[str, Any]]:
    """The rows as a data set in that form has them."""
    if form == "plain":
        return [{"prompt": prompt, "completion": response} for prompt, response in ROWS]
    pairs = [turns(*row) for row in ROWS]
    if form == "messages":
        return [{"messages": prompt + answer} for prompt, answer in pairs]
    return [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]


def counted(reader: Any, form: str) -> list[int]:
    if form == "plain":
        return [
            training_tokens(reader, [{"role": "user", "content": prompt}], response, plain=True)
            for prompt, response in ROWS
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
