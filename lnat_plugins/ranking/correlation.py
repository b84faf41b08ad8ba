"""Rank correlations. Knows nothing of what is correlated. Shapes: B resamples, T teachers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lnat_plugins.ranking.places import Ints

Floats = NDArray[np.float64]


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
