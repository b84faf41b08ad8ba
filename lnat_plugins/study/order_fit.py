"""How well scores put teachers in the order of their accuracy, row by row of resamples.

Five statistics, each for teachers as they are and for resampled ones, where a row holds copies of
a teacher. Copies agree with themselves whatever the metric, so they form no pair: a pair counts as
often as it can be formed of two different teachers.

Shapes: B rows (resamples), T teachers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lnat_plugins.ranking.orders import pair_sums, ranks
from lnat_plugins.ranking.table import TIE, Bools, Floats, Ints

STATISTICS: Final = ("tau", "spearman", "pairs", "regret", "first")
"""`tau`: Kendall's tau-b. `spearman`: rank correlation. `pairs`: share of the pairs with different
accuracies that the score puts the right way round, its ties half. `regret`: accuracy of the best
teacher minus that of the score's first, their mean if several are. `first`: whether the score's
first is the best teacher; of several first ones the share."""


def fit(scores_BT: Floats, accuracy_BT: Floats, copies_BT: Ints | None = None) -> dict[str, Floats]:
    """All statistics, (B,) each.

    Args:
        scores_BT, accuracy_BT: higher = better; a single row fits all rows of the other.
        copies_BT: how often each teacher is in the row; by default once.

    Returns:
        NaN where a score is NaN; of `tau` and `spearman` also where either side is one tie, or
        there are fewer than two different teachers; of `pairs` where all accuracies are one tie.
    """
    if copies_BT is None:
        copies_BT = np.ones((1, scores_BT.shape[1]), dtype=np.int64)
    known_B = np.isfinite(scores_BT).all(axis=1)
    scores_BT, accuracy_BT, copies_BT = np.broadcast_arrays(
        np.nan_to_num(scores_BT), accuracy_BT, copies_BT
    )
    ours_BT, theirs_BT = ranks(scores_BT).better, ranks(accuracy_BT).better
    best_BT, chosen_BT = _best(accuracy_BT, copies_BT), _best(scores_BT, copies_BT)
    chosen_B = chosen_BT.sum(axis=1)
    highest_B = np.where(copies_BT > 0, accuracy_BT, -np.inf).max(axis=1)
    agreeing_B, ours_B, theirs_B = pair_sums(ours_BT, theirs_BT, copies_BT)
    found = {
        "tau": _divided(agreeing_B, np.sqrt(ours_B * theirs_B)),
        "spearman": spearman(ours_BT, theirs_BT, copies_BT),
        # s·s' = 1 for a pair the right way round, 0 for a tie of the score, −1 for the wrong one
        "pairs": (1 + _divided(agreeing_B, theirs_B)) / 2,
        "regret": highest_B - (chosen_BT * accuracy_BT).sum(axis=1) / chosen_B,
        "first": (chosen_BT & best_BT).sum(axis=1) / chosen_B,
    }
    return {name: np.where(known_B, values_B, np.nan) for name, values_B in found.items()}


def spearman(one_BT: Ints, other_BT: Ints, copies_BT: Ints) -> Floats:
    """(B,) Spearman's correlation of ranks.

    A teacher's rank is the share of the others in the row, with their copies and without its own,
    that are better, ties half. Without copies that is the mean rank up to scale and shift.
    """
    one, other = _shares(one_BT, copies_BT), _shares(other_BT, copies_BT)
    total_B1 = copies_BT.sum(axis=1, keepdims=True)
    one = one - (copies_BT * one).sum(axis=1, keepdims=True) / total_B1
    other = other - (copies_BT * other).sum(axis=1, keepdims=True) / total_B1
    square_B = (copies_BT * one**2).sum(axis=1) * (copies_BT * other**2).sum(axis=1)
    square_B[square_B <= TIE] = 0.0
    return _divided((copies_BT * one * other).sum(axis=1), np.sqrt(square_B))


def _shares(better_BT: Ints, copies_BT: Ints) -> Floats:
    """(B, T) copies of teachers that are better minus those that are worse, a share of the others;
    it comes out as twice the share that is better, with ties half, minus 1."""
    signs_BTT = np.sign(better_BT[:, :, None] - better_BT[:, None, :])
    lead_BT = np.einsum("bij,bj->bi", signs_BTT, copies_BT).astype(np.float64)
    others_BT = copies_BT.sum(axis=1, keepdims=True) - copies_BT
    found = np.zeros(lead_BT.shape)
    np.divide(lead_BT, others_BT, out=found, where=others_BT > 0)
    return found


def _divided(above_B: Floats, below_B: Floats) -> Floats:
    found = np.full(above_B.shape, np.nan)
    np.divide(above_B, below_B, out=found, where=below_B > 0)
    return found


def _best(values_BT: Floats, copies_BT: Ints) -> Bools:
    """(B, T) the teachers in the row with the highest value, all of a tie."""
    present_BT = np.where(copies_BT > 0, values_BT, -np.inf)
    highest_B1 = present_BT.max(axis=1, keepdims=True)
    return np.asarray(present_BT >= highest_B1 - TIE * np.maximum(1.0, np.abs(highest_B1)))
