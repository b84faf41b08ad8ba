"""How near a metric's order of the teachers comes to a known one.

Knows nothing of prompts. Shapes: B resamples, T teachers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lnat_plugins.ranking.cells import Floats
from lnat_plugins.ranking.correlation import interval, spearman, tau_b
from lnat_plugins.ranking.places import places
from lnat_plugins.ranking.reference import Reference


@dataclass(frozen=True)
class ReferenceFit:
    """A metric's order against a known one.

    Attributes:
        name: of the reference.
        tau: Kendall's tau-b of the teachers' figures, by the metric's direction, with the known
            values; NaN if either is one tie.
        tau_low, tau_high: its 95 % percentile bootstrap interval, over prompts. It tells how far
            other prompts would change it, not how far other teachers would.
        spearman: Spearman's correlation of the same.
        pairwise_accuracy: share of the pairs that the metric puts the known way round; a pair on
            which the metric ties counts half. NaN without a pair.
        pairs: pairs of teachers whose known values differ.
        ties_excluded: pairs whose known values are equal; they count in no accuracy.
        regret: known value of the best teacher minus that of the metric's first; NaN where the
            reference is an order without numbers.
        best: the teacher that the reference puts first; of a tie all of them, joined by " = ".
        chosen: the teacher that the metric puts first.
    """

    name: str
    tau: float
    tau_low: float
    tau_high: float
    spearman: float
    pairwise_accuracy: float
    pairs: int
    ties_excluded: int
    regret: float
    best: str
    chosen: str


def reference_fit(
    reference: Reference,
    teachers: tuple[str, ...],
    figures_T: Floats,
    figures_BT: Floats,
    higher_is_better: bool,
) -> ReferenceFit:
    """Compare the figures, and their resamples, with the known values."""
    known_T = np.array([reference.values[teacher] for teacher in teachers])
    theirs = places(known_T[None], True)
    ours = places(figures_T[None], higher_is_better)
    first, second = np.triu_indices(len(teachers), k=1)
    known = np.sign(theirs.before[0, first] - theirs.before[0, second])
    found = np.sign(ours.before[0, first] - ours.before[0, second])
    right = np.where(found == 0, 0.5, found == known)[known != 0]
    tau_low, tau_high = interval(resampled_tau(reference, teachers, figures_BT, higher_is_better))
    best_T, chosen = theirs.before[0] == 0, int(np.argmin(ours.before[0]))
    return ReferenceFit(
        name=reference.name,
        tau=float(tau_b(ours.before, theirs.before)[0]),
        tau_low=tau_low,
        tau_high=tau_high,
        spearman=spearman(ours.middle[0], theirs.middle[0]),
        pairwise_accuracy=float(right.mean()) if len(right) else math.nan,
        pairs=len(right),
        ties_excluded=int((known == 0).sum()),
        regret=float(known_T.max() - known_T[chosen]) if reference.numeric else math.nan,
        best=" = ".join(name for name, first in zip(teachers, best_T, strict=True) if first),
        chosen=teachers[chosen],
    )


def resampled_tau(
    reference: Reference, teachers: tuple[str, ...], figures_BT: Floats, higher_is_better: bool
) -> Floats:
    """(B,) tau-b of each resample with the known values; NaN where a teacher has no figure."""
    known_T = np.array([reference.values[teacher] for teacher in teachers])
    drawn = places(figures_BT, higher_is_better)
    tau_B = tau_b(drawn.before, places(known_T[None], True).before)
    return np.where(np.isfinite(figures_BT).all(axis=1), tau_B, np.nan)
