r"""Where a response states its answer as an answer, and whether a text shows working.

Word lists and marks, no language model: English first, and the commonest words of Chinese,
Japanese, Korean, French, Spanish, Portuguese, Italian, German and Russian.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple

_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD: Final = re.compile(rf"[{_CJK}]{{1,2}}|[^\W{_CJK}]+(?:[.,'’][^\W{_CJK}]+)*")
_NUMBER: Final = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")

_LABEL: Final = (
    r"(?:(?<!\w)(?:final\s{1,3}|correct\s{1,3}|short\s{1,3})?(?:answer|solution)"
    r"(?:\s{1,3}(?:choice|option))?|(?<!\w)(?:correct|right)\s{1,3}(?:option|choice)"
    r"|最终答案|正确答案|答案|答え|正解|정답|(?<!\w)답|(?<!\w)(?:r[ée]ponse|respuesta|resposta|risposta"
    r"|antwort|ответ)(?:\s{1,3}(?:finale?|final|correcta?|correcte))?)"
)
_STATED: Final = re.compile(
    r"\\f?boxed\s{0,3}\{(?P<boxed>(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,80}\}){0,80}\}){1,160})\}"
    r"|<answer>\s{0,8}(?P<tag>[^<]{1,160}?)\s{0,8}</answer>"
    r"|(?<![^\r\n])####[ \t]{0,3}(?P<hash>(?!\d{1,3}[.)]\s)[-+$€£¥]?\d[^\r\n]{0,30})"
    rf"|{_LABEL}[*_]{{0,3}}\s{{0,3}}"
    r"(?:(?:is|are|would\sbe|should\sbe|must\sbe|est|es|è|é|ist|lautet|は|是|为|為|[은는]|[:=：—–])[*_]{0,3}\s{0,4}){1,3}"
    r"(?P<said>[^\r\n。！？]{1,80}?)"
    r"(?=[.!?]?[*_)\]$]{0,6}[ \t]{0,8}(?:[\r\n]|\Z)|[.!?][*_)\]$]{0,6}\s|[。！？])",
    re.IGNORECASE,
)

_HINTS: Final = (
    "boxed", "####", "answer", "solut", "opt", "cho", "答", "正解", "답", "ponse", "respuesta",
    "sposta", "antwort", "ответ",
)  # fmt: skip
"""One of these stands in lower case wherever `_STATED` finds something: it is slow, this is not."""

_WORKING: Final = re.compile(
    r"[=≈≃→⇒×÷∴∵]|\\(?:times|div|cdot|approx|implies|Rightarrow|to)(?![a-zA-Z])"
    r"|\d\s{0,3}[+*^]\s{0,3}[\d($\\]|[\w%)]\s[-−/+*]\s[\d($\\]"
    r"|(?<!\w)(?:because|since|so|therefore|thus|hence|then|if|given\sthat|first,|next,"
    r"|assum\w+|suppos\w+"
    r"|which\s(?:means|gives|is|leaves|makes)|(?:that|this)\smeans|implies|let|let[’']s"
    r"|multipl\w+|divid\w+|subtract\w*|add(?:s|ed|ing)?|calculat\w+|comput\w+|deduc\w+"
    r"|plus|minus|times|half|twice|double\w*|"
    r"donc|puisque|parce|alors|entonces|porque|portanto|então|quindi|perch[éè]|poiché"
    r"|weil|daher|denn|folglich|потому|поэтому|значит|так\sкак|следовательно)(?!\w)"
    r"|因为|因為|所以|因此|由于|由於|那么|那麼|于是|首先|然后|然後|设|設|得到|なので|だから|ため|よって"
    r"|したがって|まず|따라서|그래서|때문|먼저",
    re.IGNORECASE,
)
LEAD: Final = re.compile(
    r"\s{0,8}(?:so|therefore|thus|hence|donc|entonces|daher|因此|所以|따라서|したがって|よって)"
    r"(?![a-z])[,，、]?\s{0,3}",
    re.IGNORECASE,
)
"""A word that leads up to a conclusion, at the start of a sentence."""

_MARKUP: Final = re.compile(r"\\(?:text\w*|math\w*|quad|left|right|[()\[\],;!])|[*_$`{}\\#]")
_EQUATION: Final = re.compile(r"\s*[a-z]\w{0,2}\s?=\s?[^=]{1,24}", re.IGNORECASE)
_MOST_WORDS: Final = 8  # of a stated answer that is no list


class Stated(NamedTuple):
    """An answer that the text states as one: where it stands, and its value, normalised."""

    start: int
    end: int
    value: str


def n_words(text: str, most: int | None = None) -> int:
    """Words of a text, counted up to `most`; two Chinese or Japanese characters count as one."""
    if most is None:
        return len(_WORD.findall(text))
    return sum(1 for _ in islice(_WORD.finditer(text), most))


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, "1,000.50" as "1000.5"."""
    return [_plain(found) for found in _NUMBER.findall(text)]


def _plain(number: str) -> str:
    whole, _, part = number.replace(",", "").partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def shows_working(text: str) -> bool:
    """Whether a text calculates or argues: an operator, an equation, or a word such as "because".

    A word that only leads up to the first sentence ("So the answer is 18.") is none, nor is a
    fraction, a range or a lone "x = 5".
    """
    plain = _MARKUP.sub(lambda found: found[0] if found[0] == "\\" else "", text)
    lead = LEAD.match(plain)
    rest = plain[lead.end() if lead else 0 :]
    if _EQUATION.fullmatch(rest) and len(_WORKING.findall(rest)) == 1:
        return False
    return _WORKING.search(rest) is not None


def stated_answers(text: str) -> list[Stated]:
    r"""The places that state an answer as one, in order.

    These are ``\boxed{X}``, ``<answer>X</answer>``, a line ``#### X`` with a number, and a label
    followed by a copula or colon: "the answer is X", "**Answer:** X", "the correct option is X",
    答案是X. X is short (8 words at most), shows no working and is not a negation.
    """
    folded = text.casefold()
    if not any(hint in folded for hint in _HINTS):
        return []
    found = []
    for match in _STATED.finditer(text):
        raw = match[match.lastgroup or 0]
        value = _normal(raw)
        if value and n_words(raw) <= _MOST_WORDS and not value.startswith("not "):
            if not shows_working(raw):
                found.append(Stated(match.start(), match.end(), value))
    return found


def _normal(raw: str) -> str:
    """A value to compare: its first number if it has one, else its words in lower case."""
    plain = _MARKUP.sub("", raw)
    found = numbers(plain)
    return found[0] if found else " ".join(_WORD.findall(plain.lower()))
