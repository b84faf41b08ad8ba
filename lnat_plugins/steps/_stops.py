"""Whether a stop inside a line ends a sentence.

Knows nothing of line breaks and regions. Works on the few characters around the stop, so each
decision takes constant time.
"""

from __future__ import annotations

import re
from typing import Final

from lnat_plugins.steps._words import (
    AFTER_HOUR,
    BEFORE_DAY,
    BEFORE_NUMBER,
    HONORIFICS,
    LABELS,
    MAY_END,
    NEVER_END,
    STARTERS,
)

_OPENING: Final = re.compile(r"[\"'“‘«(\[{*_]{1,6}")
_GOES_ON: Final = re.compile(r"[=≤≥≈≠→⇒×÷^,;:.)\]}|&%]|<(?![/A-Za-z|])|[-+*/–—>][\s=]")
_ENUMERATOR: Final = re.compile(
    r"[\s>#*_+\-•(\[]*"
    r"(?:(?:step|case|part|section|chapter|clue|rule|phase|stage|method|option|figure|problem"
    r"|question|example|exercise|theorem|lemma|definition|table|note|point|statement|task)\s+)?"
    r"(?:\d{1,3}(?:\.\d{1,3}){0,3}|[A-Za-z]|[ivxIVX]{1,6})",
    re.IGNORECASE,
)
_ACRONYM: Final = re.compile(r"(?:[A-Za-z]{1,2}\.)+[A-Za-z]{1,2}")
_NEXT_WORD: Final = re.compile(r"[\"'“‘«(\[{*_]*([A-Za-z][A-Za-z'’]*)")
_LEFT_MARKS: Final = "\"'“‘«([{*_/—–"
_REACH: Final = 32
_STARTERS_BUT_A: Final = STARTERS - {"A"}  # "1. A = S + 5"


def ends_sentence(text: str, since: int, stop: int, run: str, after: int) -> bool:
    """Whether the stops `run` at `stop` end a sentence that goes on at `after`, on the same line.

    `since` is where the sentence or its line began, whichever is later; `text[after]` is visible.
    """
    if _continues(text, after):
        return False
    if len(run) > 1 or run == "…":
        # "A, ..., B" and "Ben ... Ana": dots that stand for something left out.
        standing = text[stop - 1 : stop]
        return not (run.strip(".…") == "" and (standing.isspace() or standing == ","))
    if run != ".":
        return True
    return not _abbreviates(text, since, stop, after)


def never_ends(line: str) -> bool:
    """Whether the line's last word is an abbreviation after which a sentence goes on."""
    return line.endswith(".") and _last_word(line[-_REACH:-1]) in NEVER_END


def _continues(text: str, after: int) -> bool:
    opening = _OPENING.match(text, after)
    at = opening.end() if opening else after
    return text[at : at + 1].islower() or _GOES_ON.match(text, after) is not None


def _abbreviates(text: str, since: int, stop: int, after: int) -> bool:
    word = _last_word(text[max(since, stop - _REACH) : stop])
    if not word:
        return False
    if word in NEVER_END:
        return True
    if len(word) <= 6 or word.isdecimal():
        head = text[max(since, stop - _REACH) : stop]
        if stop - since <= _REACH and _ENUMERATOR.fullmatch(head):
            return True
    if word.isdecimal():
        return len(word) <= 2 and _numbers_an_item(text, stop - len(word), after)
    if len(word) > 5:
        return False
    number = text[after].isdecimal()
    if (number or text[after] in "([#") and word.lower() in BEFORE_NUMBER:
        return True
    if number and word in BEFORE_DAY:
        return True
    if len(word) == 1:
        return word.isupper() and _is_initial(text, since, stop, after)
    if word == "etc":
        return not text[after].isupper()
    if word.lower() in ("a.m", "p.m"):
        return _next_word(text, after) in AFTER_HOUR
    if word in MAY_END:
        return word != "No" and _goes_on_as_name(text, after)
    return _ACRONYM.fullmatch(word) is not None and _goes_on_as_name(text, after)


def _last_word(before: str) -> str:
    if not before or before[-1].isspace():
        return ""
    return before.rsplit(None, 1)[-1].lstrip(_LEFT_MARKS)


def _next_word(text: str, after: int) -> str:
    found = _NEXT_WORD.match(text, after, after + _REACH)
    return found.group(1) if found else ""


def _goes_on_as_name(text: str, after: int) -> bool:
    word = _next_word(text, after)
    return word[:1].isupper() and word not in STARTERS


def _numbers_an_item(text: str, start: int, after: int) -> bool:
    """A list written on one line: "(three) 2. A = S" and "equations: 1. Cost"."""
    before = text[max(0, start - 3) : start]
    bare = before.rstrip()
    if not bare or bare == before:
        return False
    if bare[-1] == ":":
        return text.startswith("1.", start) and _next_word(text, after) not in _STARTERS_BUT_A
    return bare[-1] in ")]" or bare[-1].isdecimal()


def _is_initial(text: str, since: int, stop: int, after: int) -> bool:
    """An initial: in "J. K. Rowling", "by J. Smith", but not in "so x is B. Ben", "Job A. Her"."""
    following = _next_word(text, after)
    if len(following) == 1 and text[after + 1 : after + 2] == ".":
        return True
    if not following[:1].isupper() or following in STARTERS:
        return False
    words = text[max(since, stop - _REACH) : stop].split()
    if len(words) < 2:
        return True
    previous = words[-2].lstrip(_LEFT_MARKS)
    if previous in HONORIFICS or (
        len(previous) == 2 and previous[0].isupper() and previous[1] == "."
    ):
        return True
    return (
        previous.isalpha() and previous.istitle() and len(previous) > 1 and previous not in LABELS
    )
