"""What tau a random order of so many teachers reaches, so that a reader sees how little .3 is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from lnat_plugins.ranking.bootstrap import LEVEL
from lnat_plugins.ranking.orders import ranks, tau_b
from lnat_plugins.ranking.table import Floats

_PERMUTATIONS: Final = 20_000


@dataclass(frozen=True)
class RandomOrder:
    """Of |tau-b| between a random order without ties and the measured order.

    Attributes:
        expected: its mean.
        quantile: what it stays at or below with a probability of `bootstrap.LEVEL`.
        largest: the mean of the largest of as many independent random orders as there are metrics.
        orders: how many that is.
    """

    expected: float
    quantile: float
    largest: float
    orders: int


def random_order(accuracy_T: Floats, orders: int, seed: int = 1234) -> RandomOrder:
    """Exact where no two accuracies tie, otherwise over 20,000 permutations.

    Exact: the number of pairs in the wrong order has the generating function
    Π (1 + x + … + x^(k−1)), k = 1 … T, over T! permutations (Kendall 1938).
    """
    size = len(accuracy_T)
    better_1T = ranks(accuracy_T[None]).better
    if len(np.unique(better_1T)) == size:
        share = np.ones(1)
        for k in range(2, size + 1):
            share = np.convolve(share, np.full(k, 1 / k))
        tau = np.abs(1 - 2 * np.arange(len(share)) / max(1, len(share) - 1))
    else:
        generator = np.random.default_rng(seed)
        drawn_BT = generator.permuted(np.tile(np.arange(size), (_PERMUTATIONS, 1)), axis=1)
        tau = np.abs(tau_b(drawn_BT, better_1T))
        share = np.full(len(tau), 1 / len(tau))
    if size < 2 or np.isnan(tau).any():
        return RandomOrder(np.nan, np.nan, np.nan, orders)
    values, where = np.unique(np.round(tau, 12), return_inverse=True)
    at_most = np.minimum(np.cumsum(np.bincount(where, share)), 1.0)
    of_largest = np.diff(at_most ** max(1, orders), prepend=0.0)
    return RandomOrder(
        expected=float(tau @ share),
        quantile=float(values[np.searchsorted(at_most, LEVEL - 1e-9)]),
        largest=float(values @ of_largest), orders=orders,
    )  # fmt: skip
