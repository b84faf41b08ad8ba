"""Paired percentile bootstrap over prompts: every resample draws the same prompts for all teachers.

Knows nothing of what the values mean. Shapes: P prompts, T teachers, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.winners import best_mask

Floats = NDArray[np.float64]

_DRAWS_AT_ONCE: Final = 1 << 21
_TAILS: Final = (0.025, 0.975)


@dataclass(frozen=True)
class Bootstrap:
    """95 % intervals of the means and of their differences to one teacher, and P(best); T each."""

    low: Floats
    high: Floats
    difference_low: Floats
    difference_high: Floats
    p_best: Floats


def bootstrap(
    values_PT: Floats, higher_is_better: bool, first: int, iters: int, seed: int
) -> Bootstrap:
    """Intervals from `iters` resamples of the prompts.

    With one prompt, or no resample, there is nothing to resample: all figures are NaN.

    Args:
        values_PT: defined everywhere.
        higher_is_better: the metric's direction.
        first: the column that the differences are taken to.
        iters: B.
        seed: of numpy's default generator.
    """
    n_prompts, n_teachers = values_PT.shape
    if n_prompts < 2 or iters == 0:
        nothing = np.full(n_teachers, np.nan)
        return Bootstrap(nothing, nothing, nothing, nothing, nothing)
    means_BT = resampled_means(values_PT, iters, seed)
    low_T, high_T = np.quantile(means_BT, _TAILS, axis=0)
    difference_BT = means_BT - means_BT[:, [first]]
    difference_low_T, difference_high_T = np.quantile(difference_BT, _TAILS, axis=0)
    best_BT = best_mask(means_BT, higher_is_better)
    # Teachers that tie in a resample share it, so that their order plays no part.
    p_best_T = (best_BT / best_BT.sum(axis=1, keepdims=True)).mean(axis=0)
    return Bootstrap(low_T, high_T, difference_low_T, difference_high_T, p_best_T)


def resampled_means(values_PT: Floats, iters: int, seed: int) -> Floats:
    """Means over P prompts drawn with replacement, shape (B, T); memory does not grow with B·P."""
    n_prompts, n_teachers = values_PT.shape
    generator = np.random.default_rng(seed)
    means_BT = np.empty((iters, n_teachers))
    chunk = max(1, _DRAWS_AT_ONCE // n_prompts)
    for start in range(0, iters, chunk):
        size = min(chunk, iters - start)
        drawn = generator.integers(0, n_prompts, size=(size, n_prompts))
        drawn += n_prompts * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_prompts)
        weights = counts.reshape(size, n_prompts).astype(np.float64)
        means_BT[start : start + size] = weights @ values_PT / n_prompts
    return means_BT
