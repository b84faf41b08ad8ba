"""Values to places: how many stand before each teacher, and with how many it shares the place.

Knows nothing of what the values mean. Shapes: B rows (resamples), T teachers.

Rank correlations. Knows nothing of what is correlated. Shapes: B resamples, T teachers.

How far two metrics say the same. Knows nothing of intervals. Shapes: P prompts, T teachers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lnat_plugins.metrics import Metric
from lnat_plugins.ranking.table import TIE, Cells, Ints, winners

Floats = NDArray[np.float64]


class Places(NamedTuple):
    """Standings, row by row; both (B, T).

    Attributes:
        before: how many teachers are better; 0 = nobody is.
        sharing: how many stand there, the teacher itself included; 1 = no tie.
    """

    before: Ints
    sharing: Ints

    @property
    def middle(self) -> Floats:
        """The mean of the ranks that those who share a place take up, counted from 1."""
        return np.asarray(self.before + (self.sharing + 1) / 2)


def places(values_BT: Floats, higher_is_better: bool) -> Places:
    """Where each value of a row stands; values within `TIE` of their neighbour share a place."""
    ascending_BT = -values_BT if higher_is_better else values_BT
    order_BT = np.argsort(ascending_BT, axis=1, kind="stable")
    sorted_BT = np.take_along_axis(ascending_BT, order_BT, axis=1)
    far = np.diff(sorted_BT, axis=1) > TIE * np.maximum(1.0, np.abs(sorted_BT[:, 1:]))
    edge = np.ones((len(far), 1), dtype=bool)
    opens_BT = np.concatenate([edge, far], axis=1)
    closes_BT = np.concatenate([far, edge], axis=1)
    index_T = np.arange(values_BT.shape[1])
    start_BT = np.maximum.accumulate(np.where(opens_BT, index_T, 0), axis=1)
    last = np.where(closes_BT, index_T, len(index_T))[:, ::-1]
    end_BT = np.minimum.accumulate(last, axis=1)[:, ::-1]
    before_BT, sharing_BT = np.empty_like(order_BT), np.empty_like(order_BT)
    np.put_along_axis(before_BT, order_BT, start_BT, axis=1)
    np.put_along_axis(sharing_BT, order_BT, end_BT - start_BT + 1, axis=1)
    return Places(before_BT, sharing_BT)


def rank_shares(standings: Places) -> Floats:
    """(T, T): in which share of the rows teacher t takes rank r; those who tie share alike."""
    rows, n_teachers = standings.before.shape
    shares_TT = np.zeros((n_teachers, n_teachers))
    teacher_BT = np.broadcast_to(np.arange(n_teachers), (rows, n_teachers))
    for further in range(int(standings.sharing.max(initial=0))):
        takes = standings.sharing > further
        rank = standings.before[takes] + further
        np.add.at(shares_TT, (teacher_BT[takes], rank), 1 / standings.sharing[takes])
    return np.asarray(shares_TT / rows)


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's correlation; NaN for fewer than two values or if either side is constant."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])


def tau_b(one_BT: Ints, other_BT: Ints) -> Floats:
    """Kendall's tau-b of each row of places with the same row of others; a single row fits all.

    tau-b = Σ s·s' / √(Σ s² · Σ s'²), with s = −1, 0 or 1 as the places of a pair of teachers say.

    Returns:
        (B,); NaN where either side is one tie throughout, or there are fewer than two teachers.
    """
    first, second = np.triu_indices(one_BT.shape[1], k=1)
    one = np.sign(one_BT[:, first] - one_BT[:, second])
    other = np.sign(other_BT[:, first] - other_BT[:, second])
    untied = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1)).astype(np.float64)
    agreeing = (one * other).sum(axis=1).astype(np.float64)
    found = np.full(np.broadcast_shapes(agreeing.shape, untied.shape), np.nan)
    np.divide(agreeing, untied, out=found, where=untied > 0)
    return found


def mean_known(values: Floats) -> float:
    """The mean of those that are not NaN; NaN if none is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def interval(values_B: Floats) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of those that are not NaN; NaN if none is left.

    Each is one of the values: between two values of a tau there is none.
    """
    known = values_B[~np.isnan(values_B)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


@dataclass(frozen=True)
class Agreement:
    """How far another metric says the same, on the prompts where both score every teacher.

    Attributes:
        metric: the other metric.
        window: the window it reads.
        tau: Kendall's tau-b of the teachers' figures, each by its own direction.
        same_winner: share of prompts with the same best teacher.
        prompts: how many prompts that is.
    """

    metric: str
    window: str | None
    tau: float
    same_winner: float
    prompts: int


def agreement(
    metric: Metric, cells: Cells, other: Metric, other_cells: Cells, other_window: str | None
) -> Agreement:
    """Of two metrics on the prompts where both are defined for every teacher.

    NaN where there is no such prompt; tau is NaN also for one teacher, or if all figures tie.
    """
    both_P = cells.matched & other_cells.matched
    if not both_P.any():
        return Agreement(other.name, other_window, math.nan, math.nan, 0)
    ours, our_winner_P = _order(metric, cells, both_P)
    theirs, their_winner_P = _order(other, other_cells, both_P)
    tau = float(tau_b(ours.before, theirs.before)[0])
    same = float((our_winner_P == their_winner_P).mean())
    return Agreement(other.name, other_window, tau, same, int(both_P.sum()))


def _order(metric: Metric, cells: Cells, used_P: NDArray[np.bool_]) -> tuple[Places, Ints]:
    higher = bool(metric.higher_is_better)
    figures_T = cells.figures(cells.columns(used_P).mean(axis=0))
    winner_P, _ = winners(cells.values[used_P], cells.first_row[used_P], higher)
    return places(figures_T[None], higher), winner_P
