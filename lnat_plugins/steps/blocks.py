r"""Tile a text with spans; the splitters `line`, `paragraph` and `turn`.

Every splitter finds cuts; `tile` decides who owns the white space. The splitters here look at line
breaks (``\n``, ``\r\n`` or ``\r``) and turn markers only: they join no fragments and protect no
formulas or code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

Span = tuple[int, int]
"""(start, end) character offsets into the text, half open; never empty."""

_SPACE: Final = re.compile(r"\s*")
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


def tile(text: str, cuts: Iterable[int]) -> list[Span]:
    """Spans that tile `text`: contiguous, none empty, no character missing.

    `cuts` ascend. Each cut moves right over white space, so that a step owns the white space after
    it; a cut with nothing visible before or after it is dropped. Empty text gives no span, white
    space alone gives one.
    """
    ends = [_end_of_space(text, 0)]  # a cut up to the last one would give no new step
    for cut in cuts:
        if cut > ends[-1]:
            ends.append(_end_of_space(text, cut))
    inner = [end for end in ends[1:] if end < len(text)]
    return list(pairwise([0, *inner, len(text)])) if text else []


def _end_of_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def has_blank_line(space: str) -> bool:
    """Whether this white space holds two line breaks, that is, at least one blank line."""
    return space.count("\n") + space.count("\r") - space.count("\r\n") > 1


def split_lines(text: str) -> list[Span]:
    """One step a line; blank lines belong to the step before them.

    Does not look at what the lines hold: a brace alone on its line is a step.
    """
    return tile(text, (found.end() for found in _BREAK.finditer(text)))


def split_paragraphs(text: str) -> list[Span]:
    """One step a paragraph.

    Does not look inside code fences: a blank line in a program cuts too.
    """
    breaks = _BREAK.finditer(text)
    return tile(text, (found.end() for found in breaks if has_blank_line(found.group())))


def split_turns(text: str) -> list[Span]:
    """The thinking part and the answer, each one step; likewise the turns of a dialogue.

    Cuts:

    1. before ``<think>`` and after ``</think>`` (or ``<thinking>``), anywhere in the text; the tags
       belong to the thinking part, and either may be missing;
    2. before the first line that holds only ``answer``, if the text's first line holds only
       ``think`` (the plain markers of s1.1); ``Answer:`` is ordinary text;
    3. before ``<|im_start|>`` and ``<|start_header_id|>``, and before a line that begins with
       ``User:``, ``Human:`` or ``Assistant:``.

    Does not cut inside a part, so a response without any marker is one step, for which local and
    global naturalness are the same.
    """
    answer_cuts = _BARE_THINK.match(text) is not None
    cuts = []
    # `^` and `$` do not see "\r"; replacing it keeps every offset.
    for found in _TURN.finditer(text.replace("\r", "\n")):
        is_answer = found.group().strip() == "answer"
        if answer_cuts or not is_answer:
            cuts.append(found.end() if found.group("close") else found.start())
        answer_cuts = answer_cuts and not is_answer
    return tile(text, cuts)
