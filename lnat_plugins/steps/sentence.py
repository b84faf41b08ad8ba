"""The default splitter: sentences, and lines where a reasoning trace writes one thought a line.

Knows nothing of tokens or models. One pass finds protected regions (`_protect`), one finds
candidate boundaries, and each candidate is decided by looking at its surroundings (`_stops`,
`_newlines`). The work is linear in the text.
"""

from __future__ import annotations

import re
from typing import Final

from lnat_plugins.steps._newlines import CLOSERS, ends_line
from lnat_plugins.steps._protect import protected_regions
from lnat_plugins.steps._span import Span, tile
from lnat_plugins.steps._stops import ends_sentence
from lnat_plugins.steps.blocks import has_blank_line

_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_MARKS: Final = "\u2600-\u26ff\u2705\u2713-\u2718\u274c\ufe0f\u200d\U0001f300-\U0001faff"
_CANDIDATE: Final = re.compile(
    # One set first, so that the engine jumps from candidate to candidate; no branch can fail
    # after more than a few characters, so no text is read twice.
    r"[.!?…।؟۔。！？；｡\r\n](?:"
    r"(?<=[\r\n])(?P<gap>\s*)"
    rf"|(?:(?<=[。！？；｡])|(?<=[{_CJK}]…))(?P<cjk>[。！？；｡…!?]*[{CLOSERS}]*)"
    rf"|(?<=[.!?…।؟۔])(?![^\W_])(?P<run>[.!?…]*)[{CLOSERS}]*(?:\x20?[{_MARKS}])*[^\S\r\n]*"
    r")"
)
_ROW: Final = re.compile(r"\|[^\r\n]*\|[^\S\r\n]*(?=[\r\n]|\Z)")
_VISIBLE: Final = re.compile(r"(?:\s*\S){4}")
_LEADS_ON: Final = re.compile(
    r"[-+•>]|#+|[(\[{<\"'“‘«「『（【《]+|[*_]{1,2}|[(\[*_]*(?:\d+|[A-Za-z]|[ivxIVX]+)[.):][*_)\]]*"
)
_FRAGMENT: Final = 4


def split_sentences(text: str) -> list[Span]:
    r"""Sentences and complete lines.

    Never cut: mathematics, LaTeX environments, code (see `_protect`), and rows of markdown tables
    that begin and end with a pipe.

    Cut, with the closing quotes, brackets, emphasis, check marks and emoji that follow:

    1. after ``.``, ``!``, ``?``, ``…`` and runs of them, where white space follows, unless the
       next word begins with a lower-case letter or an operator or punctuation mark follows;
    2. after ``。！？；`` anywhere, and after ``…`` that follows a CJK character.

    A single full stop does not end a sentence after an abbreviation (``e.g.``, ``Dr.``; ``Fig.``
    and ``No.`` before a number; ``U.S.``, ``Inc.`` unless a word that starts sentences follows;
    ``a.m.`` unless a capital follows), an initial (``J. K. Rowling``), an enumerator at the start
    of a sentence or line (``1.``, ``a.``, ``Step 3.``); nor do dots that stand alone as an
    omission (``1, 2, ... N``). Decimals, thousands, URLs and e-mail addresses hold no white space
    and so are never cut.

    Line breaks: a blank line always cuts. A single one cuts before and after list items, headings,
    table rows, displayed mathematics, fences, rulers and tags alone on a line; after a line that
    ends in a stop or a colon; and otherwise unless the line reads on: the next begins with a
    lower-case word (not an equation) or a closing bracket, or this one ends in a comma, an opening
    bracket, an operator or a connecting word, or is wide prose that goes on with a name.

    A piece of fewer than four visible characters joins the piece before it, or the one after it
    if it is an enumerator or an opening mark.

    Does not: cut at colons, semicolons or dashes inside a line; part sentences with no white space
    between them; cut before an enumerator inside a line; know abbreviations of languages other
    than English; keep quoted or bracketed sentences together.
    """
    return _join_fragments(text, tile(text, _boundaries(text, protected_regions(text))))


def _boundaries(text: str, regions: list[Span]) -> list[int]:
    cuts: list[int] = []
    length = len(text)
    holes = iter([*regions, (length, length)])
    hole = next(holes)
    line = cut = 0
    row = _row_end(text, 0)
    for found in _CANDIDATE.finditer(text):
        start, end = found.span()
        if end == length:
            break
        while start >= hole[1] and hole[0] < length:
            hole = next(holes)
        if start >= hole[0]:
            continue
        gap = found["gap"]
        if gap is not None:
            space = text[start:end]
            if (gap and has_blank_line(space)) or ends_line(text, line, start, end):
                cuts.append(end)
                cut = end
            line = end
            row = _row_end(text, end)
        elif start < row:
            continue
        elif found["cjk"] is not None:
            cuts.append(end)
            cut = end
        elif text[end - 1].isspace() and text[end] not in "\r\n":
            run = text[start] + found["run"]
            if ends_sentence(text, max(line, cut), start, run, end):
                cuts.append(end)
                cut = end
    return cuts


def _row_end(text: str, start: int) -> int:
    """Where the table row that begins here ends; `start` if none does."""
    if not text.startswith("|", start):
        return start
    found = _ROW.match(text, start)
    return found.end() if found else start


def _join_fragments(text: str, spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    carried = -1  # where fragments began that wait for the next piece
    visible = 0  # how many visible characters wait
    for start, end in spans:
        if carried < 0 and _VISIBLE.match(text, start, end):
            joined.append((start, end))
            continue
        piece = "".join(text[start:end].split())
        begin = start if carried < 0 else carried
        visible += len(piece)
        if visible >= _FRAGMENT:
            joined.append((begin, end))
        elif joined and not _LEADS_ON.fullmatch(piece):
            joined[-1] = (joined[-1][0], end)
        else:
            carried = begin
            continue
        carried, visible = -1, 0
    if carried >= 0:
        begin = joined.pop()[0] if joined else carried
        joined.append((begin, len(text)))
    return joined
