"""Spans: how a text is tiled, and who owns the white space.

Knows nothing of sentences, lines or turns: a splitter hands over cuts, this makes spans.

Splitters that look at line breaks and turn markers only.

Knows nothing of sentences, markdown or LaTeX. Every rule is plain: no fragment is joined to a
neighbour and no region is protected. As everywhere, a step owns the white space that follows it
(the indentation of the next line included), and the white space a text begins with belongs to
its first step. A line break is ``\\n``, ``\\r\\n`` or ``\\r``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

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


_BREAK: Final = re.compile(r"[\r\n]\s*")
_TURN: Final = re.compile(
    r"(?P<close></think(?:ing)?>)"
    r"|<think(?:ing)?>"
    r"|^[^\S\r\n]*answer[^\S\r\n]*$"
    r"|<\|im_start\|>|<\|start_header_id\|>"
    r"|^(?:User|Human|Assistant):",
    re.MULTILINE,
)
_BARE_THINK: Final = re.compile(r"\s*think[^\S\r\n]*[\r\n]")


def split_lines(text: str) -> list[Span]:
    """One step a line.

    Cuts after every line break. Blank lines belong to the step before them. Does not look at what
    the lines hold: a table row, a bullet or a brace alone on its line is a step.
    """
    return tile(text, (found.end() for found in _BREAK.finditer(text)))


def split_paragraphs(text: str) -> list[Span]:
    """One step a paragraph.

    Cuts where at least one blank line stands (two line breaks with nothing visible between them).
    Does not look inside code fences: a blank line in a program cuts too.
    """
    breaks = _BREAK.finditer(text)
    return tile(text, (found.end() for found in breaks if has_blank_line(found.group())))


def split_turns(text: str) -> list[Span]:
    """The thinking part and the answer, each one step; likewise the turns of a dialogue.

    Cuts:

    1. before ``<think>`` and after ``</think>`` (``<thinking>`` likewise), wherever they stand;
       the tags stay with the thinking part, and either may be missing;
    2. before the first line that holds only ``answer``, if the text's first line holds only
       ``think`` (the plain markers of s1.1); later ``answer`` lines do not cut;
    3. before ``<|im_start|>`` and ``<|start_header_id|>``, and before a line that begins with
       ``User:``, ``Human:`` or ``Assistant:``.

    Does not cut inside a part, so a response without any marker is one step, for which local and
    global naturalness are the same. Lower case ``answer`` only: ``Answer:`` is ordinary text.
    """
    bare = _BARE_THINK.match(text) is not None
    cuts = []
    for found in _TURN.finditer(_normal_breaks(text)):
        if found.group().strip() == "answer":
            if not bare:
                continue
            bare = False
        cuts.append(found.end() if found.group("close") else found.start())
    return tile(text, cuts)


def has_blank_line(space: str) -> bool:
    """Whether this white space holds two line breaks, that is, at least one blank line."""
    return space.count("\n") + space.count("\r") - space.count("\r\n") > 1


def _normal_breaks(text: str) -> str:
    r"""Same length, but `^` and `$` also see ``\r``; offsets stay those of the text."""
    return text.replace("\r", "\n") if "\r" in text else text
