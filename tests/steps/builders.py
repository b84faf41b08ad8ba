"""Texts for the tests of this folder, and steps made visible."""

from __future__ import annotations

from hypothesis import strategies as st

from lnat_plugins.steps import SPLITTERS

PIECES = [
    "a", "B", "word ", "Word ", "12", "1. ", "a) ", "- ", "* ", "# ", "| a. B |", ". ", ".", "! ",
    "?", "...", "… ", "。", "！", "」", '"', "“", "”", "(", ")", "[", "]", "**", "_", "$", "$$",
    "$5", "\\(", "\\)", "\\[", "\\]", "\\$", '\\', "\\begin{a}", "\\end{a}", "\\begin{", "```",
    "~~~", "`", "\n", "\n\n", "\r\n", "\r", " ", "\t", "\u3000", "\u2028", "\x0b", "\x1c", "\xa0",
    "e.g. ", "J. K. ", "No. ", "🎉", "✅", "ß", "字", "\u0301", "\x00", "<think>", "</think>",
    "think\n", "answer\n", "User:", ",", ":", "=", "<answer>", "</answer>", "<|im_end|>", "---\n",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
)


def marked(name: str, text: str) -> str:
    """The text with a broken bar wherever the splitter cuts."""
    return "¦".join(text[start:end] for start, end in SPLITTERS[name].split(text))
