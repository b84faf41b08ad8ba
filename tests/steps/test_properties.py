"""What holds for every splitter on every text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnat_plugins.steps import SPLITTERS, supplied_spans

PIECES = [
    "a", "B", "word ", "Word ", "12", "1. ", "a) ", "- ", "* ", "# ", "| a. B |", ". ", ".", "! ",
    "?", "...", "… ", "。", "！", "」", '"', "“", "”", "(", ")", "[", "]", "**", "_", "$", "$$",
    "$5", "\\(", "\\)", "\\[", "\\]", "\\$", '\\', "\\begin{a}", "\\end{a}", "\\begin{", "```",
    "~~~", "`", "\n", "\n\n", "\r\n", "\r", " ", "\t", "\u3000", "\u2028", "\x0b", "\x1c", "\xa0",
    "e.g. ", "J. K. ", "No. ", "🎉", "✅", "ß", "字", "\u0301", "\x00", "<think>", "</think>",
    "think\n", "answer\n", "User:", ",", ":", "=",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
)
EVERY = pytest.mark.parametrize("name", list(SPLITTERS))


@EVERY
@given(text=TEXTS)
def test_spans_tile_the_text(name: str, text: str) -> None:
    spans = SPLITTERS[name].split(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]


@EVERY
@given(text=TEXTS)
def test_a_step_owns_the_white_space_that_follows_it(name: str, text: str) -> None:
    spans = SPLITTERS[name].split(text)
    assert all(not text[start].isspace() for start, _ in spans[1:])
    if len(spans) > 1:
        assert all(text[start:end].strip() for start, end in spans)


@EVERY
@given(text=TEXTS)
def test_splitting_is_deterministic_and_can_be_supplied(name: str, text: str) -> None:
    split = SPLITTERS[name].split
    spans = split(text)
    assert split(text) == spans
    assert supplied_spans(text, [text[start:end] for start, end in spans]) == spans


@pytest.mark.parametrize("name", ["line", "paragraph"])
@given(text=TEXTS)
def test_a_step_is_not_cut_again(name: str, text: str) -> None:
    split = SPLITTERS[name].split
    for start, end in split(text):
        assert split(text[start:end]) == [(0, end - start)]


@given(text=TEXTS)
def test_a_sentence_has_four_visible_characters_or_is_alone(text: str) -> None:
    spans = SPLITTERS["sentence"].split(text)
    visible = [len("".join(text[start:end].split())) for start, end in spans]
    assert len(spans) <= 1 or min(visible) >= 4


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
