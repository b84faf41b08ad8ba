"""Thinking part and answer part of a response, by the tags that teachers write."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_BLANK: Final = r"[\s\u200b\ufeff]*"
_NAMES: Final = r"think|thinking|thoughts?|reasoning|reflection|scratchpad|seed:think|思考"
_OPEN: Final = (
    rf"(?:<(?:{_NAMES})>|<\|(?:begin|start)_of_(?:thought|thinking|reasoning)\|>"
    r"|<\|(?:think_start|start_think|START_THINKING)\|>|\[THINK\]|◁think▷)"
)
_OPENS: Final = re.compile(_OPEN, re.IGNORECASE)
_BEGINS_OPEN: Final = re.compile(_BLANK + _OPEN, re.IGNORECASE)
_ENDS_OPEN: Final = re.compile(_OPEN + r"\s{0,16}\Z", re.IGNORECASE)
_PROMPT_END: Final = 64  # characters of a prompt that are read
_CLOSE: Final = re.compile(
    rf"</(?:{_NAMES})>|<\|end_of_(?:thought|thinking|reasoning)\|>"
    r"|<\|(?:think_end|end_think|END_THINKING)\|>|\[/THINK\]|◁/think▷",
    re.IGNORECASE,
)
_CLOSING: Final = ("</", "<|", "[/", "◁/")
"""One of these stands in whatever `_CLOSE` finds: it is slow, this is not."""
_TAG_ENDS: Final = (">", "]", "▷")

TAGS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
}
"""Opening tag -> closing tag, as the common families of models write them."""

_BARE_OPEN: Final = re.compile(_BLANK + r"think[^\S\r\n]*(?=[\r\n])")
_BARE_CLOSE: Final = re.compile(r"[\r\n][^\S\r\n]*answer[^\S\r\n]*(?=[\r\n]|\Z)")


class Parts(NamedTuple):
    """A response as its thinking part and its answer part.

    Attributes:
        thinking: between the tags; None if there is no tag, or no closing one.
        body: what follows the thinking part; all after the opening tag if none closes; the whole
            text without tags.
        is_open: a thinking part was opened and never closed.
    """

    thinking: str | None
    body: str
    is_open: bool

    @property
    def is_empty(self) -> bool:
        """Empty: an opening and a closing tag with only white space between.

        The tags stand at the beginning: `<think>`, `<thinking>`, `<thought>`, `<reasoning>`, 思考,
        `<|begin_of_thought|>`, `[THINK]`, `◁think▷`, or the lines `think` and `answer` of s1.1. A
        response that begins with a closing tag is empty too.
        """
        return self.thinking is not None and not visible(self.thinking)

    @property
    def is_filled(self) -> bool:
        """Whether there is a closed thinking part with something in it."""
        return self.thinking is not None and not self.is_empty


def split_thinking(text: str, prompt: str = "") -> Parts:
    """The thinking part and the answer part of a response.

    A prompt that ends in an opening tag, as some chat templates write it, has opened the thinking
    part of the response. A closing tag without an opening one, as in traces of R1, ends a thinking
    part that began with the text. Tags that open later in the text are not looked at.
    """
    opening, close = _BEGINS_OPEN.match(text), _CLOSE
    if opening is None and (bare := _BARE_OPEN.match(text)):
        opening, close = bare, _BARE_CLOSE
    start = opening.end() if opening else 0
    closes = close is _BARE_CLOSE or any(mark in text for mark in _CLOSING)
    closing = close.search(text, start) if closes else None
    if closing is None:
        end = prompt[-_PROMPT_END:]
        opened = end.rstrip().endswith(_TAG_ENDS) and _ENDS_OPEN.search(end) is not None
        return Parts(None, text[start:], opened or opening is not None)
    if opening is None and _OPENS.search(text, 0, closing.start()):
        return Parts(None, text, False)
    return Parts(text[start : closing.start()], text[closing.end() :], False)


def visible(text: str) -> str:
    """The text without white space, or characters of no width, at its ends."""
    return text.strip().strip("\u200b\ufeff").strip()
