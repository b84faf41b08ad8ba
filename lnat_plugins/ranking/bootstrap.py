"""Paired percentile bootstrap over prompts: intervals, shares of ranks, and their stability.

Every resample draws the same prompts for all teachers. Stability is an m-out-of-n bootstrap:
resamples of fewer or of more prompts than were scored; beyond their own number it takes further
prompts to be like these. Shapes: P prompts, C columns, T teachers, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lnat_plugins.ranking.orders import mean_known, rank_shares, ranks, tau_b
from lnat_plugins.ranking.table import Floats, ScoreTable

_DRAWS_AT_ONCE: Final = 1 << 21
_TAILS: Final = (0.025, 0.975)
"""The quantiles of a 95 % interval; the only place where the level stands."""


def interval(values_B: Floats) -> tuple[float, float]:
    """The 95 % interval of those that are not NaN; NaN if none is left.

    Each is one of the values: between two values of a tau there is none.
    """
    known = values_B[~np.isnan(values_B)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, _TAILS, method="inverted_cdf")
    return float(low), float(high)


@dataclass(frozen=True)
class Bootstrap:
    """95 % intervals of the teachers' scores and of their differences to one, and P(rank).

    Attributes:
        low, high, difference_low, difference_high: (T,), in the metric's own unit.
        p_rank: (T, T); the share of resamples in which teacher t takes rank r, ties shared.
    """

    low: Floats
    high: Floats
    difference_low: Floats
    difference_high: Floats
    p_rank: Floats


def bootstrap(table: ScoreTable, scores_BT: Floats, first: int) -> Bootstrap:
    """Intervals from resampled scores; without a resample all are NaN.

    Args:
        table: says which way the metric points.
        scores_BT: one row a resample, higher = better.
        first: the column that the differences are taken to.
    """
    n_resamples, n_teachers = scores_BT.shape
    if not n_resamples:
        nothing = np.full(n_teachers, np.nan)
        unknown = np.full((n_teachers, n_teachers), np.nan)
        return Bootstrap(nothing, nothing, nothing, nothing, unknown)
    own_BT = table.metric_scale(scores_BT)
    low_T, high_T = np.quantile(own_BT, _TAILS, axis=0)
    difference_low_T, difference_high_T = np.quantile(own_BT - own_BT[:, [first]], _TAILS, axis=0)
    p_rank_TT = rank_shares(ranks(scores_BT))
    return Bootstrap(low_T, high_T, difference_low_T, difference_high_T, p_rank_TT)


def known_rows(scores_BT: Floats) -> Floats:
    """The resamples in which every teacher has a score; a ratio's denominator may come to 0."""
    return scores_BT[np.isfinite(scores_BT).all(axis=1)]


def resampled_means(
    values_PC: Floats, iters: int, seed: int | Sequence[int], size: int | None = None
) -> Floats:
    """Means over prompts drawn with replacement, (B, C); memory does not grow with B·P.

    With one prompt there is nothing to resample: (0, C), as for no resample.

    Args:
        values_PC: defined everywhere.
        iters: B.
        seed: of numpy's default generator.
        size: how many prompts a resample draws; by default P.
    """
    n_prompts, n_columns = values_PC.shape
    if n_prompts < 2:
        return np.empty((0, n_columns))
    size = n_prompts if size is None else size
    generator = np.random.default_rng(seed)
    means_BC = np.empty((iters, n_columns))
    chunk = max(1, _DRAWS_AT_ONCE // max(size, n_prompts))
    for start in range(0, iters, chunk):
        rows = min(chunk, iters - start)
        drawn = generator.integers(0, n_prompts, size=(rows, size))
        drawn += n_prompts * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n_prompts)
        weights = counts.reshape(rows, n_prompts).astype(np.float64)
        means_BC[start : start + rows] = weights @ values_PC / size
    return means_BC


SURE: Final = 0.95
"""P(best) from which the first place counts as settled."""

BEYOND: Final = 10
"""How far the sizes go, in multiples of the prompts scored."""

RESAMPLES: Final = 2_000
_DRAWS: Final = 1 << 24
_FEWEST: Final = 200


@dataclass(frozen=True)
class Stability:
    """Figures by number of prompts; all empty where nothing can be resampled.

    Attributes:
        sizes: numbers of prompts, ascending; the set's own number is one of them.
        p_best: for each, the share of resamples in which the first teacher is best; ties share. NaN
            where no resample of that size gives every teacher a score.
        tau: for each, the mean Kendall tau-b of the resampled order with the order of the whole
            set; NaN if every resample, or the whole set, is one tie.
        needed: about the smallest number of prompts at which P(best) is 0.95; None if that is not
            reached at ten times the set's own number, or nothing can be resampled.
    """

    sizes: tuple[int, ...]
    p_best: tuple[float, ...]
    tau: tuple[float, ...]
    needed: int | None


def stability(table: ScoreTable, first: int, scores_BT: Floats, iters: int, seed: int) -> Stability:
    """The curve, and where it crosses 0.95; the same seed gives the same figures.

    Args:
        table: of the metric; its matched prompts are resampled.
        first: the first teacher's column.
        scores_BT: the resamples of the set's own size, so that its P(best) is that of the table.
        iters: resamples for every other size, at most 2,000; fewer for very many prompts.
        seed: of the resampling.
    """
    if not len(scores_BT) or len(table.teachers) < 2:
        return Stability((), (), (), None)
    curve = _Curve(table, first, iters, seed)
    own = len(curve.columns_PC)
    curve.add(own, scores_BT)
    sizes = grid(own)
    p_best = tuple(curve.p_best(size) for size in sizes)
    tau = tuple(curve.known[size][1] for size in sizes)
    return Stability(sizes, p_best, tau, _crossing(curve, sizes, own))


def grid(own: int) -> tuple[int, ...]:
    """10, 20, 50, 100, ... up to ten times the set's own number; that, and the number itself."""
    end = BEYOND * own
    round_numbers = {lead * 10**power for power in range(1, len(str(end))) for lead in (1, 2, 5)}
    return tuple(sorted({size for size in round_numbers if size <= end} | {own, end}))


class _Curve:
    """P(best) and tau by number of prompts, each computed when first needed."""

    def __init__(self, table: ScoreTable, first: int, iters: int, seed: int) -> None:
        self.table, self.first = table, first
        self.iters, self.seed = iters, seed
        self.columns_PC = table.columns(table.matched)
        whole_T = table.of_means(self.columns_PC.mean(axis=0))
        self.whole = ranks(whole_T[None])
        self.known: dict[int, tuple[float, float]] = {}

    def p_best(self, size: int) -> float:
        if size not in self.known:
            iters = min(self.iters, RESAMPLES, max(_FEWEST, _DRAWS // size))
            means_BC = resampled_means(self.columns_PC, iters, (self.seed, size), size)
            self.add(size, known_rows(self.table.of_means(means_BC)))
        return self.known[size][0]

    def add(self, size: int, scores_BT: Floats) -> None:
        if not len(scores_BT):
            self.known[size] = math.nan, math.nan
            return
        drawn = ranks(scores_BT)
        best_B = (drawn.better[:, self.first] == 0) / drawn.tied[:, self.first]
        tau = mean_known(tau_b(drawn.better, self.whole.better))
        self.known[size] = (float(np.mean(best_B)), tau)


def _crossing(curve: _Curve, sizes: tuple[int, ...], own: int) -> int | None:
    """The nearest crossing of 0.95 seen from the set's own size, bisected to 1 %."""
    sure = [curve.p_best(size) >= SURE for size in sizes]
    at = sizes.index(own)
    if sure[at]:
        while at and sure[at - 1]:
            at -= 1
    elif any(sure[at:]):
        at = sure.index(True, at)
    else:
        return None
    enough, short = sizes[at], sizes[at - 1] if at else 0
    while enough - short > max(1, enough // 100):
        middle = (short + enough) // 2
        if curve.p_best(middle) >= SURE:
            enough = middle
        else:
            short = middle
    return enough
