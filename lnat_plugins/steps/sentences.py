"""The default splitter, `sentence`: sentences, and lines where a trace writes one thought a line.

How a text is cut, top down in this file:

1. `find_tags` finds tags and role markers; the text between two of them is cut on its own, so
   that the cuts are the same whether a tag stands on a line of its own or not.
2. `protected_regions` finds formulas and code, which are never cut.
3. `_boundaries` goes through the candidates: stops before white space, CJK stops, line breaks.
4. `_ends_sentence` decides a stop inside a line, `_ends_line` a line break. Each reads a few
   characters around the candidate and the word lists at the end of this file.
5. `join_markup` joins what holds only markup to the piece after it, `_join_fragments` what is too
   short to be a step to a neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lnat_plugins.steps.blocks import Span, has_blank_line, tile
from lnat_plugins.steps.markers import find_tags, join_markup, without_tags
from lnat_plugins.steps.protected import matches_outside, protected_regions

_CLOSERS: Final = "\"'”’»)\\]}*_」』）】》〉"
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_EMOJI: Final = "\u2600-\u26ff\u2705\u2713-\u2718\u274c\ufe0f\u200d\U0001f300-\U0001faff"
_CANDIDATE: Final = re.compile(
    # One set first, so that the regex engine jumps from candidate to candidate; no branch can
    # fail after more than a few characters, so no text is read twice.
    r"[.!?…।؟۔。！？；｡．\r\n](?:"
    r"(?<=[\r\n])(?P<line_break>\s*)"
    rf"|(?:(?<=[。！？；｡])|(?<=[{_CJK}]…)|(?<=．)(?!\d))(?P<cjk>[。！？；｡…!?]*[{_CLOSERS}]*)"
    rf"|(?<=[.!?])(?P<glued>[!?]*[{_CLOSERS}]*)(?=[{_CJK}])"
    rf"|(?<=[.!?…।؟۔])(?![^\W_])(?P<more_stops>[.!?…]*)[{_CLOSERS}]*"
    rf"(?:\x20?[{_EMOJI}])*[^\S\r\n]*"
    r")"
)
_TABLE_ROW: Final = re.compile(r"\|[^\r\n]*\|[^\S\r\n]*(?=[\r\n]|\Z)")


def split_sentences(text: str) -> list[Span]:
    r"""Sentences and complete lines.

    Never cut: what `protected_regions` finds, and rows of markdown tables between pipes.

    Cut, with the closing quotes, brackets, emphasis, check marks and emoji that follow:

    1. after ``.``, ``!``, ``?``, ``…`` and runs of them, where white space follows, unless the
       next word begins with a lower-case letter or an operator or punctuation mark follows;
    2. after ``。！？；`` anywhere, after ``…`` that follows a CJK character, after ``．`` but not
       before a digit, and after ``.``, ``!``, ``?`` inside CJK text: before a CJK character and
       after a word that holds one, or an equation's end (``先算3+5=8.然后``).

    A single full stop does not end a sentence after an abbreviation (``e.g.``, ``Dr.``; ``Fig.``
    and ``No.`` before a number; ``U.S.``, ``Inc.`` unless a word that starts sentences follows;
    ``a.m.`` unless a capital follows), an initial (``J. K. Rowling``), an enumerator at the start
    of a sentence or line (``1.``, ``a.``, ``Step 3.``); nor do dots that stand alone as an
    omission (``1, 2, ... N``). Decimals, thousands, URLs and e-mail addresses hold no white space
    and so are never cut.

    Line breaks: a blank line always cuts. A single one cuts before and after list items, headings,
    table rows, displayed mathematics, fences, rulers and tags alone on a line; after a line that
    ends in a stop or a colon; and elsewhere unless the sentence continues: the next line begins
    with a lower-case word (not an equation) or a closing bracket, or this one ends in a comma, an
    opening bracket, an operator or a connecting word, or is wide prose that goes on with a name.

    A tag (see `find_tags`) ends the piece before it, whatever white space surrounds it. A piece
    that holds only tags or other markup (rules, fences, headings' marks, ``**Final Answer**``)
    joins the piece after it, at the end of the text the one before it.

    A piece of fewer than four visible characters, tags not counted, joins the piece before it, or
    the one after it if it is an enumerator or an opening mark.

    Does not: cut at colons, semicolons or dashes inside a line; cut between sentences without
    white space between them; cut before an enumerator inside a line; know abbreviations of
    languages other than English; keep quoted or bracketed sentences together.
    """
    tags = find_tags(text)
    blanked = without_tags(text, tags)
    pieces = join_markup(blanked, tile(text, _cuts(text, tags)))
    return _join_fragments(blanked, pieces)


def _cuts(text: str, tags: list[Span]) -> Iterator[int]:
    """Where steps end, ascending: before tags, and inside the text between two of them."""
    begin = tag = 0  # where the text between two tags began, and the tags before it
    for start, end in [*tags, (len(text), len(text))]:
        part = text[begin:start].lstrip()
        begin = start - len(part)
        if part:
            yield tag
            yield from (begin + cut for cut in _boundaries(part, protected_regions(part)))
            tag = start
        begin = end


def _boundaries(text: str, regions: list[Span]) -> list[int]:
    """Where steps end, ascending; never inside `regions`."""
    cuts: list[int] = []
    line = cut = 0  # where the current line and the current sentence began
    row = _row_end(text, 0)
    for found in matches_outside(_CANDIDATE, text, regions):
        start, end = found.span()
        if end == len(text):
            break
        if found["line_break"] is not None:
            ends_step = has_blank_line(text[start:end]) or _ends_line(text, line, start, end)
            line, row = end, _row_end(text, end)
        elif start < row:
            continue
        elif found["cjk"] is not None:
            ends_step = True
        elif found["glued"] is not None:
            ends_step = _ends_cjk_sentence(text, max(line, cut), start)
        else:
            stops = text[start] + found["more_stops"]
            on_this_line = text[end - 1].isspace() and text[end] not in "\r\n"
            ends_step = on_this_line and _ends_sentence(text, max(line, cut), start, stops, end)
        if ends_step:
            cuts.append(end)
            cut = end
    return cuts


def _row_end(text: str, start: int) -> int:
    found = _TABLE_ROW.match(text, start)
    return found.end() if found else start


# --- a stop inside a line ---

_REACH: Final = 32  # how many characters before and after a stop are read at most
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


def _ends_sentence(text: str, since: int, stop: int, stops: str, after: int) -> bool:
    """Whether the marks `stops` at `stop` end a sentence.

    `since` is where the sentence or its line began, whichever is later. `text[after]` is the next
    visible character, on the same line.
    """
    opening = _OPENING.match(text, after)
    first_letter = opening.end() if opening else after
    if text[first_letter : first_letter + 1].islower() or _GOES_ON.match(text, after):
        return False
    if len(stops) > 1 or stops == "…":
        # Dots that stand for something omitted: "A, ..., B" and "Ben ... Ana".
        before = text[stop - 1 : stop]
        return bool(stops.strip(".…")) or not (before.isspace() or before == ",")
    return stops != "." or not _is_abbreviation(text, since, stop, after)


_CJK_NUMBERED: Final = re.compile(
    r"(?:[图表例式题第步問図]|步骤|情况|方法|选项|问题|定理|引理|手順)\s?\d{1,3}\Z"
)
_HOLDS_CJK: Final = re.compile(f"[{_CJK}]")


def _ends_cjk_sentence(text: str, since: int, stop: int) -> bool:
    """Whether an ASCII mark at `stop`, with a CJK character right after it, ends a sentence."""
    if text[stop] != ".":
        return True
    head = text[max(since, stop - _REACH) : stop]
    word = _last_word(head)
    if not word or _ENUMERATOR.fullmatch(head) or _CJK_NUMBERED.search(head):
        return False
    before = head[: len(head) - len(word)].rstrip()
    return _HOLDS_CJK.search(word) is not None or "=" in word or before.endswith("=")


def _is_abbreviation(text: str, since: int, stop: int, after: int) -> bool:
    """Whether the full stop at `stop` belongs to an abbreviation, an initial or an enumerator."""
    head = text[max(since, stop - _REACH) : stop]
    word = _last_word(head)
    if not word:
        return False
    if word in _NEVER_END:
        return True
    if len(word) <= 6 and stop - since <= _REACH and _ENUMERATOR.fullmatch(head):
        return True
    if word.isdecimal():
        return len(word) <= 2 and _numbers_an_item(text, stop - len(word), after)
    if len(word) > 5:
        return False
    number = text[after].isdecimal()
    if (number or text[after] in "([#") and word.lower() in _BEFORE_NUMBER:
        return True
    if number and word in _BEFORE_DAY:
        return True
    if len(word) == 1:
        return word.isupper() and _is_initial(text, head, after)
    if word == "etc":
        return not text[after].isupper()
    if word.lower() in ("a.m", "p.m"):
        return _next_word(text, after) in _AFTER_HOUR
    if word in _MAY_END:
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
    return word[:1].isupper() and word not in _STARTERS


def _numbers_an_item(text: str, start: int, after: int) -> bool:
    """Whether the figure at `start` numbers an item in a line: "(three) 2. A", "sums: 1. Cost"."""
    before = text[max(0, start - 3) : start].rstrip()
    if before.endswith(":"):
        following = _next_word(text, after)  # "1. A = S + 5": here "A" is a quantity
        return text.startswith("1.", start) and (following == "A" or following not in _STARTERS)
    return before.endswith((")", "]")) or before[-1:].isdecimal()


def _is_initial(text: str, head: str, after: int) -> bool:
    """Whether a capital is an initial: in "J. K. Rowling", "by J. Smith"; not in "x is B. Ben"."""
    following = _next_word(text, after)
    if len(following) == 1 and text[after + 1 : after + 2] == ".":
        return True
    if not following[:1].isupper() or following in _STARTERS:
        return False
    words = head.split()
    if len(words) < 2:
        return True
    previous = words[-2].lstrip(_LEFT_MARKS)
    is_initial = len(previous) == 2 and previous[0].isupper() and previous[1] == "."
    is_name = previous.isalpha() and previous.istitle() and len(previous) > 1
    return previous in _HONORIFICS or is_initial or (is_name and previous not in _LABELS)


# --- a single line break ---

_BLOCK_STARTS: Final = re.compile(
    r"[*_]{0,3}(?:[-+*•‣◦▪●–—]\s"  # list items
    r"|\(?(?:\d{1,3}(?:\.\d{1,3}){0,3}|[A-Za-z]|[ivxIVX]{1,5})[.):](?:\s|[*_]))"
    r"|#{1,6}\s|>\s?|\||```|~~~|\\\[|\$\$|\\begin\{"
    r"|[-*_=]{3,}[^\S\r\n]*(?=[\r\n]|\Z)"  # rulers
    r"|</?[A-Za-z][\w-]{0,20}>"
)
_BLOCK_LINE: Final = re.compile(
    r"#{1,6}\s|\|(?=.*\|\Z)|[-*_=]{3,}\Z|</?[A-Za-z][\w-]{0,20}>\Z", re.DOTALL
)
_COMPLETE: Final = re.compile(rf"[.!?…:।؟۔。！？；｡：][{_CLOSERS}]{{0,6}}\Z")
_EQUATION: Final = re.compile(r"[a-z][0-9₀-₉'′²³]{0,3}\s?[=+−*/^<>≤≥≈≠×÷-]|[a-z]{1,12}\s?=")
_WORD: Final = re.compile(r"[A-Za-z'’]+")
_OPEN_ENDED: Final = frozenset(",([{=+×÷≈≤≥&")
_FULL_WIDTH: Final = 60  # characters; a shorter line of prose was not wrapped at a margin


def _ends_line(text: str, line: int, stop: int, after: int) -> bool:
    """Whether a step ends at the line break at `stop`.

    `line` is where the line before it began; `text[after]` is the next visible character.
    """
    before = text[line:stop].rstrip()
    if not before:
        return False
    if _BLOCK_STARTS.match(text, after) or _BLOCK_LINE.match(before):
        return True
    if _COMPLETE.search(before, max(0, len(before) - 8)):
        return not (before.endswith(".") and _last_word(before[-_REACH:-1]) in _NEVER_END)
    last, following = before[-1], text[after]
    if following.islower():
        return _EQUATION.match(text, after) is not None
    if last in _OPEN_ENDED or following in ")]}":
        return False
    if text.endswith("  ", line, stop):
        return True  # two blanks before a line break: markdown shows the break
    return not _is_wrapped(before, text, after)


def _is_wrapped(before: str, text: str, after: int) -> bool:
    """Whether prose was broken at a margin although a capital or a figure follows."""
    if not before[-1].islower():
        return False
    if before[before.rfind(" ") + 1 :] in _CONNECTIVES:
        return True
    if len(before) < _FULL_WIDTH or not text[after].isupper() or "=" in before:
        return False
    word = _WORD.match(text, after, after + 24)
    return word is not None and word.group() not in _STARTERS


# --- pieces that are too short ---

_MIN_VISIBLE: Final = 4
_ENOUGH_VISIBLE: Final = re.compile(rf"(?:\s*\S){{{_MIN_VISIBLE}}}")
_LEADS_ON: Final = re.compile(
    r"[-+•>]|#+|[(\[{<\"'“‘«「『（【《]+|[*_]{1,2}|[(\[*_]*(?:\d+|[A-Za-z]|[ivxIVX]+)[.):][*_)\]]*"
)


def _join_fragments(text: str, spans: list[Span]) -> list[Span]:
    """Join each fragment to the piece before it, or after it if it leads on to that one."""
    joined: list[Span] = []
    waiting = -1  # where the fragments that wait for the next piece began
    visible = 0  # how many visible characters they hold
    for start, end in spans:
        if waiting < 0 and _ENOUGH_VISIBLE.match(text, start, end):
            joined.append((start, end))
            continue
        piece = "".join(text[start:end].split())
        begin = start if waiting < 0 else waiting
        visible += len(piece)
        if visible >= _MIN_VISIBLE:
            joined.append((begin, end))
        elif joined and not _LEADS_ON.fullmatch(piece):
            joined[-1] = (joined[-1][0], end)
        else:
            waiting = begin
            continue
        waiting, visible = -1, 0
    if waiting >= 0:
        begin = joined.pop()[0] if joined else waiting
        joined.append((begin, len(text)))
    return joined


# --- the words ---


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Abbreviations (without their last stop) after which the sentence always goes on.
_NEVER_END: Final = _words(
    "e.g E.g i.e I.e eg ie vs Vs cf Cf viz approx Approx ca resp w.r.t s.t a.k.a "
    "Mr Mrs Ms Mx Dr Drs Prof Rev Hon Gen Col Capt Cpt Lt Sgt Gov Sen Rep Pres Messrs Mme Mlle"
)

# Words before a capital letter and a stop that make it an initial: "by J. Smith".
_HONORIFICS: Final = _words("Mr. Mrs. Ms. Mx. Dr. Prof. Rev. Capt. Lt. Sgt. Gov. Sen. by By")

# Abbreviations (lower case) after which a digit or an opening bracket goes on: "Fig. 3".
_BEFORE_NUMBER: Final = _words(
    "no nos fig figs eq eqs eqn eqns sec secs sect ch chap vol vols p pp pg art ex thm def lem "
    "prop cor tab ref refs ver v app al par para"
)

# Months after which a digit goes on: "Sept. 11".
_BEFORE_DAY: Final = _words("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec")

# Abbreviations that end a sentence only where a word that starts one follows.
_MAY_END: Final = _words("Inc Ltd Co Corp Jr Sr St Mt Ft Ave Blvd Rd Dept Est Bros Univ Assn No")

# Capitalised words that may follow "5 p.m." inside a sentence.
_AFTER_HOUR: Final = _words(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday EST EDT CST CDT MST MDT PST PDT "
    "GMT UTC Eastern Central Mountain Pacific"
)

# Capitalised words before a capital letter and a stop that make it a label: "Job A. Her".
_LABELS: Final = _words(
    "Answer Book Box Case Choice Class Clue Column Condition Constraint Corner Equation Figure "
    "Friend Group House Item Job Let Letter Level Line Method Number Option Page Part Person Phase "
    "Plan Player Point Position Problem Question Row Section Segment Set Side Solve Statement Step "
    "Team Theorem Train Type Variable Vitamin Week Year So If Then For And Or But Find Call Take "
    "Say Suppose Assume Denote Choose Pick Since Because Therefore Thus Hence"
)

# Capitalised words that begin a sentence rather than go on a name.
_STARTERS: Final = _words(
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

# Words (lower case) that a finished line does not end with.
_CONNECTIVES: Final = _words(
    "a an the of to in on at by for from with and or nor but as is are was were be been than which "
    "that because since whose into onto per between over under about its their his her your our my "
    "this these each every if when where while"
)
