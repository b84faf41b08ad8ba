"""Tiling; the line, paragraph and turn splitters, with a broken bar at every cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from lnat_plugins.steps import SPLITTERS
from lnat_plugins.steps.blocks import tile

from .builders import TEXTS, marked


@pytest.mark.parametrize(
    ("text", "cuts", "expected"),
    [
        ("", [], []),
        ("ab", [], [(0, 2)]),
        ("ab", [1], [(0, 1), (1, 2)]),
        ("a  b", [1], [(0, 3), (3, 4)]),
        ("a  b", [1, 2, 3], [(0, 3), (3, 4)]),
        ("  ab", [1], [(0, 4)]),
        ("  ab", [2], [(0, 4)]),
        ("ab  ", [2], [(0, 4)]),
        ("ab", [0, 2], [(0, 2)]),
        (" \n ", [1], [(0, 3)]),
    ],
)
def test_tile(text: str, cuts: list[int], expected: list[tuple[int, int]]) -> None:
    assert tile(text, cuts) == expected


@pytest.mark.parametrize(
    "expected",
    [
        "one",
        "one\n¦two\n",
        "one\r\n¦two\r¦three\n",
        "one\n\n \n¦two",
        "\n\none. Two.\n¦three",
        "one\n    ¦two\n\t¦three",
        "| a |\n¦|---|\n¦x",
    ],
)
def test_line(expected: str) -> None:
    assert marked("line", expected.replace("¦", "")) == expected


@pytest.mark.parametrize(
    "expected",
    [
        "one\ntwo\n",
        "one\n\n¦two\nthree\n\n\n¦four\n\n",
        "one\r\ntwo\r\n\r\n¦three",
        "one\rtwo\r\r¦three",
        "one\n \t\n  ¦two",
        "\n\none\n\n¦two",
        "```\none\n\n¦two\n```",
    ],
)
def test_paragraph(expected: str) -> None:
    assert marked("paragraph", expected.replace("¦", "")) == expected


@pytest.mark.parametrize(
    "expected",
    [
        "no marker\n\nat all. Answer: 5",
        "<think>\nit is 5.\n</think>\n\n¦The answer is 5.",
        "it is 5.\n</think>\n\n¦The answer is 5.",
        "<think>\nnever closed",
        "Before. ¦<think>it is 5.</think>¦After.",
        "<thinking>\nfive\n</thinking>\n¦Five.",
        "think\nit is 5\n¦answer\nAnswer: 5\nanswer\nagain",
        "think\r\nit is 5\r\n¦answer\r\nFive.",
        "\n think \nit is 5\n ¦answer \nFive.",
        "I think\nso\nanswer\nno marker",
        "User: hi\n¦Assistant: hello\n¦Human: bye",
        "<|im_start|>user\nhi<|im_end|>\n¦<|im_start|>assistant\nhello<|im_end|>",
    ],
)
def test_turn(expected: str) -> None:
    assert marked("turn", expected.replace("¦", "")) == expected


@pytest.mark.parametrize("name", ["line", "paragraph"])
@given(text=TEXTS)
def test_a_step_is_not_cut_again(name: str, text: str) -> None:
    split = SPLITTERS[name].split
    for start, end in split(text):
        assert split(text[start:end]) == [(0, end - start)]


@given(left=TEXTS, right=TEXTS)
@settings(max_examples=50)
def test_paragraphs_are_cut_alike_alone_and_together(left: str, right: str) -> None:
    left, right = left.strip(), right.strip()
    if not left or not right:
        return
    split = SPLITTERS["paragraph"].split
    offset = len(left) + 2
    first = split(left)
    first[-1] = (first[-1][0], offset)
    second = [(start + offset, end + offset) for start, end in split(right)]
    assert split(f"{left}\n\n{right}") == first + second
