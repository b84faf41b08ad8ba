"""Paired differences of all teachers over the prompts read so far, balanced by kind of response.

Some teachers answer a few prompts in a way of its own: the bare answer in one token, a loop of
thousands. Such rows score far from the rest, and a sample without them says nothing of them: it
shows a sure lead that the whole set does not have. How many there are is known without scoring,
from lengths alone. So a teacher's mean is post-stratified: the mean of its usual rows and that of
its unusual rows, each with the share that it has in the whole set.

Source: post-stratification, and the variance of double sampling, Cochran, "Sampling Techniques"
(1977). Shapes: P prompts of the set, N prompts read, T teachers; a pair (i, j) is
"i minus j".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.budget.sequential import Floats

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

UNUSUAL: Final = 10.0
"""A response is of unusual length if it is this many times shorter or longer than its teacher's
median."""

LEAST: Final = 3
"""Unusual (and usual) rows that must have been read before a teacher's mean is post-stratified."""

AWAITED: Final = 0.03
"""A teacher with this share of unusual rows, or more, is not compared before `LEAST` are read."""

_TIE: Final = 1e-12


@dataclass(frozen=True)
class Contrasts:
    """What N prompts say of each pair of T teachers.

    Attributes:
        n: N.
        mean: (T, T) estimated mean differences over the whole set, nats per token.
        error: (T, T) their standard errors, as estimates of the mean over prompts like these; 0
            where the difference is the same on every prompt.
        skewness: (T, T) of what the prompts contribute, adjusted for N (G1); 0 without an error.
        ready: (T,) whether enough unusual rows of the teacher were read.
    """

    n: int
    mean: Floats
    error: Floats
    skewness: Floats
    ready: Bools

    @property
    def t(self) -> Floats:
        """(T, T) mean / error; without an error ±infinite, and -infinite for a tie."""
        certain = np.where(self.mean > 0, math.inf, -math.inf)
        return np.asarray(np.divide(self.mean, self.error, out=certain, where=self.error > 0))


def unusual_lengths(lengths_PT: Floats) -> Bools:
    """(P, T) whether a response is of unusual length for its teacher.

    Args:
        lengths_PT: steps, tokens or characters of every response; NaN where there is none.
    """
    median_T = np.nanmedian(lengths_PT, axis=0)
    return np.asarray(
        (lengths_PT * UNUSUAL < median_T) | (lengths_PT > UNUSUAL * median_T), dtype=np.bool_
    )


def contrasts(values_NT: Floats, unusual_NT: Bools, share_T: Floats, size: int) -> Contrasts:
    """Compare all teachers over the prompts read.

    The variance of a difference is that of double sampling: within kinds over N, between kinds over
    P, because the shares are known for the P prompts and no further.

    Args:
        values_NT: defined everywhere, 3 prompts or more.
        unusual_NT: see `unusual_lengths`.
        share_T: the share of unusual responses among the P prompts.
        size: P.
    """
    n = len(values_NT)
    counts_2T = np.array([n - unusual_NT.sum(axis=0), unusual_NT.sum(axis=0)], dtype=np.float64)
    split_T = (counts_2T >= LEAST).all(axis=0)
    kinds_2NT = np.array([~unusual_NT, unusual_NT])
    means_T = values_NT.mean(axis=0)
    sums_2T = np.where(kinds_2NT, values_NT, 0.0).sum(axis=1)
    of_kind_2T = np.where(split_T, sums_2T / np.maximum(counts_2T, 1), means_T)
    share_2T = np.array([1 - share_T, share_T])
    level_T = np.where(split_T, (share_2T * of_kind_2T).sum(axis=0), means_T)
    # A kind's rows count by its share in the set over its share here; √(c / (c - 1)) because its
    # mean was taken from its own c rows.
    bessel_2T = np.sqrt(counts_2T / np.maximum(counts_2T - 1, 1) * (n - 1) / n)
    weight_2T = np.where(split_T, bessel_2T * share_2T * n / np.maximum(counts_2T, 1), 1.0)
    kind_NT = unusual_NT.astype(np.int64)
    within_NT = (values_NT - np.take_along_axis(of_kind_2T, kind_NT, axis=0)) * (
        np.take_along_axis(weight_2T, kind_NT, axis=0)
    )
    between_NT = np.take_along_axis(of_kind_2T, kind_NT, axis=0) - level_T
    between_NT = np.where(split_T, between_NT, 0.0)
    squares_TT = _squares(within_NT)
    variance_TT = squares_TT / (n - 1) / n + _squares(between_NT) / (n - 1) / size
    error_TT = np.sqrt(variance_TT)
    tie = _TIE * max(1.0, float(np.abs(values_NT).max()))
    error_TT[error_TT <= tie] = 0.0
    mean_TT = level_T[:, None] - level_T
    mean_TT[np.abs(mean_TT) <= tie] = 0.0
    return Contrasts(
        n, mean_TT, error_TT,
        skewness=_skewness(within_NT, squares_TT, error_TT > 0),
        ready=(counts_2T[1] >= LEAST) | (share_T < AWAITED),
    )  # fmt: skip


def _squares(values_NT: Floats) -> Floats:
    """(T, T) sums of the squared differences."""
    products_TT = values_NT.T @ values_NT
    own_T = np.diag(products_TT)
    return np.asarray(np.maximum(own_T[:, None] + own_T - 2 * products_TT, 0.0))


def _skewness(values_NT: Floats, squares_TT: Floats, known_TT: Bools) -> Floats:
    n = len(values_NT)
    own_T = (values_NT**3).sum(axis=0)
    mixed_TT = (values_NT**2).T @ values_NT
    cubes_TT = own_T[:, None] - own_T - 3 * mixed_TT + 3 * mixed_TT.T
    deviation_TT = np.sqrt(squares_TT / n)
    skew_TT = np.zeros_like(cubes_TT)
    known_TT = known_TT & (deviation_TT > 0)
    np.divide(cubes_TT / n, deviation_TT**3, out=skew_TT, where=known_TT)
    return np.asarray(skew_TT * math.sqrt(n * (n - 1)) / (n - 2))
