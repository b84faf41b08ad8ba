"""Loops: how much of a text has been said before, word for word. Knows nothing of scores."""

from __future__ import annotations

from typing import Final, NamedTuple

WINDOW: Final = 20
"""Words that must recur in a row to count as said before."""


class Repetition(NamedTuple):
    """Words of a text, split at white space, and those that repeat."""

    repeated: int
    words: int


def repetition(text: str) -> Repetition:
    """Words that lie in a stretch of 20 words which occurred before in the same text.

    The earlier occurrence may overlap, as in a loop of one word. Time grows with the text's length.
    """
    words = text.split()
    seen: set[tuple[str, ...]] = set()
    repeated = marked_to = 0
    for start in range(len(words) - WINDOW + 1):
        stretch = tuple(words[start : start + WINDOW])
        if stretch in seen:
            repeated += start + WINDOW - max(start, marked_to)
            marked_to = start + WINDOW
        seen.add(stretch)
    return Repetition(repeated, len(words))
