"""Find the regions that a sentence splitter must not cut: mathematics, LaTeX environments, code.

- ``$…$``: non-space inside both edges, no ASCII letter or digit before the opening dollar or
  after the closing one. A pair that looks like money is not mathematics: an amount followed by
  a word (``$5 in``), or, without a LaTeX command inside, a sentence end.
- ``$$…$$``, ``\\(…\\)``, ``\\[…\\]``: up to the nearest closing mark.
- ``\\begin{x}…\\end{x}``: by name and nested; may hold blank lines.
- Fences of three or more backticks or tildes at the start of a line; may hold blank lines.
- Inline code: some backticks up to the next sequence of as many.

A blank line ends every open ``$``, ``$$``, ``\\(``, ``\\[`` and inline code. An opening mark that
is never closed protects nothing. One pass over the text finds code, a second one mathematics
outside code; each mark takes constant time, so the whole is linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lnat_plugins.steps.blocks import Span

# Every branch begins with a literal, so that the regex engine jumps from candidate to candidate.
_BLANK_LINE: Final = r"\n[^\S\r\n]*(?=[\r\n])|\r\n?[^\S\r\n]*(?=[\r\n])"
_CODE: Final = re.compile(rf"``*|~~~~*|{_BLANK_LINE}")
_MATH: Final = re.compile(
    rf"\$\$?|\\(?:(begin|end)\{{([^{{}}\r\n]*)\}}|[()\[\]\\$])|{_BLANK_LINE}",
)
_FENCE_REST: Final = re.compile(r"[^`\r\n]*(?=[\r\n]|\Z)")
_FENCE_INDENT: Final = " \t>-*+0123456789.)"  # blanks, quote and list marks before a fence
_MAX_INDENT: Final = 24
_MONEY: Final = re.compile(r"\d[\d,.]*[KkMB%]?\s+[A-Za-z]{2}")
_SENTENCE_INSIDE: Final = re.compile(r"[.!?]\s+[A-Z]")


def protected_regions(text: str) -> list[Span]:
    """The spans of `text` that must stay whole: ascending, disjoint."""
    code = code_regions(text)
    math = _math_regions(text, code) if "$" in text or "\\" in text else []
    if not math:
        return code
    merged: list[Span] = []
    for start, end in sorted(code + math):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def matches_outside(
    pattern: re.Pattern[str], text: str, regions: list[Span]
) -> Iterator[re.Match[str]]:
    """The matches that do not begin inside a region; the regions ascend and are disjoint."""
    remaining = iter([*regions, (len(text), len(text))])
    region = next(remaining)
    for found in pattern.finditer(text):
        while found.start() >= region[1]:
            region = next(remaining)
        if found.start() < region[0]:
            yield found


@dataclass(frozen=True)
class _CodeMark:
    """A sequence of backticks or tildes, or a blank line (`char` is its line break)."""

    start: int
    end: int
    char: str
    opens_fence: bool = False  # first on its line, no backtick in the rest of it
    closes_fence: bool = False  # alone on its line

    @property
    def length(self) -> int:
        return self.end - self.start


def code_regions(text: str) -> list[Span]:
    """The fences and the inline code of `text`: ascending, disjoint."""
    if "`" not in text and "~~~" not in text:
        return []
    marks = [_code_mark(text, *found.span()) for found in _CODE.finditer(text)]
    closed = _closed_fences(marks)
    regions: list[Span] = []
    inline: dict[int, int] = {}  # number of backticks -> where inline code may have begun
    fence: _CodeMark | None = None
    for mark in marks:
        if fence is not None:
            if mark.closes_fence and mark.char == fence.char and mark.length >= fence.length:
                regions.append((fence.start, mark.end))
                fence = None
        elif mark.char in "\r\n":
            inline.clear()
        elif mark.start in closed:
            fence = mark
            inline.clear()
        elif mark.char == "`":
            start = inline.setdefault(mark.length, mark.start)
            if start < mark.start:
                regions.append((start, mark.end))
                inline.clear()
    return regions


def _code_mark(text: str, start: int, end: int) -> _CodeMark:
    char = text[start]
    begins_line = end - start >= 3 and char in "`~" and _begins_line(text, start)
    rest = _FENCE_REST.match(text, end) if begins_line else None
    if rest is None:
        return _CodeMark(start, end, char)
    return _CodeMark(start, end, char, opens_fence=True, closes_fence=not rest.group().strip())


def _begins_line(text: str, position: int) -> bool:
    before = text[max(0, position - _MAX_INDENT) : position]
    line_break = max(before.rfind("\n"), before.rfind("\r"))
    if line_break < 0 and position > _MAX_INDENT:
        return False
    return not before[line_break + 1 :].strip(_FENCE_INDENT)


def _closed_fences(marks: list[_CodeMark]) -> set[int]:
    """Where the fences begin that another one closes.

    Backwards, in one pass: searching for the end of each would be quadratic in a text full of
    fences that nothing closes.
    """
    longest = {"`": 0, "~": 0}  # the longest closing fence after the mark
    closed = set()
    for mark in reversed(marks):
        if mark.opens_fence and longest[mark.char] >= mark.length:
            closed.add(mark.start)
        if mark.closes_fence:
            longest[mark.char] = max(longest[mark.char], mark.length)
    return closed


def _math_regions(text: str, code: list[Span]) -> list[Span]:
    regions: list[Span] = []
    opened: dict[str, int] = {}  # where "$", "$$", "\\(", "\\[" was opened last
    environments: list[tuple[str, int]] = []  # the open ones, outermost first
    open_names: Counter[str] = Counter()
    for found in matches_outside(_MATH, text, code):
        start, end = found.span()
        mark = found.group()
        began: int | None = None
        if mark == "$":
            began = opened.pop(mark, None)
            if began is not None and not _closes_dollar(text, began, start):
                began = None
            if began is None and _opens_dollar(text, start):
                opened[mark] = start
        elif mark == "$$":
            began = opened.pop(mark, None)
            if began is None:
                opened[mark] = start
        elif mark in ("\\(", "\\["):
            opened[mark] = start
        elif mark in ("\\)", "\\]"):
            began = opened.pop("\\(" if mark == "\\)" else "\\[", None)
        elif found.group(1) == "begin":
            environments.append((found.group(2), start))
            open_names[found.group(2)] += 1
        elif found.group(1) == "end" and open_names[found.group(2)]:
            # Closing an environment also closes those left open inside it.
            name = None
            while name != found.group(2):
                name, began = environments.pop()
                open_names[name] -= 1
        elif mark[0] in "\r\n":
            opened.clear()
        if began is not None:
            regions.append((began, end))
    return regions


def _opens_dollar(text: str, position: int) -> bool:
    before, after = text[position - 1 : position], text[position + 1 : position + 2]
    return not after.isspace() and not _is_ascii_word(before)


def _closes_dollar(text: str, opened: int, position: int) -> bool:
    if text[position - 1].isspace() or _is_ascii_word(text[position + 1 : position + 2]):
        return False
    inside = text[opened + 1 : position]
    if _MONEY.match(inside):
        return False
    return "\\" in inside or _SENTENCE_INSIDE.search(inside) is None


def _is_ascii_word(character: str) -> bool:
    return character.isascii() and character.isalnum()
