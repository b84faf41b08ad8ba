"""Paired percentile bootstrap over prompts: every resample draws the same prompts for all teachers.

Knows nothing of what the values mean. Shapes: P prompts, C columns, T teachers, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.places import places, rank_shares

Floats = NDArray[np.float64]

_DRAWS_AT_ONCE: Final = 1 << 21
_TAILS: Final = (0.025, 0.975)


@dataclass(frozen=True)
class Bootstrap:
    """95 % intervals of the figures and of their differences to one teacher, and P(rank).

    Attributes:
        low, high, difference_low, difference_high: (T,).
        p_rank: (T, T); the share of resamples in which teacher t takes rank r, ties shared.
    """

    low: Floats
    high: Floats
    difference_low: Floats
    difference_high: Floats
    p_rank: Floats


def bootstrap(figures_BT: Floats, higher_is_better: bool, first: int) -> Bootstrap:
    """Intervals from resampled figures; without a resample all are NaN.

    Args:
        figures_BT: one row a resample.
        higher_is_better: the metric's direction.
        first: the column that the differences are taken to.
    """
    n_resamples, n_teachers = figures_BT.shape
    if not n_resamples:
        nothing = np.full(n_teachers, np.nan)
        unknown = np.full((n_teachers, n_teachers), np.nan)
        return Bootstrap(nothing, nothing, nothing, nothing, unknown)
    low_T, high_T = np.quantile(figures_BT, _TAILS, axis=0)
    difference_BT = figures_BT - figures_BT[:, [first]]
    difference_low_T, difference_high_T = np.quantile(difference_BT, _TAILS, axis=0)
    p_rank_TT = rank_shares(places(figures_BT, higher_is_better))
    return Bootstrap(low_T, high_T, difference_low_T, difference_high_T, p_rank_TT)


def known_rows(figures_BT: Floats) -> Floats:
    """The resamples in which every teacher has a figure; a ratio's denominator may come to 0."""
    return figures_BT[np.isfinite(figures_BT).all(axis=1)]


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
