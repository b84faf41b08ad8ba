"""How far two metrics say the same. Knows nothing of intervals. Shapes: P prompts, T teachers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.metrics import Metric
from lnat_plugins.ranking.cells import Cells, Ints
from lnat_plugins.ranking.correlation import tau_b
from lnat_plugins.ranking.places import Places, places
from lnat_plugins.ranking.winners import winners


@dataclass(frozen=True)
class Agreement:
    """How far another metric says the same, on the prompts where both score every teacher.

    Attributes:
        metric: the other metric.
        window: the window it reads.
        tau: Kendall's tau-b of the teachers' figures, each by its own direction.
        same_winner: share of prompts with the same best teacher.
        prompts: how many prompts that is.
    """

    metric: str
    window: str | None
    tau: float
    same_winner: float
    prompts: int


def agreement(
    metric: Metric, cells: Cells, other: Metric, other_cells: Cells, other_window: str | None
) -> Agreement:
    """Of two metrics on the prompts where both are defined for every teacher.

    NaN where there is no such prompt; tau is NaN also for one teacher, or if all figures tie.
    """
    both_P = cells.matched & other_cells.matched
    if not both_P.any():
        return Agreement(other.name, other_window, math.nan, math.nan, 0)
    ours, our_winner_P = _order(metric, cells, both_P)
    theirs, their_winner_P = _order(other, other_cells, both_P)
    tau = float(tau_b(ours.before, theirs.before)[0])
    same = float((our_winner_P == their_winner_P).mean())
    return Agreement(other.name, other_window, tau, same, int(both_P.sum()))


def _order(metric: Metric, cells: Cells, used_P: NDArray[np.bool_]) -> tuple[Places, Ints]:
    higher = bool(metric.higher_is_better)
    figures_T = cells.figures(cells.columns(used_P).mean(axis=0))
    winner_P, _ = winners(cells.values[used_P], cells.first_row[used_P], higher)
    return places(figures_T[None], higher), winner_P
