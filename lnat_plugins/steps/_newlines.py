"""Whether a single line break ends a step.

Knows nothing of blank lines (which always cut) and regions. Each decision looks at the line
before the break once and at a few characters after it.
"""

from __future__ import annotations

import re
from typing import Final

from lnat_plugins.steps._stops import never_ends
from lnat_plugins.steps._words import CONNECTIVES, STARTERS

CLOSERS: Final = "\"'”’»)\\]}*_」』）】》〉"
_BLOCK_STARTS: Final = re.compile(
    r"[*_]{0,3}(?:[-+*•‣◦▪●–—]\s"  # list items
    r"|\(?(?:\d{1,3}(?:\.\d{1,3}){0,3}|[A-Za-z]|[ivxIVX]{1,5})[.):](?:\s|[*_]))"
    r"|#{1,6}\s|>\s?|\||```|~~~|\\\[|\$\$|\\begin\{"
    r"|[-*_=]{3,}[^\S\r\n]*(?=[\r\n]|\Z)"  # rulers
    r"|</?[A-Za-z][\w-]{0,20}>"
    r"|(?:think|answer)[^\S\r\n]*(?=[\r\n]|\Z)"
)
_BLOCK_LINE: Final = re.compile(
    r"#{1,6}\s|\|(?=.*\|\Z)|[-*_=]{3,}\Z|</?[A-Za-z][\w-]{0,20}>\Z|(?:think|answer)\Z", re.DOTALL
)
_COMPLETE: Final = re.compile(rf"[.!?…:।؟۔。！？；｡：][{CLOSERS}]{{0,6}}\Z")
_EQUATION: Final = re.compile(r"[a-z][0-9₀-₉'′²³]{0,3}\s?[=+−*/^<>≤≥≈≠×÷-]|[a-z]{1,12}\s?=")
_WORD: Final = re.compile(r"[A-Za-z'’]+")
_OPEN_ENDED: Final = frozenset(",([{=+×÷≈≤≥&")
_FULL_WIDTH: Final = 60


def ends_line(text: str, line: int, stop: int, after: int) -> bool:
    """Whether a step ends at the line break at `stop`.

    `line` is where the line before it began; `text[after]` is the next visible character.
    """
    before = text[line:stop].rstrip()
    if not before:
        return False
    if _BLOCK_STARTS.match(text, after) or _BLOCK_LINE.match(before):
        return True
    if _COMPLETE.search(before, max(0, len(before) - 8)):
        return not never_ends(before)
    last, following = before[-1], text[after]
    if following.islower():
        return _EQUATION.match(text, after) is not None
    if last in _OPEN_ENDED or following in ")]}":
        return False
    if text.endswith("  ", line, stop):
        return True  # a line break that markdown shows
    return not _is_wrapped(before, text, after)


def _is_wrapped(before: str, text: str, after: int) -> bool:
    """A line of prose broken at a margin although a capital or a figure follows."""
    if not before[-1].islower():
        return False
    if before[before.rfind(" ") + 1 :] in CONNECTIVES:
        return True
    if len(before) < _FULL_WIDTH or not text[after].isupper() or "=" in before:
        return False
    word = _WORD.match(text, after, after + 24)
    return word is not None and word.group() not in STARTERS
