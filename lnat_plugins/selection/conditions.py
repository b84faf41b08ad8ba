"""Conditions on prompts: `where: disagreement >= 0.3` keeps a prompt's rows or drops them all."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.ranking.table import Floats
from lnat_plugins.selection.base import tolerance
from lnat_plugins.teacher_set import final_answers
from lnat_plugins.teacher_set.prompts import Candidate

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
)
_WRITTEN: Final = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?)\s*")


def disagreement(rows: Sequence[Candidate]) -> float:
    """1 − the share of pairs of teachers whose final answers agree, as the metric of that name."""
    answers: dict[str, list[str | None]] = {}
    for row in rows:
        answer = final_answers.final_answer(row.text, row.response.extra)
        answers.setdefault(row.teacher, []).append(answer)
    found = final_answers.disagreement(answers)
    return math.nan if found is None else found


def share_correct(rows: Sequence[Candidate]) -> float:
    """The share of the prompt's responses that are right, of those for which it is known."""
    known = [row.response.correct for row in rows if row.response.correct is not None]
    return sum(known) / len(known) if known else math.nan


_OF_ROWS: Final[Mapping[str, Callable[[Sequence[Candidate]], float]]] = MappingProxyType(
    {"disagreement": disagreement, "share_correct": share_correct}
)
SPREAD: Final = "score_spread"
"""The best score of a prompt less its worst, in the metric's unit; 0 for one row."""

FIGURES: Final = (*_OF_ROWS, SPREAD)


class Condition(NamedTuple):
    """A figure of a prompt, a comparison (">=", "<=", ">", "<") and a bound."""

    figure: str
    compare: str
    bound: float

    def __str__(self) -> str:
        return f"{self.figure} {self.compare} {self.bound:g}"

    def unmet(self, value: float) -> str:
        """Why a prompt does not meet it; "" if it does. A value within rounding meets >= and <=."""
        if math.isnan(value):
            return f"{self.figure} is not known"
        at_bound = abs(value - self.bound) <= tolerance(self.bound)
        met = "=" in self.compare if at_bound else _COMPARE[self.compare](value, self.bound)
        return "" if met else f"{self.figure} is {value:.4g}, not {self.compare} {self.bound:g}"


def parse_conditions(value: Any, source: str) -> tuple[Condition, ...]:
    """Read a condition, or a list of them.

    Raises:
        ConfigError: text that is no condition, an unknown figure, or the same condition twice.
    """
    found: list[Condition] = []
    for one in value if isinstance(value, list | tuple) else [value]:
        match = _WRITTEN.fullmatch(one) if isinstance(one, str) else None
        if match is None:
            raise ConfigError(
                "this must be a condition such as 'disagreement >= 0.3', or a list of them",
                where=source, found=one,
                remedy=f"compare {', '.join(FIGURES)} by >=, <=, > or < with a number",
            )  # fmt: skip
        if match[1] not in FIGURES:
            raise ConfigError(
                "unknown figure of a prompt", where=source, found=match[1],
                remedy=did_you_mean(match[1], FIGURES),
            )  # fmt: skip
        condition = Condition(match[1], match[2], float(match[3]))
        if condition in found:
            raise ConfigError(
                "the same condition is given twice", where=source, found=str(condition),
                remedy="remove one",
            )  # fmt: skip
        found.append(condition)
    if not found:
        raise ConfigError(
            "no condition is given", where=source, remedy="give one, or remove the key"
        )
    return tuple(found)


def unmet(
    conditions: Iterable[Condition], rows: Sequence[Candidate], scores_N: Floats | None = None
) -> dict[int, str]:
    """Index of each row whose prompt does not meet a condition -> the first that it does not meet.

    Args:
        rows: all rows that the prompt's figures are of.
        scores_N: with them conditions on `score_spread` are looked at, else the others.
    """
    groups: dict[str, list[Candidate]] = {}
    for row in rows:
        groups.setdefault(row.prompt_id, []).append(row)
    dropped: dict[int, str] = {}
    looked_at = [one for one in conditions if (one.figure == SPREAD) == (scores_N is not None)]
    for group in groups.values() if looked_at else ():
        for condition in looked_at:
            if scores_N is None:
                value = _OF_ROWS[condition.figure](group)
            else:
                scores = scores_N[[row.index for row in group]]
                value = float(scores.max() - scores.min())
            if reason := condition.unmet(value):
                dropped.update((row.index, reason) for row in group)
                break
    return dropped
