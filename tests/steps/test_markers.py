"""Tags and markup: what is one, what only mentions one, and which step it stands with."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnat_plugins.steps import SPLITTERS
from lnat_plugins.steps.blocks import Span
from lnat_plugins.steps.markers import find_tags, join_markup, without_tags
from lnat_plugins.steps.sentences import split_sentences

from .builders import TEXTS, marked


def tags(text: str) -> list[str]:
    return [text[start:end] for start, end in find_tags(text)]


# Each text with its tags between double angle quotes; nothing else in it is one.

FAMILIES = {
    "ChatML": "«<|im_start|>assistant»\n«<think>»\nSo five.\n«</think>»\n\nFive.«<|im_end|>»\n",
    "Llama 3": "«<|start_header_id|>assistant»«<|end_header_id|>»\n\nFive.«<|eot_id|>»",
    "Gemma": "«<start_of_turn>model»\nFive.«<end_of_turn>»\n",
    "Mistral": "«<s>»«[INST]» How many? «[/INST]» Five.«</s>»",
    "Magistral": "«[THINK]»So five.«[/THINK]»Five.",
    "DeepSeek": "«<｜begin▁of▁sentence｜>»«<｜User｜>»How?«<｜Assistant｜>»«<think>»\nSo five.\n"
    "«</think>»\n\nFive.«<｜end▁of▁sentence｜>»",
    "DeepSeek with a role": "«<｜Assistant｜>assistant»\nFive.",
    "gpt-oss": "«<|channel|>analysis»«<|message|>»So five.«<|end|>»«<|start|>assistant»"
    "«<|channel|>final»«<|message|>»Five.«<|return|>»",
    "Kimi": "«◁think▷»So five.«◁/think▷»Five.",
    "Seed": "«<seed:think>»So five.«</seed:think>»Five.",
    "Cohere": "«<|START_THINKING|>»So five.«<|END_THINKING|>»«<|START_RESPONSE|>»Five.",
    "OpenThoughts": "«<|begin_of_thought|>»\n\nSo five.\n\n«<|end_of_thought|>»\n\n"
    "«<|begin_of_solution|>»\n\nFive.\n\n«<|end_of_solution|>»",
    "Phi": "«<|user|>»\nHow?«<|end|>»\n«<|assistant|>»\nFive.",
    "Granite": "«<|start_of_role|>assistant»«<|end_of_role|>»Five.«<|end_of_text|>»",
    "tokens without a line below": "«<|system|>»a«<|tool|>»b«<|think|>»c«<|thought|>»d«<|call|>»e"
    "«<|constrain|>»json«<|endoftext|>»«<|END|>»",
    "tokens with a line below": "«<|python_tag|>»«<|reserved_special_token_0|>»",
    "answer tags": "«<think>»So five.«</think>»«<answer>»Five it is.«</answer>»",
    "capitals": "«<THINK>»So five.«</Think>» «<ANSWER>»5«</ANSWER>»",
    "s1": "«think»\nSo five.\n«answer»\nAnswer: five.",
    "role words after a blank line": "So five\n\n«Answer»\n\nFive.",
    "role words after a finished line": "So five.\n«final»\nFive.\n«SOLUTION»\nFive.",
    "role words, indented": "So five.\n \t«answer» \nFive.",
    "role words, CRLF": "«think»\r\nSo five\r\n«answer»\r\nFive.",
    "role words, CR": "«think»\rSo five\r«answer»\rFive.",
    "Chinese": "«思考»\n先算三加四。\n«回答»\n答案是七。",
    "Chinese later": "先算三加四。\n\n«最终答案»\n七",
    "thinking and its kin": "«<thinking>»a«</thinking>»«<thought>»b«</thought>»«<reasoning>»c"
    "«</reasoning>»«<reflection>»d«</reflection>»«<scratchpad>»e«</scratchpad>»",
    "a closing tag alone": "So five.\n«</think>»\n\nFive.",
    "an opening tag alone": "«<think>»\nSo five.",
    "a closing answer tag alone": "Five.«</answer>»",
    "an opening answer tag that begins a line": "So five.\n  «<answer>»Five.",
    "an opening answer tag that begins the text": "«<final_answer>» Five.",
    "the pairs nearest to each other": "Say <answer> first. «<answer>»Five.«</answer>»",
    "two pairs": "a «<answer>»b«</answer>» c «<answer>»d«</answer>»",
    "pairs are of one name": "a <answer>b<solution>c«</final>»",
    "pairs of two names": "a «<answer>»b «<solution>»c«</answer>» d«</solution>»",
    "pairs in two spellings": "a «<Answer>»b«</answer>»",
    "a closing tag closes one": "a «<answer>»b«</answer>» c <answer> d",
    "the word behind is no role": "«<|im_start|>»assistants help.",
    "next to a fence": "«<think>»\n```\n<think>\n```\n«</think>»\nFive.",
}


@pytest.mark.parametrize("expected", FAMILIES.values(), ids=FAMILIES)
def test_tags_of_the_families(expected: str) -> None:
    text = re.sub("[«»]", "", expected)
    found = expected
    for start, end in reversed(find_tags(text)):
        text = f"{text[:start]}«{text[start:end]}»{text[end:]}"
    assert text == found


MENTIONS = {
    "an answer tag in a sentence": "Put it in <answer> tags.",
    "two of them": "Put it in <answer> or <solution> tags.",
    "a fence": "Look:\n```xml\n<think>\n</think>\n<answer>5</answer>\n```\nDone.",
    "a fence of tildes": "~~~\n<|im_start|>assistant\n~~~\nDone.",
    "inline code": "The tags `<think>` and ``</think>`` and `[INST]`.",
    "the words in prose": "I think the answer is final. In conclusion, the response stands.",
    "a wrapped line that is the word": "Now this is the only possible\nanswer\nto it.",
    "a wrapped line that ends with the word": "So this is what I find, and the\nfinal answer\nis.",
    "a line with more than the word": "So five.\nthink again\nanswer: five",
    "the word with a colon": "So five.\nAnswer:\nFive.",
    "other tags": "<b>Five</b> <div> </p> <thinker> <answers> <|> <||> <｜｜> < think >",
    "comparisons": "a <b and c> d; x <y|z> is not |x|>0",
    "brackets": "[INSTALL] [think about it] [1]",
    "a formula": "|x| < 5 > 3 and <x|y>",
    "formulas that look like tokens": "<|x|> and <|psi|>, <|a-b|>, <|A1|>; <|psi> is no <psi|phi>",
    "more than a token's name": "<|ending|> <|the end|> <|users|> <|_x|> <|end> <end|>",
    "a list in brackets": "[answer] (think)",
    "Chinese in a sentence": "我思考一下，回答是七。",
}


@pytest.mark.parametrize("text", MENTIONS.values(), ids=MENTIONS)
def test_mentions_are_no_tags(text: str) -> None:
    assert tags(text) == []


def test_a_word_is_a_role_wherever_the_text_begins_with_one() -> None:
    """The plain markers of s1: "answer" after a line without a stop."""
    assert tags("So it is\nanswer\nFive") == []
    assert tags("think\nSo it is\nanswer\nFive") == ["think", "answer"]
    assert tags("\n think\nSo it is\nanswer\nFive") == ["think", "answer"]


@given(text=TEXTS)
def test_tags_ascend_and_hold_no_white_space_around_them(text: str) -> None:
    found = find_tags(text)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in found)
    blanked = without_tags(text, found)
    assert len(blanked) == len(text)
    inside = {i for start, end in found for i in range(start, end)}
    kept = [" " if i in inside else character for i, character in enumerate(text)]
    assert blanked == "".join(kept)


# The steps around a tag.

STEPS = [
    "<think>So it is. ¦Five it is.¦</think>The end.",
    "<think>\n\nSo it is. ¦Five it is.\n\n¦</think>\n\nThe end.",
    "So it is.¦</think>\n<answer>\nFive it is.\n</answer>\n",
    "So it is.¦</think><answer>Five it is.</answer>",
    "So it is.\n¦</think>\n\n---\n\n**Final Answer**\n\nFive it is.",
    "<|channel|>analysis<|message|>So it is.¦<|end|><|start|>assistant<|channel|>final<|message|>"
    "Five it is.<|return|>",
    "So the answer ¦</think> is five of them.",
    "</think>",
    "<think>\n\n</think>\n\n",
    "<think>\n\n</think>\n\nFive it is.",
    "So it is. OK</think>\n\n",
    "So it is. </think>OK <answer>5</answer>",
    "think\nSo it is\n¦answer\nFive of them",
    "- First one\n¦- Second one\n¦</think>\n\n# Title\n¦Third one",
]


@pytest.mark.parametrize("expected", STEPS)
def test_a_tag_stands_with_the_step_after_it(expected: str) -> None:
    assert marked("sentence", expected.replace("¦", "")) == expected


SPACES = ["", " ", "\n", "\n\n", "  \n", "\r\n", " \t\n\n\n", "\u3000"]
MARKS = ["<think>", "</think>", "[THINK]", "◁/think▷", "<|im_end|>", "</answer>", "<｜Assistant｜>"]
PROSE = [
    "So it is.", "So it is. Then five.", "Done", "the answer is five", "x = 5\ny = 6", "5", "OK",
    "- one\n- two", "# Title", "**Final Answer**", "---", "Let \\(a = 1. B\\) hold.", "He met Dr.",
    "七。答案是七", "\\[ x = 5 \\]", "So,", "(a remark)", "| a | b |", "1.",
]  # fmt: skip


@given(
    parts=st.lists(st.tuples(st.sampled_from(PROSE), st.sampled_from(MARKS)), max_size=8),
    end=st.sampled_from(["", *PROSE]),
    spaces=st.lists(st.tuples(*[st.sampled_from(SPACES)] * 4), min_size=9, max_size=9),
)
def test_white_space_around_a_tag_cuts_nothing(
    parts: list[tuple[str, str]], end: str, spaces: list[tuple[str, str, str, str]]
) -> None:
    """The visible content of the steps, tags taken out, is the same list."""

    def contents(text: str) -> list[str]:
        blanked = without_tags(text, find_tags(text))
        return ["".join(blanked[start:end].split()) for start, end in split_sentences(text)]

    one = other = ""
    for (prose, mark), (a, b, c, d) in zip(parts, spaces, strict=False):
        one += f"{prose}{a}{mark}{b}"
        other += f"{prose}{c}{mark}{d}"
    assert contents(one + end) == contents(other + end)


@given(
    pieces=st.lists(st.sampled_from([*PROSE, *MARKS, "answer", "think", *SPACES]), max_size=20),
    text=TEXTS,
)
def test_steps_of_texts_with_tags_tile_them(pieces: list[str], text: str) -> None:
    text = "".join(pieces) + text
    spans = split_sentences(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    blanked = without_tags(text, find_tags(text))
    assert len(spans) <= 1 or all(blanked[start:end].strip() for start, end in spans)


# Pieces that hold only markup.

JOINED = {
    "a rule": "One thing.\n¦---\nTwo things.",
    "rules": "One thing.\n¦***\n===\n____\nTwo things.",
    "a fence": "One thing.\n¦```python\nx = 1\n¦```\nTwo things.",
    "marks of headings": "One thing.\n¦###\nTwo things.\n¦#\n##\nThree things.",
    "marks of lists": "One thing.\n¦-\n*\n•\nTwo things.\n¦1.\nThree things.\n¦(b)\n**iv)**\nFour.",
    "labels": "One thing.\n¦**Final Answer**\nTwo things.\n¦### Solution:\nThree things.",
    "more labels": "Thinking Process:\nOne thing.\n¦Answer：\nTwo things.\n¦__Conclusion__\nThree.",
    "Chinese labels": "One thing.\n¦**最终答案**：\n七。",
    "tags of other names": "One thing.\n¦<step>\nTwo things.\n¦</step>\nThree things.",
    "several in a row": "One thing.\n¦---\n**Final Answer**\n</think>\n\n```\nTwo things.",
    "at the end": "One thing.\n¦Two things.\n---\n**Answer**\n</think>\n",
    "at the start": "---\n# \nOne thing.\n¦Two things.",
    "nothing but markup": "---\n**Answer**\n</think>\n",
    "one tag": "</think>",
    "what only looks like markup": "One thing.\n¦Final answers\n¦--x--\n¦Answer: 5\n¦1. One\n¦a b",
    "words as long as a label": f"One thing.\n¦{'-' * 80}\nTwo things.\n¦{'answer ' * 12}\n¦Three.",
}


@pytest.mark.parametrize("expected", JOINED.values(), ids=JOINED)
def test_markup_joins_the_piece_after_it_and_at_the_end_the_one_before(expected: str) -> None:
    """Whoever cut it: here, by lines."""
    text = expected.replace("¦", "")
    spans = join_markup(without_tags(text, find_tags(text)), SPLITTERS["line"].split(text))
    assert "¦".join(text[start:end] for start, end in spans) == expected


def test_no_spans_stay_none() -> None:
    assert join_markup("", []) == []


@given(text=TEXTS, cuts=st.lists(st.integers(1, 60), max_size=12))
def test_joined_spans_tile_what_the_spans_tiled(text: str, cuts: list[int]) -> None:
    ends = [*sorted({cut for cut in cuts if cut < len(text)}), *([len(text)] if text else [])]
    spans: list[Span] = list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
    joined = join_markup(text, spans)
    assert {end for _, end in joined} <= {end for _, end in spans}
    assert [start for start, _ in joined] == [0, *(end for _, end in joined)][: len(joined)]
    assert bool(joined) == bool(spans)
    assert not joined or joined[-1][1] == len(text)


# Work grows with the text, and not faster. (What the regex engine does: test_steps.py.)

UNITS = [
    "<think>", "</think>\n", "<answer>", "<answer>\n", "</answer>", "<|a|>", "<|end|>", "<|im_start|>assistant ",
    "think\n", "\n answer \n", "`<think>` ", "```\n<think>\n", "---\n", "# \n", "1.\n", "<a>\n",
    "a</think>", "<answer>a</answer>", ".</think> ", "**Answer**\n", "\n", "a\n", "So.\nanswer\n",
]  # fmt: skip


class Watched(str):
    """A text that counts the characters that are copied out of it."""

    copied = 0

    def __getitem__(self, key: Any) -> str:
        found = super().__getitem__(key)
        self.copied += len(found)
        return found


def work(function: Callable[[str], object], text: str) -> int:
    """Lines of Python run by the function and all that it calls, and characters copied."""
    watched, lines = Watched(text), 0

    def count(_: object, event: str, __: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function(watched)
    finally:
        sys.settrace(before)
    return lines + watched.copied


def is_linear(function: Callable[[str], object], unit: str) -> bool:
    """Whether twice the text is about twice the work; four times would be quadratic."""
    return work(function, unit * 128) < 2.5 * work(function, unit * 64)


def find_and_join(text: str) -> object:
    spans = list(zip(range(0, len(text), 2), range(2, len(text) + 2, 2), strict=True))
    return join_markup(without_tags(text, find_tags(text)), spans)


@pytest.mark.parametrize("unit", UNITS, ids=repr)
@pytest.mark.parametrize("function", [find_and_join, split_sentences])
def test_twice_the_text_is_twice_the_work(function: Callable[[str], object], unit: str) -> None:
    assert is_linear(function, unit)


@pytest.mark.parametrize(
    "quadratic",
    [
        lambda text: [text[i:] for i in range(len(text))],
        lambda text: [None for i in range(len(text)) for _ in range(i)],
    ],
    ids=["copies", "loops"],
)
def test_quadratic_work_is_found(quadratic: Callable[[str], object]) -> None:
    assert not is_linear(quadratic, "a")
