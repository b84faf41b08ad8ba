"""No text takes more than linear time: eight times the text, about eight times the work.

Measured in the process's own time, best of three, with a bound four times too wide; quadratic
work would show a ratio of 64. Runs too short to measure pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lnat_plugins.steps import SPLITTERS
from lnat_plugins.steps.blocks import Span

SIZE = 12_000
UNITS = [
    "$", "$a", "$a ", "$$", "\\(", "\\[", "\\begin{a}", "\\begin{a", "\\begin{a}\\end{b}",
    "\\end{a}", "```", "```\n", "```a\n", "~~~\n", "`", "` ``", "a` ", "\n", "\r", " ", " \n",
    "  \n a", ".", ". ", "...", " .", "。", "?!", '")', ". ✅", "1. ", "A. ", "J. K. ", "e.g. ",
    "9", "99,", "| ", "|a|\n", "|\n", "(", "<think>\n", "# ", "a\n", "a,\n", "a ", "x\n\n", '\\',
    "*", "a\n|", "think\n",
]  # fmt: skip


def seconds(split: Callable[[str], list[Span]], text: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        split(text)
        best = min(best, time.process_time() - start)
    return best


def is_linear(split: Callable[[str], list[Span]], short: str, long: str) -> bool:
    for _ in range(3):
        slow = seconds(split, long)
        if slow < 0.1 or slow < 32 * seconds(split, short):
            return True
    return False


@pytest.mark.parametrize("name", list(SPLITTERS))
@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_repeated_units(name: str, unit: str) -> None:
    short = "A. " + unit * (SIZE // len(unit))
    assert is_linear(SPLITTERS[name].split, short, short + unit * (7 * SIZE // len(unit)))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "\\begin{a}" * (n // 9) + "\\end{a}" * (n // 9),
        lambda n: "```\n" + "a.\n" * (n // 3) + "```",
        lambda n: "- \\(" + "x\n" * (n // 2),
        lambda n: "|" + " |" * (n // 2) + " x",
        lambda n: "a" + " " * n + "\n" + " " * n + ".",
        lambda n: " ".join("`" * width for width in range(1, int((2 * n) ** 0.5))),
        lambda n: "\n".join("`" * width for width in range(int((2 * n) ** 0.5), 2, -1)),
        lambda n: "a" * n + ". B",
    ],
)
def test_nested_and_uneven(make: Callable[[int], str]) -> None:
    assert is_linear(SPLITTERS["sentence"].split, make(SIZE), make(8 * SIZE))


def test_the_check_can_fail() -> None:
    def quadratic(text: str) -> list[Span]:
        for start in range(0, len(text), 200):
            text[start:].swapcase()
        return []

    assert not is_linear(quadratic, "a" * SIZE, "a" * 8 * SIZE)
