"""How prompts reach the student: plain, with a system instruction, in its chat template."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from tests import helpers_students
from tests.helpers_students import assert_near, truth

from .lab import evaluate, hf, records, rows, write_set

PLAIN = "{}\n\n"
CHAT = "<|im_start|>user\n{}<|end|>\n<|im_start|>assistant\n"
BRIEF = "<|im_start|>system\nBe brief.<|end|>\n"


def contexts(results: Any) -> list[str]:
    return [sample["arguments"][0][0] for sample in results["samples"]["my_teachers"]]


def hashes(results: Any) -> set[str]:
    return {record["settings_hash"] for record in records(results).values()}


@pytest.mark.parametrize(
    ("options", "context"),
    [
        ({}, PLAIN),
        ({"system_instruction": "Be brief."}, "Be brief.\n\n" + PLAIN),
        ({"apply_chat_template": True}, CHAT),
        ({"apply_chat_template": True, "system_instruction": "Be brief."}, BRIEF + CHAT),
        ({"apply_chat_template": True, "fewshot_as_multiturn": True}, CHAT),
    ],
    ids=["plain", "system", "template", "both", "multiturn"],
)
def test_the_prompt_is_rendered_as_asked(
    options: dict[str, Any], context: str, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    results = evaluate(tmp_path, hf(model, tokenizer), **options)
    assert contexts(results) == [context.format(f"What is {i} + 4?") for i in range(3)]
    found = records(results)
    for row in rows():
        prompt = tokenizer.encode(context.format(row["prompt"]))
        expected = truth(model, tokenizer, prompt, row["response"], ("4",))
        assert_near(found[row["prompt_id"], row["teacher"], 0]["sums"]["4"], expected.sums["4"])


def test_the_rendering_is_part_of_the_settings(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows())
    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace("assistant", "model")
    runs = [
        (tokenizer, {}),
        (tokenizer, {"system_instruction": "Be brief."}),
        (tokenizer, {"apply_chat_template": True}),
        (tokenizer, {"apply_chat_template": True, "system_instruction": "Be brief."}),
        (other, {"apply_chat_template": True}),
    ]
    found = [
        hashes(evaluate(tmp_path, hf(model, own), limit=1, **options)) for own, options in runs
    ]
    assert all(len(one) == 1 for one in found)
    assert len(set().union(*found)) == len(runs)
    again = hashes(evaluate(tmp_path, hf(model, tokenizer), limit=2, apply_chat_template=True))
    assert again == found[2]


def test_the_turns_of_a_conversation_keep_their_roles(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    turns = [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "3 + 4?"},
        {"role": "assistant", "content": "7."},
        {"role": "user", "content": "And 5?"},
    ]
    answered = [
        {"messages": [*turns, {"role": "assistant", "content": text}], "teacher": teacher}
        for teacher, text in [("QwQ", "First step. So 12."), ("R1", "12.")]
    ]
    write_set(tmp_path, answered, block={"layout": "messages"})
    (chat,) = contexts(evaluate(tmp_path, hf(model, tokenizer), apply_chat_template=True))
    assert chat == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    (plain,) = contexts(evaluate(tmp_path, hf(model, tokenizer)))
    assert plain == "Think.\n\n3 + 4?\n\n7.\n\nAnd 5?\n\n"


def test_the_delimiter_stands_between_prompt_and_response(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), target_delimiter="\nAnswer:")
    plain = evaluate(tmp_path, hf(model, tokenizer), limit=1)
    assert contexts(plain) == ["What is 0 + 4?\nAnswer:"]
    chat = evaluate(tmp_path, hf(model, tokenizer), limit=1, apply_chat_template=True)
    assert contexts(chat) == [CHAT.format("What is 0 + 4?")]


@pytest.fixture
def opening_tokenizer() -> Any:
    """A tokenizer that puts a first token before every text, as Llama's does."""
    built = helpers_students.tokenizer()
    built.add_special_tokens({"bos_token": "<|begin|>"})
    built.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", built.bos_token_id)]
    )
    built.chat_template = "{{ bos_token }}" + built.chat_template
    return built


@pytest.mark.parametrize("chat", [False, True])
def test_the_opening_token_stands_before_the_prompt_once(
    chat: bool, model: Any, opening_tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    own = opening_tokenizer
    results = evaluate(tmp_path, hf(model, own), apply_chat_template=chat)
    for row in rows():
        context = (CHAT if chat else PLAIN).format(row["prompt"])
        prompt = [own.bos_token_id, *own.encode(context, add_special_tokens=False)]
        expected = truth(model, own, prompt, row["response"], ("4", "global"))
        record = records(results)[row["prompt_id"], row["teacher"], 0]
        assert record["tokens"] == expected.tokens
        for window in ("4", "global"):
            assert_near(record["sums"][window], expected.sums[window])


def test_a_template_that_opens_the_thinking_part_is_warned_of(
    model: Any, tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thinking = copy.deepcopy(tokenizer)
    thinking.chat_template = tokenizer.chat_template + "<think>\n"
    write_set(tmp_path, rows(prompts=2))
    with caplog.at_level(logging.WARNING, "lm_eval"):
        evaluate(tmp_path, hf(model, tokenizer), apply_chat_template=True)
        assert "read twice" not in caplog.text
        evaluate(tmp_path, hf(model, thinking), apply_chat_template=True)
    assert caplog.text.count("read twice") == 1
