"""Conversations in the student's chat template, and tokenizers that are loaded by name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import (
    load_tokenizer,
    render,
    template_digest,
)
from lnat_plugins.teacher_set import Candidate, Response
from lnat_plugins.teacher_set.template_columns import template_arguments
from tests.helpers_students import CHATML, tokenizer

TOOLS = "{% if tools %}{{ tools | length }} tools\n{% endif %}" + CHATML


def row(*turns: str, **extra: Any) -> Candidate:
    roles = ["user", "assistant"] * len(turns)
    messages = tuple({"role": r, "content": t} for r, t in zip(roles, turns, strict=False))
    return Candidate(0, "p", messages, Response("QwQ", "Done.", extra=extra, where="rows[0]"))


def rendered(built: Any, one: Candidate) -> str:
    return render(built, one.messages, arguments=template_arguments(one.response), where=one.where)


def test_a_conversation_ends_where_the_response_begins() -> None:
    text = rendered(tokenizer(), row("First?"))
    assert text == "<|im_start|>user\nFirst?<|end|>\n<|im_start|>assistant\n"


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
    text = rendered(built, row("First?", **extra))
    assert text.startswith(f"{opening}<|im_start|>user")


def test_no_template_is_told() -> None:
    built = tokenizer()
    built.chat_template = None
    with pytest.raises(StudentError, match="rows are conversations, and the student's tokenizer"):
        rendered(built, row("First?"))


def test_a_template_that_refuses_is_told() -> None:
    built = tokenizer()
    built.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(DataError, match=r"rows.*'QwQ': .* does not take this .*: no such role"):
        rendered(built, row("First?"))


def test_the_digest_tells_templates_apart() -> None:
    built, other = tokenizer(), tokenizer()
    other.chat_template = TOOLS.replace("user", "human").replace("im_start", "start")
    one, two = (template_digest(partial(render, own)) for own in (built, other))
    assert one and two and one != two
    assert template_digest(None) is None


@pytest.mark.parametrize("name", ["org/nowhere", "/no/such/folder", "."])
def test_a_tokenizer_that_is_not_there_is_one_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudentError, match=r"cannot be loaded: .*Give --tokenizer a folder"):
        load_tokenizer(name)


def test_a_saved_tokenizer_is_loaded(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    text = "First step. 结果是七！"
    assert load_tokenizer(str(tmp_path))(text)["input_ids"] == tokenizer()(text)["input_ids"]
