r"""The final answer of a response, in a form in which equal answers are equal text.

Read from the row's column `final_answer`; else from the last place that states an answer as one
(`\boxed{X}`, "the answer is X", ...: see `answers.stated_answers`); else the last number of the
answer part. No language model, and no algebra: x + 1 and 1 + x are two answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any, Final

from lnat_plugins.teacher_set.answers import stated_answers
from lnat_plugins.teacher_set.thinking import split_thinking

COLUMN: Final = "final_answer"

_FRACTION: Final = re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_WRAPPED: Final = re.compile(r"\\(?:text\w*|math\w*|boxed|fbox|operatorname)\s*\{([^{}]*)\}")
_LATEX: Final = re.compile(
    r"\\(?:left|right|quad|qquad|displaystyle|[()\[\],;:! ])|\\(?=[$%#&_])|\\\Z"
)
_CURRENCY_OR_MARK: Final = re.compile(r"[*_$€£¥`]|(?<=\d)\s?(?:%|°|\^\{?\\circ\}?)")
_AMOUNT: Final = r"[-−+]?(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?|[-−+]?\.\d+"
_NUMBER: Final = re.compile(rf"(?:{_AMOUNT})(?:\s*/\s*\d+)?")
_LAST_NUMBER: Final = re.compile(
    r"(?:(?<![\w.)\]}])[-−])?(?<![\w.])(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?!\w*[\w])"
)
_NAMED: Final = re.compile(r"[a-z]\w{0,3}\s*=\s*(?=[^=]+\Z)", re.IGNORECASE)
_UNIT: Final = re.compile(r"\s*[^\W\d]+(?:[\s/^-]+[^\W\d]+){0,2}\s*")
_LOOSE: Final = re.compile(r"(?<=\W) | (?=\W)")
_ROUNDS: Final = 10
_SPACE: Final = "".join(one for one in map(chr, range(0x3001)) if one.isspace())
_BEGIN: Final = f"{_SPACE},;:!。"
_END: Final = f"{_BEGIN}."
_TAIL: Final = 2000  # characters in which the last number is looked for


def final_answer(text: str, extra: Mapping[str, Any] | None = None) -> str | None:
    """The answer in its normal form; None if the response states none and holds no number.

    Args:
        text: the response, verbatim.
        extra: the row's other columns; `final_answer` among them wins, but for null and blanks.
    """
    given = (extra or {}).get(COLUMN)
    if given is not None and not isinstance(given, dict | list):
        if found := normal_answer(str(given)):
            return found
    parts = split_thinking(text)
    if parts.is_open:
        return None
    body = parts.body
    if marked := _MARKED.findall(body):
        if found := normal_answer("".join(marked[-1])):
            return found
    if stated := stated_answers(body):
        sentence = body[stated[-1].start : stated[-1].end]
        value = _SAID.sub("", sentence, count=1)
        found = normal_answer(value)
        if _NUMBER.fullmatch(found) or not any(map(str.isdigit, found)):
            return found or stated[-1].value
        return _last_number(value)
    return _last_number(body[-_TAIL:])


_MARKED: Final = re.compile(
    r"\\f?boxed\s{0,3}\{((?:[^{}]|\{(?:[^{}]|\{[^{}]{0,80}\}){0,80}\}){1,160})\}"
    r"|<answer>\s{0,8}([^<]{1,160}?)\s{0,8}</answer>"
    r"|(?:\A|(?<=\n))####[ \t]{0,3}([^\r\n]{1,80})",
    re.IGNORECASE,
)
_SAID: Final = re.compile(
    r".*?(?:\b(?:is|are|be|est|es|ist|lautet)\b|[:：=是為为はè은는])[*_:：\s]*",
    re.DOTALL | re.IGNORECASE,
)
_BOLD: Final = re.compile(r"\*\*(.{1,80}?)\*\*|\\mathbf\{([^{}]{1,80})\}")


def _last_number(text: str) -> str | None:
    """The last number of the last text in bold on the last line, if it has one, else of all."""
    *_, line = text.rstrip().splitlines() or [""]
    bold = ["".join(found) for found in _BOLD.findall(line)]
    numbers = _LAST_NUMBER.findall(bold[-1] if bold else "") or _LAST_NUMBER.findall(text)
    return normal_answer(numbers[-1]) if numbers else None


def normal_answer(answer: str) -> str:
    r"""A normal form of a short answer: equal numbers are equal, and so is equal text.

    A number, with a currency, a percent sign or a unit of up to three words, is that number as a
    fraction in lowest terms: "$1,200.50", "1200.5 dollars" -> "2401/2", "\frac{2}{4}" -> "1/2".
    Anything else is its text in lower case, without markup, loose blanks and a full stop. "" if
    nothing is left. The normal form of a normal form is itself.
    """
    for _ in range(_ROUNDS):
        before, answer = answer, _stripped(answer)
        if answer == before:
            break
    return answer


def _stripped(answer: str) -> str:
    """What is left of an answer without its outermost marks, blanks and units."""
    plain = _FRACTION.sub(r"\1/\2", answer)
    for _ in range(3):
        plain = _WRAPPED.sub(r" \1 ", plain)
    plain = _CURRENCY_OR_MARK.sub("", _LATEX.sub("", plain)).lstrip(_BEGIN).rstrip(_END)
    plain = _NAMED.sub("", plain, count=1) if _NAMED.match(plain) else plain
    if match := _NUMBER.match(plain):
        rest = plain[match.end() :]
        if not rest.strip() or _UNIT.fullmatch(rest):
            return _exact(match[0])
    return _LOOSE.sub("", " ".join(plain.casefold().split()))


def _exact(number: str) -> str:
    top, _, bottom = "".join(number.replace(",", "").replace("−", "-").split()).partition("/")
    if bottom and not int(bottom):
        return number
    return str(Fraction(top) / Fraction(bottom or 1))


def disagreement(answers: Mapping[str, Sequence[str | None]]) -> float | None:
    """1 − the share of pairs of teachers whose final answers agree; 0 = all agree.

    A pair of teachers with several answers counts by the share of their pairs that agree. An
    answer of None takes no part. None if fewer than two teachers have an answer.

    Args:
        answers: teacher -> its final answers to one prompt, in normal form.

    Source: NaturalThoughts, arXiv 2507.01921, which selects prompts on which models disagree;
        the formula over pairs of teachers is ours.
    """
    stated = [own for found in answers.values() if (own := [one for one in found if one])]
    if len(stated) < 2:
        return None
    agree = [
        sum(a == b for a in ours for b in theirs) / (len(ours) * len(theirs))
        for ours, theirs in combinations(stated, 2)
    ]
    return 1 - sum(agree) / len(agree)
