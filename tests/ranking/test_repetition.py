"""Loops, counted word by word."""

from __future__ import annotations

import random

import pytest

from lnat_plugins.ranking.confounds import WINDOW, repetition


def by_loops(text: str) -> int:
    words = text.split()
    stretches = [words[i : i + WINDOW] for i in range(len(words) - WINDOW + 1)]
    marked = {
        i + offset
        for i, stretch in enumerate(stretches)
        if stretch in stretches[:i]
        for offset in range(WINDOW)
    }
    return len(marked)


def numbered(start: int, stop: int) -> str:
    return " ".join(map(str, range(start, stop)))


def test_a_stretch_of_twenty_words_said_again() -> None:
    assert repetition(numbered(0, 20) + " and " + numbered(0, 20)) == (20, 41)
    assert repetition(numbered(0, 19) + " and " + numbered(0, 19)) == (0, 39)
    assert repetition(numbered(0, 25) + " and " + numbered(0, 25)) == (25, 51)


def test_white_space_is_no_difference() -> None:
    assert repetition(numbered(0, 20) + "\n\n" + numbered(0, 20).replace(" ", "\t")).repeated == 20


def test_a_loop_of_one_word_overlaps_itself() -> None:
    assert repetition("wait " * 100) == (99, 100)
    assert repetition("wait " * 20) == (0, 20)


@pytest.mark.parametrize("text", ["", "  \n ", "one"])
def test_short_texts_repeat_nothing(text: str) -> None:
    assert repetition(text) == (0, len(text.split()))


@pytest.mark.parametrize("seed", range(8))
def test_the_loops_agree(seed: int) -> None:
    draw = random.Random(seed)
    phrases = [[draw.choice("abc") for _ in range(draw.randint(5, 30))] for _ in range(3)]
    text = " ".join(word for _ in range(12) for word in draw.choice(phrases))
    assert repetition(text).repeated == by_loops(text)
