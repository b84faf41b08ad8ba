"""How many rows each teacher gets: from quotas or shares to whole numbers that can be met.

Knows nothing of goodness. Shapes: P prompts, T teachers. A prompt gets one row or none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Rows in all, and at least and at most so many of each of T teachers."""

    total: int
    least: tuple[int, ...]
    most: tuple[int, ...]


def under_quotas(has_PT: Bools, most_T: Sequence[int]) -> Counts:
    """As many prompts as can get a row when no teacher gives more than its quota."""
    most = tuple(min(quota, len(has_PT)) for quota in most_T)
    return Counts(_Supply.of(has_PT).reach(most), (0,) * len(most), most)


def in_shares(has_PT: Bools, shares_T: Sequence[Fraction]) -> Counts:
    """As many prompts as can get a row when the teachers keep their shares.

    Args:
        has_PT: where a teacher has a row; every teacher has one somewhere.
        shares_T: above 0, summing to 1.
    """
    supply = _Supply.of(has_PT)
    # Whole parts grow with the total, so bisection finds where they stop being possible. The
    # remainders do not: who is rounded up may change from one total to the next.
    low, high = 1, int(has_PT.any(axis=1).sum())
    while low < high:
        middle = (low + high + 1) // 2
        whole = [math.floor(share * middle) for share in shares_T]
        low, high = (middle, high) if supply.reach(whole) == sum(whole) else (low, middle - 1)
    return next(
        counts
        for total in range(low, 0, -1)
        if supply.can_meet(counts := apportion(total, shares_T))
    )


def apportion(total: int, shares_T: Sequence[Fraction]) -> Counts:
    """Largest remainders: every teacher's exact part, rounded down or up.

    Teachers with equal remainders, of whom only some can be rounded up, are left a choice.
    """
    exact = [share * total for share in shares_T]
    least = [math.floor(part) for part in exact]
    spare = total - sum(least)
    remainders = [part - whole for part, whole in zip(exact, least, strict=True)]
    cut = sorted(remainders, reverse=True)[spare - 1] if spare else Fraction(1)
    most = [whole + (remainder >= cut) for whole, remainder in zip(least, remainders, strict=True)]
    if sum(most) == total:
        return Counts(total, tuple(most), tuple(most))
    sure = [whole + (remainder > cut) for whole, remainder in zip(least, remainders, strict=True)]
    return Counts(total, tuple(sure), tuple(most))


@dataclass(frozen=True)
class _Supply:
    """Who could give a row: K kinds of prompts, each answered by the same teachers."""

    kinds_KT: Bools
    size_K: NDArray[np.int64]

    @classmethod
    def of(cls, has_PT: Bools) -> _Supply:
        return cls(*np.unique(has_PT, axis=0, return_counts=True))

    def reach(self, most_T: Sequence[int]) -> int:
        """The most prompts that can get a row if each teacher gives at most so many.

        A flow: source -> kinds -> teachers -> sink.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow

        n_kinds, n_teachers = self.kinds_KT.shape
        source, sink = n_kinds + n_teachers, n_kinds + n_teachers + 1
        kind, teacher = np.nonzero(self.kinds_KT)
        start = np.concatenate([np.full(n_kinds, source), kind, n_kinds + np.arange(n_teachers)])
        end = np.concatenate([np.arange(n_kinds), n_kinds + teacher, np.full(n_teachers, sink)])
        room = np.concatenate([self.size_K, self.size_K[kind], most_T]).astype(np.int32)
        graph = csr_array((room, (start, end)), shape=(sink + 1, sink + 1))
        return int(maximum_flow(graph, source, sink).flow_value)

    def can_meet(self, counts: Counts) -> bool:
        """Whether some choice of rows keeps these counts.

        Where the least can be met, rows can be added one by one without taking any teacher's
        away (augmenting paths), up to what the most allow.
        """
        least = self.reach(counts.least) == sum(counts.least)
        return least and self.reach(counts.most) >= counts.total
