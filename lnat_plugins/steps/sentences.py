"""Words that decide whether a full stop ends a sentence.

Knows nothing of positions: sets of words, as data, for `_stops` and `_newlines`.

Whether a single line break ends a step.

Knows nothing of blank lines (which always cut) and regions. Each decision looks at the line
before the break once and at a few characters after it.

Whether a stop inside a line ends a sentence.

Knows nothing of line breaks and regions. Works on the few characters around the stop, so each
decision takes constant time.

The default splitter: sentences, and lines where a reasoning trace writes one thought a line.

Knows nothing of tokens or models. One pass finds protected regions (`_protect`), one finds
candidate boundaries, and each candidate is decided by looking at its surroundings (`_stops`,
`_newlines`). The work is linear in the text.
"""

from __future__ import annotations

import re
from typing import Final

from lnat_plugins.steps.blocks import Span, has_blank_line, tile
from lnat_plugins.steps.protected import protected_regions


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_END: Final = _words(
    "e.g E.g i.e I.e eg ie vs Vs cf Cf viz approx Approx ca resp w.r.t s.t a.k.a "
    "Mr Mrs Ms Mx Dr Drs Prof Rev Hon Gen Col Capt Cpt Lt Sgt Gov Sen Rep Pres Messrs Mme Mlle"
)
"""Abbreviations (without their last stop) after which the sentence always goes on."""

HONORIFICS: Final = _words("Mr. Mrs. Ms. Mx. Dr. Prof. Rev. Capt. Lt. Sgt. Gov. Sen. by By")
"""Words before a capital letter and a stop that make it an initial: "by J. Smith"."""

BEFORE_NUMBER: Final = _words(
    "no nos fig figs eq eqs eqn eqns sec secs sect ch chap vol vols p pp pg art ex thm def lem "
    "prop cor tab ref refs ver v app al par para"
)
"""Abbreviations (lower case) after which a digit or an opening bracket goes on: "Fig. 3"."""

BEFORE_DAY: Final = _words("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec")
"""Months after which a digit goes on: "Sept. 11"."""

MAY_END: Final = _words("Inc Ltd Co Corp Jr Sr St Mt Ft Ave Blvd Rd Dept Est Bros Univ Assn No")
"""Abbreviations that end a sentence only where a word that starts one follows."""

AFTER_HOUR: Final = _words(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday EST EDT CST CDT MST MDT PST PDT "
    "GMT UTC Eastern Central Mountain Pacific"
)
"""Capitalised words that may follow "5 p.m." inside a sentence."""

LABELS: Final = _words(
    "Answer Book Box Case Choice Class Clue Column Condition Constraint Corner Equation Figure "
    "Friend Group House Item Job Let Letter Level Line Method Number Option Page Part Person Phase "
    "Plan Player Point Position Problem Question Row Section Segment Set Side Solve Statement Step "
    "Team Theorem Train Type Variable Vitamin Week Year So If Then For And Or But Find Call Take "
    "Say Suppose Assume Denote Choose Pick Since Because Therefore Thus Hence"
)
"""Capitalised words before a capital letter and a stop that make it a label: "Job A. Her"."""

STARTERS: Final = _words(
    "A After Again All Alright Also Alternatively Although Another Are Answer Any As Assuming At "
    "Because Before Both But By Calculate Can Check Combining Correct Could Did Do Does Each "
    "Either Every Finally Find First For From Given Good Had Has Have He Hence Her Here Hers His "
    "Hmm How However I If In Instead Is It Its It's Just Last Later Let Let's Let’s Maybe More "
    "Most My Next No Not Nothing Now Of Oh Okay Ok On Once One Only Or Original Other Otherwise "
    "Our Out Over Perhaps Please Problem Put Remember Right Same Second She Should Similarly "
    "Since So Some Specifically Step Still Subtract Such Suppose Taking That That's That’s The "
    "Their Then There There's Therefore These They They're Third This Those Though Three Thus "
    "Time To Total Two Under Until Using Wait Was We We're Well Were What What's When Where Which "
    "While Who Whose Why Will With Without Would Yeah Yep Yes Yet You Your"
)
"""Capitalised words that begin a sentence rather than go on a name."""

CONNECTIVES: Final = _words(
    "a an the of to in on at by for from with and or nor but as is are was were be been than which "
    "that because since whose into onto per between over under about its their his her your our my "
    "this these each every if when where while"
)
"""Words (lower case) that a finished line does not end with."""

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
