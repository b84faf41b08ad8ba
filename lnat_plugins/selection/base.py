"""What a selection strategy declares, what it is given, and what it answers.

A strategy sees rows that passed the filters, with one number each that is better when higher,
whatever the metric's own direction. It knows nothing of students, files and hosts.

How strategies read their options: each raises ValueError with what is allowed.

Knows nothing of rows. A flag is not a number, and neither is text that looks like one.

The best few of several values. Ties: the first ones win, and those that lost so are told.

Knows nothing of metrics and options: higher is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.table import TIE
from lnat_plugins.teacher_set.prompts import Candidate

REQUIRED: Final = object()
"""The default of an option that has none."""


@dataclass(frozen=True)
class Option:
    """One setting of a strategy, written beside `strategy:` in a `selection:` block.

    Attributes:
        parse: the value as written -> the value as used; raises ValueError, whose text says what
            is allowed ("a whole number, 1 or more").
        default: used as it is where nothing is written; `REQUIRED` if something must be.
        help: one line for `lnat select --help`.
    """

    parse: Callable[[Any], Any]
    default: Any
    help: str


@dataclass(frozen=True)
class ScoredCandidates:
    """The n rows to choose from, in the order of the pool.

    Attributes:
        rows: n rows, at least one; those without a defined score are not among them if the
            strategy needs scores.
        goodness: (n,) the metric, turned so that higher is better; zeros if not needed.
        tokens: (n,) tokens of the responses; zeros if not needed.
        options: every declared option, parsed.
        seed: for strategies that draw.
        higher_is_better: the metric's own direction, for an option written on its own scale.
    """

    rows: tuple[Candidate, ...]
    goodness: NDArray[np.float64]
    tokens: NDArray[np.int64]
    options: Mapping[str, Any]
    seed: int
    higher_is_better: bool = True

    @cached_property
    def by_prompt(self) -> tuple[tuple[int, ...], ...]:
        """Positions (0 … n-1) of the rows of each prompt, prompts in order of appearance."""
        groups: dict[str, list[int]] = {}
        for position, row in enumerate(self.rows):
            groups.setdefault(row.prompt_id, []).append(position)
        return tuple(map(tuple, groups.values()))

    @cached_property
    def teachers(self) -> tuple[str, ...]:
        """Teachers of the rows, in order of first appearance."""
        return tuple(dict.fromkeys(row.teacher for row in self.rows))


@dataclass(frozen=True)
class Choice:
    """What a strategy chose.

    Attributes:
        positions: of the chosen rows in `ScoredCandidates.rows`; each once, in any order.
        weights: position -> weight for the chosen ones; None if all weigh the same.
        reasons: position -> why it was not chosen, where the strategy's `otherwise` does not say.
        ties: decisions in which several candidates were equally good and the first row won.
    """

    positions: tuple[int, ...]
    weights: Mapping[int, float] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)
    ties: int = 0


@dataclass(frozen=True)
class Strategy:
    """A named way to choose.

    Attributes:
        name: as written after `strategy:`.
        description: one line.
        choose: contest -> choice.
        otherwise: why a row that was not chosen was not ("another response scored higher").
        needs: what the contest must hold: "scores", "tokens".
        options: its settings by name.
        source: paper and section, where there is one.
        check: (options, teachers of the pool, where) -> nothing, or a ConfigError at `where` if
            the options do not go together or with this pool. Asked before anything is scored.
        weighs: whether chosen rows may differ in weight. A trainer that cannot weigh rows then
            refuses the strategy before anything is scored.
    """

    name: str
    description: str
    choose: Callable[[ScoredCandidates], Choice]
    otherwise: str
    needs: frozenset[Literal["scores", "tokens"]] = frozenset()
    options: Mapping[str, Option] = field(default_factory=dict)
    source: str = ""
    check: Callable[[Mapping[str, Any], Sequence[str], str], None] | None = None
    weighs: bool = False


def whole(value: Any) -> int:
    """A whole number, 1 or more."""
    if not _is_whole(value) or value < 1:
        raise ValueError("a whole number, 1 or more")
    return int(value)


def number(value: Any) -> float:
    """Any finite number."""
    if not _is_number(value):
        raise ValueError("a number, in the metric's unit")
    return float(value)


def share(value: Any) -> Fraction:
    """A share above 0, at most 1; exactly as written, so that 7 % of 100 are 7."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError("a share of the rows, above 0 and at most 1")
    return Fraction(str(value))


def quota(value: Any) -> int | dict[str, int]:
    """The most rows of every teacher, or of each teacher named."""
    if _is_whole(value) and value >= 1:
        return int(value)
    if _is_by_teacher(value) and all(_is_whole(most) and most >= 0 for most in value.values()):
        return {teacher: int(most) for teacher, most in value.items()}
    raise ValueError(
        "a whole number, 1 or more, or a mapping of teachers to whole numbers, 0 or more"
    )


def teacher_mix(value: Any) -> dict[str, Fraction]:
    """Teacher -> share of the rows, exactly as written; the shares need not sum to 1."""
    if _is_by_teacher(value) and all(_is_number(part) and part > 0 for part in value.values()):
        return {teacher: Fraction(str(part)) for teacher, part in value.items()}
    raise ValueError("a mapping of teachers to shares above 0")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_by_teacher(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(name, str) for name in value)
    )


TIED: Final = "an equally good row comes first"
"""Why a row was not chosen that only its place speaks against."""


class Top(NamedTuple):
    """Places of the chosen values, ascending, and of those that are as good as the last chosen."""

    chosen: tuple[int, ...]
    tied: tuple[int, ...]


def near(value: float) -> float:
    """How far from `value` another may be and still be equal to it."""
    return TIE * max(1.0, abs(value))


def top(values: NDArray[np.float64], count: int) -> Top:
    """The `count` highest values, or all if there are no more."""
    if count >= len(values):
        return Top(tuple(range(len(values))), ())
    cut = float(np.partition(values, -count)[-count])
    above = np.flatnonzero(values > cut + near(cut))
    level = np.flatnonzero(np.abs(values - cut) <= near(cut))
    room = count - len(above)
    chosen = sorted((*above.tolist(), *level[:room].tolist()))
    return Top(tuple(chosen), tuple(level[room:].tolist()))


def top_rows(values: NDArray[np.float64], count: int) -> Choice:
    """The `count` best of all rows, as a choice."""
    chosen, tied = top(values, count)
    return Choice(chosen, reasons=dict.fromkeys(tied, TIED), ties=int(bool(tied)))


def first_of_each_prompt(contest: ScoredCandidates, values: NDArray[np.float64]) -> Choice:
    """The row with the highest value of each prompt, as a choice.

    Args:
        contest: n rows.
        values: (n,) what the rows are compared by.
    """
    positions: list[int] = []
    reasons: dict[int, str] = {}
    ties = 0
    for group in contest.by_prompt:
        chosen, tied = top(values[list(group)], 1)
        positions.append(group[chosen[0]])
        reasons |= {group[place]: TIED for place in tied}
        ties += bool(tied)
    return Choice(tuple(positions), reasons=reasons, ties=ties)
