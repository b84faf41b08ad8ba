"""Spans: how a text is tiled, and who owns the white space.

Knows nothing of sentences, lines or turns: a splitter hands over cuts, this makes spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Span = tuple[int, int]
"""(start, end) character offsets into the text, half open; never empty."""

_SPACE = re.compile(r"\s*")


def tile(text: str, cuts: Iterable[int]) -> list[Span]:
    """Spans that tile `text`, one more than there are cuts that hold.

    `cuts` ascend. Each cut moves right over white space, so a step owns what follows it; a cut
    with nothing visible before or after it is dropped. Empty text: no span. Only white space: one.
    """
    if not text:
        return []
    spans: list[Span] = []
    start = 0
    reach = _end_of_space(text, 0)
    length = len(text)
    for cut in cuts:
        if cut <= reach:
            continue
        reach = _end_of_space(text, cut)
        if reach == length:
            break
        spans.append((start, reach))
        start = reach
    spans.append((start, length))
    return spans


def _end_of_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
