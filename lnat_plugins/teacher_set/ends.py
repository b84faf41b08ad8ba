"""What a response opens and closes with: a tag, a role marker, an end token, a fence of code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from lnat_plugins.steps.markers import find_tags
from lnat_plugins.teacher_set.prompts import Response
from lnat_plugins.teacher_set.thinking import split_thinking, visible

NOTHING: Final = "nothing"
NOT_OPENED: Final = "no tag, a closing one follows"
NOT_CLOSED: Final = "a thinking part that never closes"
FENCE: Final = "``` (code)"

_REACH: Final = 256
"""Characters at either end in which a tag is looked for."""


class Ends(NamedTuple):
    """What the responses of one teacher open and close with: name -> number of responses."""

    opens: Counter[str]
    closes: Counter[str]


def ends_by_teacher(responses: Iterable[Response]) -> dict[str, Ends]:
    """Teacher -> what its responses open and close with.

    A name is the tag as written, or one of the constants of this module.
    """
    found: dict[str, Ends] = {}
    for response in responses:
        own = found.setdefault(response.teacher, Ends(Counter(), Counter()))
        opens, closes = ends_of(response.text)
        own.opens[opens] += 1
        own.closes[closes] += 1
    return found


def ends_of(text: str) -> tuple[str, str]:
    """What one response opens with, and what it closes with."""
    bare = visible(text)
    parts = split_thinking(text)
    head, tail = bare[:_REACH], bare[-_REACH:]
    opens = closes = NOTHING
    if head.startswith("```"):
        opens = FENCE
    elif (tags := find_tags(head)) and tags[0][0] == 0:
        opens = head[slice(*tags[0])]
    elif parts.thinking is not None:
        opens = NOT_OPENED
    if len(bare) > _REACH:
        tail = tail.partition("\n")[2] or tail  # not a piece of a line, which may look bare
    if bare.endswith("```"):
        closes = FENCE
    elif (tags := find_tags(tail)) and tags[-1][1] == len(tail):
        closes = tail[slice(*tags[-1])]
    elif parts.is_open:
        closes = NOT_CLOSED
    return opens, closes
