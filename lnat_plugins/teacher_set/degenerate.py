r"""Degenerate responses: answer only, answer first, empty thinking, loops, replies cut off.

Such rows often score well whatever the metric, because they are short, or easy to predict. This
file names them by their text (and by the finish reason in the row); it judges no answer and drops
no row. Each kind is defined at its function and errs on the side of silence. Time is linear in
the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from lnat_plugins.teacher_set.answers import (
    LEAD,
    n_words,
    numbers,
    shows_working,
    stated_answers,
)
from lnat_plugins.teacher_set.thinking import Parts, split_thinking, visible

KINDS: Final = ("answer only", "answer first", "empty thinking", "loop", "cut off")

STRETCH: Final = 20
"""Words that must recur in a row to count as repeated."""

_TAIL: Final = 400  # characters at the end of a text that are enough for rules about its end
_END_TOKEN: Final = re.compile(
    r"(?:<\|(?:im_end|eot_id|endoftext|end_of_text|end|eom_id|return)\|>|</s>|<eos>"
    r"|<end_of_turn>|<｜end▁of▁sentence｜>)\s*\Z"
)


@dataclass(frozen=True)
class DegenerateCount:
    """The degenerate responses of one teacher.

    Attributes:
        rows: responses seen.
        degenerate: those of at least one kind.
        kinds: kind -> responses of that kind, all of `KINDS` in that order. A response may be of
            several kinds.
    """

    rows: int
    degenerate: int
    kinds: Mapping[str, int]


def degenerate_kinds(
    text: str,
    extra: Mapping[str, Any] | None = None,
    prompt: str = "",
    among: Collection[str] = KINDS,
) -> tuple[str, ...]:
    """The kinds of degeneracy that a response shows, in the order of `KINDS`; mostly none.

    Args:
        text: the response, verbatim.
        extra: the row's other columns, for its finish reason; see `is_cut_off`.
        prompt: the prompt as text, for answers given first; see `is_answer_first`. If it ends in
            an opening thinking tag, as some chat templates do, the response is read as if it
            began with that tag.
        among: the kinds that are looked for; the time is theirs alone.
    """
    parts = split_thinking(text, prompt)
    tests: tuple[Callable[[], bool], ...] = (
        lambda: is_answer_only(parts),
        lambda: is_answer_first(parts, prompt),
        lambda: parts.is_empty,
        lambda: is_loop(parts),
        lambda: is_cut_off(text, extra or {}, parts),
    )
    return tuple(
        kind for kind, is_so in zip(KINDS, tests, strict=True) if kind in among and is_so()
    )


def count_kinds(rows: Iterable[tuple[str, Iterable[str]]]) -> dict[str, DegenerateCount]:
    """Teacher -> its count, from (teacher, kinds of one response), in order of first appearance."""
    seen: Counter[str] = Counter()
    degenerate: Counter[str] = Counter()
    by_kind: Counter[tuple[str, str]] = Counter()
    for teacher, kinds in rows:
        of_row = set(kinds)
        seen[teacher] += 1
        degenerate[teacher] += bool(of_row)
        by_kind.update((teacher, kind) for kind in of_row)
    return {
        teacher: DegenerateCount(
            rows, degenerate[teacher], {kind: by_kind[teacher, kind] for kind in KINDS}
        )
        for teacher, rows in seen.items()
    }


def in_words(counts: Mapping[str, DegenerateCount], most: int = 5) -> str:
    """ "A 3 of 10 (loop 2, cut off 1), B 1 of 9 (loop 1)", the worst teacher first; "" for none."""
    found = sorted(
        ((count.degenerate, teacher, count) for teacher, count in counts.items()),
        key=lambda one: -one[0],
    )
    named = [
        f"{teacher} {n} of {count.rows} ("
        + ", ".join(f"{kind} {n_kind}" for kind, n_kind in count.kinds.items() if n_kind)
        + ")"
        for n, teacher, count in found
        if n
    ]
    more = [f"{len(named) - most} more"] if len(named) > most else []
    return ", ".join([*named[:most], *more])


# --- answer only, answer first ---

_SHORT: Final = 300  # characters: a longer text, or first sentence, is more than an answer
_SENTENCE_WORDS: Final = 15
_BARE_WORDS: Final = 3
_EXPLAINS_WORDS: Final = 4
_STOP: Final = re.compile(r"[.!?][*_)\]\"'”’]{0,4}\s|[。！？]|[\r\n]")
_ONLY_MARKS: Final = re.compile(r"[\W_]*")
_MARKS: Final = " \t\r\n*_#$().。:：[]\\`"
_VISIBLE_LINE: Final = re.compile(r"\s*[^\r\n]+")
_ENOUGH: Final = 4000  # characters in which 20 words are looked for


def is_answer_only(parts: Parts) -> bool:
    r"""Answer only: an answer without any working, and no thinking part that has some.

    The visible text, of 300 characters at most, is one of these:

    - statements of the answer (`stated_answers`: "The answer is 18.", ``\boxed{18}``, "#### 18",
      ``<answer>18</answer>``), and beside them nothing or one sentence or line of at most 15 words
      that shows no working;
    - at most three words ("18", "Rabat", "x = 5");
    - one sentence of at most 15 words with exactly one number ("Erin will have 14 lollipops.").

    Working is an operator or equation, or a word such as "because", "so", "if", "subtract"
    (`shows_working`): "3*6=18 so 18" is not answer only.
    """
    body = visible(parts.body)
    if parts.is_open or parts.is_filled or len(body) > _SHORT or _ONLY_MARKS.fullmatch(body):
        return False
    if body.endswith(">"):  # otherwise there is no such token
        body = _END_TOKEN.sub("", body)
    stated = stated_answers(body)
    rest, reached = "", 0
    for answer in stated:
        rest, reached = rest + body[reached : answer.start] + " ", answer.end
    rest = (rest + body[reached:]).strip(_MARKS)
    if _ONLY_MARKS.fullmatch(rest):
        return bool(stated)
    if shows_working(rest) or rest.endswith(("?", "？", "…", ",")) or "```" in rest:
        return False
    if n_words(rest) > _SENTENCE_WORDS or _STOP.search(rest):
        return False
    return bool(stated) or n_words(rest) <= _BARE_WORDS or len(numbers(rest)) == 1


def is_answer_first(parts: Parts, prompt: str = "") -> bool:
    r"""Answer first: the first sentence or line gives the final answer, and working follows.

    The text, after an opening or an empty thinking part, begins with a sentence or line of at most
    300 characters that gives an answer and has no working before it:

    - it states the answer as one (`stated_answers`). The last answer stated in the rest is the
      same; if the rest states none, its last line holds that number or no number at all;
    - or, where the prompt is given, it is a sentence of at most 15 words with exactly one number,
      which the prompt does not hold and which ends the numbers of the last line ("Bill is now on
      floor 18. (3; 4 × 3 + 6 = 18.)"). Without a prompt, a first sentence that merely contains the
      number is no answer.

    What follows has four words and shows working, or has 20 words or more.
    """
    text = parts.thinking if parts.is_filled and parts.thinking else parts.body
    start = len(text) - len(text.lstrip())
    stop = _first_stop(text, start)
    first, rest = text[start:stop], text[stop:]
    n_after = n_words(rest[:_ENOUGH], STRETCH)
    if len(first) > _SHORT or n_after < _EXPLAINS_WORDS:
        return False
    if n_after < STRETCH and not shows_working(rest):
        return False
    stated = [one for one in stated_answers(first) if not shows_working(first[: one.start])]
    given = [] if stated else numbers(first)
    if not stated and (not prompt or len(given) != 1):
        return False
    last_line = numbers(rest.rstrip()[-_TAIL:].splitlines()[-1])
    if not stated:
        return (
            given == last_line[-1:]
            and given[0] not in numbers(prompt)
            and first.rstrip(" \t\r\n*_)").endswith((".", "!", "。"))
            and n_words(first) <= _SENTENCE_WORDS
            and not shows_working(first)
        )
    later = stated_answers(text[stop:] + parts.body if parts.is_filled else rest)
    if later:
        return _same(later[-1].value, stated[0].value)
    return not last_line or stated[0].value in last_line


def _first_stop(text: str, start: int) -> int:
    """Where the first sentence or line ends.

    One that leads on by a colon ("The answer would be:") includes the next line if that states
    the answer.
    """
    reach = min(len(text), start + 2 * _SHORT)
    found = _STOP.search(text, start, reach)
    if found is None:
        return reach
    first = text[start : found.end()]
    if first.rstrip(" \t\r\n*_").endswith((":", "：")) and not stated_answers(first):
        line = _VISIBLE_LINE.match(text, found.end(), reach)
        if line and stated_answers(line[0]):
            return line.end()
    return found.end()


def _same(one: str, other: str) -> bool:
    """Whether two stated values agree: equal, or one is the beginning of the other's words."""
    shorter, longer = sorted((one, other), key=len)
    return f"{longer} ".startswith(f"{shorter} ")


# --- loop ---

_CHARACTERS: Final = 4 * STRETCH  # the same stretch where words are not set apart by spaces
_UNSPACED: Final = 8  # visible characters a word: more than that is not spaced prose
_TWICE: Final = 0.45  # of the words: all is worked out twice, in the same words
_FEWEST_LINES: Final = 5  # that repeat the line before
_AGAIN_AND_AGAIN: Final = 0.1  # of the words, in a stretch that occurred twice before


def repetition(text: str) -> tuple[int, int]:
    """Words in a stretch of 20 that occurred before in the same text, and words in all.

    Words are split at white space. The earlier occurrence may overlap, as in a loop of one word.
    Time grows with the text's length.
    """
    words = tuple(text.split())
    return _repeated(words, STRETCH)[0], len(words)


def is_loop(parts: Parts) -> bool:
    """Loop: a large part of the text repeats what it had said before, word for word.

    One of these holds:

    - at least 0.45 of the words, and 40 of them, lie in a stretch of 20 words that occurred before
      (`repetition`): all is worked out twice in the same words, or more often;
    - at least 0.1 of the words, and 100 of them, lie in a stretch of 20 that occurred at least
      twice before: the text has come to a loop and goes round in it, as at a token cap;
    - at least 0.45 of the lines that hold anything, and 5 of them, say what the line before said:
      every line is written twice.

    Where a text has more than eight visible characters for each white space (Chinese, Japanese,
    "0.3333…"), the same is also asked of its visible characters, with four for each word.

    The thinking part and the answer are taken apart, so that a draft copied into the answer is no
    repetition.
    """
    pieces = [tuple(part.split()) for part in (parts.thinking or "", parts.body)]
    if _goes_round(pieces, STRETCH):
        return True
    if _says_lines_twice([*(parts.thinking or "").splitlines(), *parts.body.splitlines()]):
        return True
    joined = ["".join(words) for words in pieces]
    n_spaced = sum(map(len, pieces))
    if sum(map(len, joined)) <= _UNSPACED * n_spaced:
        return False
    return _goes_round(joined, _CHARACTERS)


def _says_lines_twice(lines: Iterable[str]) -> bool:
    filled = [stripped for line in lines if (stripped := line.strip())]
    if len(filled) <= _FEWEST_LINES:
        return False
    again = sum(line == before for before, line in pairwise(filled))
    return again >= max(_FEWEST_LINES, _TWICE * len(filled))


def _goes_round(parts: Iterable[str | tuple[str, ...]], stretch: int) -> bool:
    twice = often = total = 0
    for units in parts:
        found = _repeated(units, stretch)
        twice, often, total = twice + found[0], often + found[1], total + len(units)
    return (twice >= max(2 * stretch, _TWICE * total)) or (
        often >= max(5 * stretch, _AGAIN_AND_AGAIN * total)
    )


_GROUP: Final = 4


def _repeated(units: str | tuple[str, ...], stretch: int) -> tuple[int, int]:
    """Units that lie in a stretch that occurred before, and in one that did twice or more."""
    if len(units) <= stretch:
        return 0, 0
    # All units of a stretch that recurs stood before, and all its groups of four.
    if len(units) - len(set(units)) < stretch:
        return 0, 0
    groups = len(units) - _GROUP + 1
    fours = set(zip(units, units[1:], units[2:], units[3:], strict=False))
    if groups - len(fours) < stretch - _GROUP + 1:
        return 0, 0
    seen: dict[str | tuple[str, ...], int] = {}
    twice = often = twice_to = often_to = 0
    for start in range(len(units) - stretch + 1):
        end = start + stretch
        piece = units[start:end]
        before = seen.get(piece, 0)
        seen[piece] = before + 1
        if before:
            twice += end - max(start, twice_to)
            twice_to = end
        if before > 1:
            often += end - max(start, often_to)
            often_to = end
    return twice, often


# --- cut off ---

REASON_COLUMNS: Final = (
    "finish_reason", "done_reason", "stop_reason", "termination", "native_finish_reason",
    "finishReason", "stopReason",
)  # fmt: skip
"""Columns that may say why a reply ended."""

_CUT: Final = frozenset(
    "length max_tokens max_length max_new_tokens max_output_tokens token_cap token_limit limit "
    "max_model_len model_length model_context_window_exceeded".split()
)
_ENDED: Final = frozenset(
    "stop end_turn stop_sequence eos eos_token tool_calls tool_use function_call completed "
    "finished".split()
)
_FENCE: Final = re.compile(r"(?:\A|[\r\n])[ \t>]{0,12}(`{3,}|~{3,})")
_BREAK: Final = re.compile(r"[\r\n]")
_LONG: Final = 400  # visible characters of a text whose last words are read as prose
_LINE_WORDS: Final = 8
_DANGLING: Final = tuple(",，、;；(（+=×÷≈")
_SENTENCE_END: Final = re.compile(r"[.!?][*_)\]\"'”’]{0,4}(?=\s|\Z)|[。！？]")
_NO_PROSE: Final = re.compile(r"\s*(?:[-+*•#>|]|\(?\w{1,3}[.)]\s|\\|\$\$|<)|.*[=|:：]")
_CONNECTIVES: Final = frozenset(
    "a an the of to in by for from with and or nor but as is are was were be than which that "
    "because whose into per between their its our my these every when where while if we they "
    "le la les des du et ou que qui dans avec est el los las y o que con es der die das und oder "
    "mit ist".split()
)


def is_cut_off(text: str, extra: Mapping[str, Any], parts: Parts) -> bool:
    r"""Cut off: the reply stops in the middle.

    By the row's finish reason, if one of `REASON_COLUMNS` holds a known one: cut off for length,
    max_tokens, max_length, token_cap and the like, not cut off for stop, end_turn, eos and the
    like; nor if the text ends in an end token such as `<|im_end|>`. Else by the text:

    - a thinking part is opened and never closed, or closed with no answer behind it;
    - a code fence at the start of a line is followed by no further fence;
    - the last ``\boxed{`` is never closed and stands in the last line, or the last ``\begin{`` has
      no ``\end{`` after it;
    - the answer part has 400 characters and three sentences or more, and its last character is a
      comma, semicolon, opening bracket or one of + = × ÷ ≈;
    - such a text ends in a table row without its last bar, or in a line with a ``**`` that is
      opened and not closed, without a sentence end or a label with a colon;
    - such a text ends, in a line of at least four words, in a word that no sentence ends with
      ("the", "of", "and", "is");
    - such a text ends in a letter, in a line of at least eight words that is prose: no list item,
      heading, table row, formula, equation or label with a colon, no answer stated and none led
      up to ("so", "therefore"), while every other such line of the text ends in a sentence end
      and there are two of these, or two sentences before in the same line.
    """
    if extra:
        reasons = {
            str(extra[name]).strip().lower()
            for name in REASON_COLUMNS
            if extra.get(name) is not None
        }
        if reasons & _CUT:
            return True
        if reasons & _ENDED:
            return False
    tail = text[-_TAIL:].rstrip()
    if tail.endswith(">") and _END_TOKEN.search(tail):
        return False
    body = parts.body.rstrip()
    if parts.is_open or (parts.is_filled and not visible(body)):
        return True
    return bool(body) and (_is_unclosed(body) or _ends_in_mid_sentence(body))


def _is_unclosed(body: str) -> bool:
    opening, opened_to = "", 0
    for found in _FENCE.finditer(body) if "```" in body or "~~~" in body else ():
        if opening and found[1].startswith(opening):
            opening = ""
        elif not opening:
            opening, opened_to = found[1][:3], found.end()
    if opening and body.find(opening, opened_to) < 0:
        return True
    if body.rfind("\\begin{") > body.rfind("\\end{"):
        return True
    at = body.rfind("\\boxed{")
    if at < 0 or len(body) - at > _TAIL or _BREAK.search(body, at):
        return False
    return body.count("{", at) > body.count("}", at)


def _ends_in_mid_sentence(text: str) -> bool:
    ends = _SENTENCE_END.finditer(text)
    if len(text) < _LONG or sum(1 for _ in zip(range(3), ends, strict=False)) < 3:
        return False
    if text.endswith(_DANGLING):
        return True
    lines = text.splitlines()
    last = lines[-1].strip()
    if stated_answers(last):
        return False
    before = lines[-2].strip() if len(lines) > 1 else ""
    if last.startswith("|") and before.startswith("|") and before.endswith("|"):
        return not last.endswith("|")
    if last.count("**") % 2 and last.strip("*") and not _SENTENCE_END.search(last[-8:]):
        return ":" not in last[last.rfind("**") :]
    if not text[-1].isalpha() or n_words(last) < 4:
        return False
    if last.rsplit(None, 1)[-1].lower() in _CONNECTIVES:
        return True
    sentences = [found.end() for found in _SENTENCE_END.finditer(last)]
    cut = last[sentences[-1] :] if sentences else last
    if n_words(last) < _LINE_WORDS or _NO_PROSE.match(last) or LEAD.match(cut):
        return False
    long = (line.rstrip() for line in lines[:-1] if n_words(line) >= _LINE_WORDS)
    prose = [line for line in long if not _NO_PROSE.match(line)]
    complete = sum(1 for line in prose if _SENTENCE_END.search(line[-8:]))
    return complete == len(prose) and complete + len(sentences) >= 2
