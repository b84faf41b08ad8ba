"""The line, paragraph and turn splitters, with a broken bar wherever a cut is due."""

from __future__ import annotations

import pytest

from lnat_plugins.steps import SPLITTERS


def marked(name: str, text: str) -> str:
    return "¦".join(text[start:end] for start, end in SPLITTERS[name].split(text))


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
