"""The ids before a response are those that training puts there."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from tokenizers import processors

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import prompt_ids, render, template_digest
from lnat_plugins.selection import Candidate
from lnat_plugins.teacher_set import Response
from tests.helpers_students import CHATML, tokenizer

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
