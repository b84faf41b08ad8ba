"""Values to places: how many stand before each teacher, and with how many it shares the place.

Knows nothing of what the values mean. Shapes: B rows (resamples), T teachers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.winners import TIE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
