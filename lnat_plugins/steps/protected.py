"""Regions a sentence splitter must not cut: mathematics, LaTeX environments, code.

Knows nothing of sentences. One pass over the text for code and one for mathematics, each token
handled in constant time, so the work is linear whatever the text holds. An opening mark without
its close protects nothing.

- ``$…$``: non-space inside both edges, no ASCII letter or digit before the opening dollar or
  after the closing one. A pair that looks like money is not mathematics: an amount followed by
  a word (``$5 in``), or, where no LaTeX command stands inside, a sentence end.
- ``$$…$$``, ``\\(…\\)``, ``\\[…\\]``: up to the nearest close.
- ``\\begin{x}…\\end{x}``: by name and nested; may hold blank lines.
- Fences of three or more backticks or tildes at the start of a line; may hold blank lines.
- Inline code: a run of backticks to the next run of the same length.

A blank line ends every open ``$``, ``$$``, ``\\(``, ``\\[`` and inline code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from lnat_plugins.steps.blocks import Span

# Every branch begins with a literal: the engine then jumps from candidate to candidate.
_BLANK: Final = r"\n[^\S\r\n]*(?=[\r\n])|\r\n?[^\S\r\n]*(?=[\r\n])"
_CODE: Final = re.compile(rf"``*|~~~~*|{_BLANK}")
_MATH: Final = re.compile(
    rf"\$\$?|\\(?:(begin|end)\{{([^{{}}\r\n]*)\}}|[()\[\]\\$])|{_BLANK}",
)
_FENCE_REST: Final = re.compile(r"[^`\r\n]*(?=[\r\n]|\Z)")
_FENCE_MARGIN: Final = " \t>-*+0123456789.)"
_MARGIN: Final = 24
_MONEY: Final = re.compile(r"\d[\d,.]*[KkMB%]?\s+[A-Za-z]{2}")
_SENTENCE_INSIDE: Final = re.compile(r"[.!?]\s+[A-Z]")


def protected_regions(text: str) -> list[Span]:
    """The regions of `text` to leave whole: ascending, disjoint."""
    code = _code_regions(text) if "`" in text or "~~~" in text else []
    math = _math_regions(text, code) if "$" in text or "\\" in text else []
    return _merged(code + math) if math else code


@dataclass(frozen=True)
class _Run:
    """A run of backticks or tildes, or a blank line (`mark` a line break)."""

    start: int
    end: int
    mark: str
    opens: bool  # may open a fence: first on its line, no backtick in the rest of it
    closes: bool  # may close a fence: alone on its line

    @property
    def length(self) -> int:
        return self.end - self.start


def _code_regions(text: str) -> list[Span]:
    runs = [_run(text, found.start(), found.end()) for found in _CODE.finditer(text)]
    longest_close = _longest_close(runs)
    regions: list[Span] = []
    inline: dict[int, int] = {}
    fence: _Run | None = None
    for index, run in enumerate(runs):
        if fence is not None:
            if run.closes and run.mark == fence.mark and run.length >= fence.length:
                regions.append((fence.start, run.end))
                fence = None
        elif run.mark in "\r\n":
            inline.clear()
        elif run.opens and longest_close[run.mark][index + 1] >= run.length:
            fence = run
            inline.clear()
        elif run.mark == "`":
            start = inline.get(run.length)
            if start is None:
                inline[run.length] = run.start
            else:
                regions.append((start, run.end))
                inline.clear()
    return regions


def _run(text: str, start: int, end: int) -> _Run:
    mark = text[start]
    if end - start < 3 or mark in "\r\n" or not _begins_line(text, start):
        return _Run(start, end, mark, opens=False, closes=False)
    rest = _FENCE_REST.match(text, end)
    return _Run(
        start,
        end,
        mark,
        opens=rest is not None,
        closes=rest is not None and not rest.group().strip(),
    )


def _begins_line(text: str, position: int) -> bool:
    before = text[max(0, position - _MARGIN) : position]
    at = max(before.rfind("\n"), before.rfind("\r"))
    if at < 0 and position > _MARGIN:
        return False
    return not before[at + 1 :].strip(_FENCE_MARGIN)


def _longest_close(runs: list[_Run]) -> dict[str, list[int]]:
    """For each mark and index, the longest closing fence from there on; 0 for none.

    It tells an unclosed fence apart at once, which keeps a text full of them linear.
    """
    longest = {mark: [0] * (len(runs) + 1) for mark in "`~"}
    for index in range(len(runs) - 1, -1, -1):
        run = runs[index]
        for mark, column in longest.items():
            column[index] = column[index + 1]
            if run.closes and run.mark == mark:
                column[index] = max(column[index], run.length)
    return longest


@dataclass
class _Environments:
    """Open environments by name; closing one closes those left open inside it."""

    stack: list[tuple[str, int]] = field(default_factory=list)
    open: dict[str, int] = field(default_factory=dict)

    def begin(self, name: str, position: int) -> None:
        self.stack.append((name, position))
        self.open[name] = self.open.get(name, 0) + 1

    def end(self, name: str) -> int | None:
        """Where the environment that closes here began; None if none of that name is open."""
        while self.open.get(name):
            inner, position = self.stack.pop()
            self.open[inner] -= 1
            if inner == name:
                return position
        return None


def _math_regions(text: str, code: list[Span]) -> list[Span]:
    regions: list[Span] = []
    environments = _Environments()
    began: dict[str, int] = {}  # where "$", "$$", "\\(", "\\[" was opened last
    holes = iter([*code, (len(text), len(text))])
    hole = next(holes)
    for found in _MATH.finditer(text):
        start, end = found.span()
        while start >= hole[1] and hole[0] < len(text):
            hole = next(holes)
        if start >= hole[0]:
            continue
        token = found.group()
        if token == "$":
            opened = began.pop(token, None)
            if opened is not None and _closes_dollar(text, opened, start):
                regions.append((opened, end))
            elif _opens_dollar(text, start):
                began[token] = start
        elif token == "$$":
            opened = began.pop(token, None)
            if opened is None:
                began[token] = start
            else:
                regions.append((opened, end))
        elif token in ("\\(", "\\["):
            began[token] = start
        elif token in ("\\)", "\\]"):
            opened = began.pop("\\(" if token == "\\)" else "\\[", None)
            if opened is not None:
                regions.append((opened, end))
        elif found.group(1) == "begin":
            environments.begin(found.group(2), start)
        elif found.group(1) == "end":
            opened = environments.end(found.group(2))
            if opened is not None:
                regions.append((opened, end))
        elif token[0] in "\r\n":
            began.clear()
    return regions


def _opens_dollar(text: str, position: int) -> bool:
    before, after = text[position - 1 : position], text[position + 1 : position + 2]
    return after != "" and not after.isspace() and not _is_ascii_word(before)


def _closes_dollar(text: str, opened: int, position: int) -> bool:
    if text[position - 1].isspace() or _is_ascii_word(text[position + 1 : position + 2]):
        return False
    inside = text[opened + 1 : position]
    if _MONEY.match(inside):
        return False
    return "\\" in inside or _SENTENCE_INSIDE.search(inside) is None


def _is_ascii_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _merged(regions: list[Span]) -> list[Span]:
    """The union of the regions, ascending and disjoint."""
    merged: list[Span] = []
    for start, end in sorted(regions):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
