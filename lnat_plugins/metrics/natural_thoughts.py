"""Two figures of NaturalThoughts: how far teachers disagree on a prompt, and reasoning strategies.

Both read the responses' text; no student is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from lnat_plugins.metrics.base import Metric, Scored, UndefinedError
from lnat_plugins.teacher_set import final_answers

COLUMN: Final = "reasoning_strategies"

_SOURCE: Final = "arXiv 2507.01921 (NaturalThoughts)"


def disagreement(rows: Sequence[Scored], window: str = "") -> list[float]:
    """1 − the share of pairs of teachers whose final answers to the prompt agree.

    The same for every response to a prompt, so that it tells prompts apart and no teachers. How
    answers are read and compared: `teacher_set.final_answers`.

    Unit: share, 0 to 1. Descriptive: 0 = all agree.
    Aggregation: mean over prompts.

    Source: NaturalThoughts, arXiv 2507.01921, which takes prompts on which models disagree for the
        difficult ones; the formula over pairs of teachers is ours.

    Raises:
        UndefinedError: fewer than two teachers have a final answer.
    """
    answers: dict[str, list[str | None]] = {}
    for row in rows:
        answer = final_answers.final_answer(row.text, row.extra)
        answers.setdefault(row.teacher, []).append(answer)
    found = final_answers.disagreement(answers)
    if found is None:
        raise UndefinedError("fewer than two teachers give a final answer to the prompt")
    return [found] * len(rows)


DISAGREEMENT = Metric(
    name="disagreement", higher_is_better=None, scope="prompt", unit="share",
    source=f"{_SOURCE}; ours: over pairs of teachers", aggregate="mean", compute=disagreement,
    reads="counts",
    of_prefix=True,
)  # fmt: skip


_BEGIN: Final = r"\b"


def _any(*words: str) -> re.Pattern[str]:
    return re.compile(_BEGIN + "(?:" + "|".join(words) + r")\b", re.IGNORECASE)


LEXICON: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType({
    "analogy": _any("analog(?:y|ous|ously)", "similar(?:ly)? to", "just like", "reminds me of"),
    "another way": _any("alternatively", "another (?:way|approach|method)", "different approach"),
    "assumption": _any("suppose", "assum(?:e|es|ing)", r"let(?:'|’)s say", "imagine (?:that|if)"),
    "backtracking": _any(
        "wait", "hold on", "on second thought", r"that(?:'|’)s (?:wrong|not right|incorrect)",
        "i made a mistake", "let me (?:reconsider|rethink|redo|start over)",
        "going back", "scratch that",
    ),
    "backward": _any("work(?:ing)? backwards?", "reverse[- ]engineer", "from the (?:end|goal)"),
    "cases": _any(r"case \d", r"(?:first|second|third|other|each|both|two|three) cases?",
                  "case by case", "on the other hand", "either way"),
    "contradiction": _any("contradict(?:s|ion|ory|ing)?", "impossible", "can(?:no|')t be true"),
    "decomposition": _any(r"step \d", "step by step", r"break (?:it|this|that|the \w+) (?:down|up)",
                          "sub-?(?:goals?|problems?|tasks?)", "first of all", "one by one"),
    "definition": _any("by definition", "recall that", "the formula for", "is defined as",
                       "the (?:theorem|rule|property|identity)"),
    "equation": _any(r"let (?:\\?\(?|\$)?[a-z] ?(?:=|be|denote|represent)", "solve for",
                     "set up (?:an|the) equation", "substitut(?:e|es|ing|ion)"),
    "estimation": _any("approximately", "roughly", "estimat(?:e|es|ing|ion)",
                       "order of magnitude"),
    "example": _any("for (?:example|instance)", "plug(?:ging)? in", r"let(?:'|’)s try",
                    "small(?:er)? (?:case|number)s?", "test (?:it |this )?with"),
    "pattern": _any("pattern", "in general", "generaliz(?:e|es|ing|ation)", "symmetr(?:y|ic)"),
    "restatement": _any("the (?:problem|question) (?:asks|says|states|wants)", "we need to find",
                        "we are given", "in other words", "what (?:is|are) (?:we )?asked"),
    "verification": _any("verif(?:y|ies|ied|ying|ication)", "double[- ]check", "let me check",
                         r"check(?:ing)? (?:my|our|the|this|that|if|again)", "sanity check",
                         "makes? sense", "to confirm"),
})  # fmt: skip
"""Reasoning strategy -> what shows it, in English. Ours: the paper asks a language model."""

_HINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "analogy": ("analog", "similar", "just like", "reminds me of"),
    "another way": ("alternatively", "another ", "different approach"),
    "assumption": ("suppose", "assum", "s say", "imagine "),
    "backtracking": (
        "wait", "hold on", "second thought", "that'", "that’", "mistake", "let me ", "going back",
        "scratch that",
    ),
    "backward": ("backward", "engineer", "from the "),
    "cases": ("case", "on the other hand", "either way"),
    "contradiction": ("contradict", "impossible", "be true"),
    "decomposition": ("step ", "break ", "sub", "first of all", "one by one"),
    "definition": (
        "by definition", "recall that", "the formula for", "is defined as", "the theorem",
        "the rule", "the property", "the identity",
    ),
    "equation": ("let ", "solve for", "set up ", "substitut"),
    "estimation": ("approximately", "roughly", "estimat", "order of magnitude"),
    "example": ("for example", "for instance", "plug", "s try", "small", "test "),
    "pattern": ("pattern", "in general", "generaliz", "symmetr"),
    "restatement": (
        "the problem ", "the question ", "we need to find", "we are given", "in other words",
        "asked",
    ),
    "verification": ("verif", "check", "sense", "to confirm"),
}  # fmt: skip
"""One of these stands in the text, in lower case, that shows the strategy: it is found sooner."""

_MAY_SHOW: Final = [
    (name, hints, re.compile(LEXICON[name].pattern.removeprefix(_BEGIN)))
    for name, hints in _HINTS.items()
]
"""With the strategy in lower case and within words too, found in a fifth of the time."""


def reasoning_strategies(text: str, extra: Mapping[str, Any]) -> frozenset[str]:
    """The distinct reasoning strategies of a response, by name.

    From its column `reasoning_strategies`, a list of names or text with commas between them; where
    that is missing or null, those of `LEXICON` that its text shows.
    """
    given = extra.get(COLUMN)
    if isinstance(given, str):
        given = given.split(",")
    if isinstance(given, list | tuple):
        return frozenset(name for one in given if (name := str(one).strip().casefold()))
    lower = text.lower()
    if not lower.isascii():  # what `re.IGNORECASE` takes for i and s
        lower = lower.replace("i\u0307", "i").replace("ı", "i").replace("ſ", "s")
    found = []
    for name, hints, may_show in _MAY_SHOW:
        for hint in hints:
            if hint in lower:
                if may_show.search(lower) and LEXICON[name].search(text):
                    found.append(name)
                break
    return frozenset(found)


def strategy_count(rows: Sequence[Scored], window: str = "") -> list[float]:
    """Distinct reasoning strategies of the response, see `reasoning_strategies`.

    Unit: strategies. Higher is better by the paper's finding, that difficult examples which need
    more diverse strategies train better from equally many rows. Longer texts show more of them.
    Aggregation: a value a response, then mean over prompts. Other responses do not change it.

    Source: NaturalThoughts, arXiv 2507.01921. Ours: a lexicon, and a count as a score.
    """
    return [float(len(reasoning_strategies(row.text, row.extra))) for row in rows]


def strategy_density(rows: Sequence[Scored], window: str = "") -> list[float]:
    """`strategy_count` per 1,000 tokens of the response.

    Unit: strategies per 1,000 tokens. Descriptive: the shortest texts have the highest density.
    """
    counts = strategy_count(rows)
    return [1000 * n / row.record.whole_tokens for n, row in zip(counts, rows, strict=True)]


STRATEGY_COUNT = Metric(
    name="strategy_count", higher_is_better=True, scope="prompt", unit="strategies",
    source=f"{_SOURCE}; ours: the lexicon", aggregate="mean", compute=strategy_count,
    reads="counts",
    of_prefix=True,
)  # fmt: skip
STRATEGY_DENSITY = Metric(
    name="strategy_density", higher_is_better=None, scope="prompt",
    unit="strategies per 1,000 tokens", source=f"{_SOURCE}; ours: the lexicon", aggregate="mean",
    compute=strategy_density, reads="counts",
    of_prefix=True,
)  # fmt: skip
