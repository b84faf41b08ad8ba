"""The best few of several values. Ties: the first ones win, and those that lost so are told.

Knows nothing of metrics and options: higher is better.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.winners import TIE
from lnat_plugins.selection.strategy import Choice, Contest

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


def first_of_each_prompt(contest: Contest, values: NDArray[np.float64]) -> Choice:
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
