"""Ranks with ties, rank correlations, and how far two metrics agree.

Shapes: B rows (resamples), T teachers, P prompts.

scipy is loaded where it is used: it takes 60 MiB and a second, and a selection mostly needs none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lnat_plugins.ranking.table import TIE, Floats, Ints, ScoreTable


class Ranks(NamedTuple):
    """Standings, row by row; both (B, T).

    Attributes:
        better: how many teachers are better; 0 = none is.
        tied: how many share the rank, the teacher itself included; 1 = no tie.
    """

    better: Ints
    tied: Ints

    def share_best(self, column: int) -> float:
        """In which share of the rows that teacher is best, ties shared; NaN without a row."""
        best_B = (self.better[:, column] == 0) / self.tied[:, column]
        return float(best_B.mean()) if len(best_B) else math.nan


def ranks(scores_BT: Floats) -> Ranks:
    """The rank of each score in its row, highest first; those within `TIE` of a neighbour tie."""
    from scipy import stats

    order_BT = np.argsort(-scores_BT, axis=1, kind="stable")
    sorted_BT = np.take_along_axis(scores_BT, order_BT, axis=1)
    apart = -np.diff(sorted_BT, axis=1) > TIE * np.maximum(1.0, np.abs(sorted_BT[:, 1:]))
    group_BT = np.zeros_like(order_BT)  # equal numbers for those that tie
    np.put_along_axis(group_BT, order_BT[:, 1:], np.cumsum(apart, axis=1), axis=1)
    better_BT = stats.rankdata(group_BT, "min", axis=1).astype(np.int64) - 1
    tied_BT = stats.rankdata(group_BT, "max", axis=1).astype(np.int64) - better_BT
    return Ranks(better_BT, tied_BT)


def spearman(one: Floats | Ints, other: Floats | Ints) -> float:
    """Spearman's correlation; NaN for fewer than two values or if either side is constant."""
    from scipy import stats

    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])


def spearman_rows(one_GN: Floats | Ints, other_GN: Floats | Ints) -> Floats:
    """Spearman's correlation of each row with the same row of the other, as `spearman`."""
    from scipy import stats

    found_G = np.full(len(one_GN), np.nan)
    if one_GN.shape[1] < 2:
        return found_G
    known_G = (np.ptp(one_GN, axis=1) > 0) & (np.ptp(other_GN, axis=1) > 0)
    if known_G.any():
        ours, theirs = (
            stats.rankdata(each[known_G], axis=1) - (one_GN.shape[1] + 1) / 2
            for each in (one_GN, other_GN)
        )
        untied_G = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
        found_G[known_G] = np.clip((ours * theirs).sum(axis=1) / untied_G, -1.0, 1.0)
    return found_G


def tau_b(one_BT: Ints, other_BT: Ints, copies_BT: Ints | None = None) -> Floats:
    """Kendall's tau-b of each row of ranks with the same row of others; a single row fits all.

    tau-b = Σ s·s' / √(Σ s² · Σ s'²), with s = −1, 0 or 1 as the ranks of a pair of teachers say.

    Args:
        copies_BT: how often each teacher is in the row, 0 included; by default once. A pair counts
            as often as it can be formed of two different teachers; copies of one form none.

    Returns:
        (B,); NaN where either side is one tie throughout, or there are fewer than two teachers.
    """
    agreeing, one_sum, other_sum = pair_sums(one_BT, other_BT, copies_BT)
    untied = np.sqrt(one_sum * other_sum)
    found = np.full(np.broadcast_shapes(agreeing.shape, untied.shape), np.nan)
    np.divide(agreeing, untied, out=found, where=untied > 0)
    return found


def pair_sums(
    one_BT: Ints, other_BT: Ints, copies_BT: Ints | None = None
) -> tuple[Floats, Floats, Floats]:
    """(B,) each: Σ s·s', Σ s² and Σ s'² over the pairs of teachers, arguments as of `tau_b`."""
    first, second = np.triu_indices(one_BT.shape[1], k=1)
    one = np.sign(one_BT[:, first] - one_BT[:, second])
    other = np.sign(other_BT[:, first] - other_BT[:, second])
    pairs = np.ones((1, 1)) if copies_BT is None else copies_BT[:, first] * copies_BT[:, second]
    of_one = pairs * one
    agreeing, one_sum, other_sum = (
        each.sum(axis=1).astype(np.float64)
        for each in (of_one * other, of_one * one, pairs * other * other)
    )
    return agreeing, one_sum, other_sum


def mean_known(values: Floats) -> float:
    """The mean of those that are not NaN; NaN if none is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


@dataclass(frozen=True)
class Agreement:
    """How far another metric agrees, on the prompts where both score every teacher.

    Attributes:
        metric, window: the other metric and the window it reads.
        tau: Kendall's tau-b of the teachers' scores.
        same_winner: share of prompts with the same best teacher.
        prompts: how many prompts that is.
    """

    metric: str
    window: str | None
    tau: float
    same_winner: float
    prompts: int


def agreement(table: ScoreTable, other: ScoreTable) -> Agreement:
    """Of two metrics on the prompts where both are defined for every teacher.

    NaN where there is no such prompt; tau is NaN also for one teacher, or if all scores tie.
    """
    both_P = table.matched & other.matched
    tau = same_winner = math.nan
    if both_P.any():
        ours, theirs = (ranks(one.teacher_scores(both_P)[None]).better for one in (table, other))
        tau = float(tau_b(ours, theirs)[0])
        same_winner = float((table.winners(both_P)[0] == other.winners(both_P)[0]).mean())
    return Agreement(other.metric.name, other.window, tau, same_winner, int(both_P.sum()))
