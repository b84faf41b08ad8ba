"""What it costs to move prompts between columns, and which moves cost nothing.

Knows nothing of how prompts came to their columns. Shapes: P prompts; C columns; N = C + 1 nodes,
the last one a hub. The arc A -> B of this graph moves the prompt that loses least by it. What a
column may hold more is its arc to the hub, what it may hold less the arc back, both free of cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def move_costs(values_PC: Floats, column_P: Ints, more_C: Ints, fewer_C: Ints) -> Floats:
    """(N, N) what the cheapest move along each arc loses; inf if there is none.

    Args:
        values_PC: what a prompt is worth in a column; -inf where it cannot stand.
        column_P: where each prompt stands.
        more_C, fewer_C: how many prompts the column may hold more, or fewer.
    """
    hub = values_PC.shape[1]
    cost_NN = np.full((hub + 1, hub + 1), np.inf)
    for old in range(hub):
        (here,) = np.nonzero(column_P == old)
        if len(here):
            cost_NN[old, :hub] = (values_PC[here, old][:, None] - values_PC[here]).min(axis=0)
    cost_NN[:hub, hub][more_C > 0] = 0.0
    cost_NN[hub, :hub][fewer_C > 0] = 0.0
    np.fill_diagonal(cost_NN, np.inf)
    return cost_NN


def movers(values_PC: Floats, column_P: Ints, old: int, new: int) -> Ints:
    """The prompts that lose least by moving from `old` to `new`, in order."""
    (here,) = np.nonzero(column_P == old)
    loss = values_PC[here, old] - values_PC[here, new]
    return np.asarray(here[loss == loss.min()])


def cheapest_ways(loss_NN: Floats, start_N: NDArray[np.bool_]) -> tuple[Floats, Ints]:
    """(N,) cost of the cheapest way from any start, and (N,) the node before; -1 at a start.

    Args:
        loss_NN: none below 0.
        start_N: where ways may begin.
    """
    reach_N = np.where(start_N, 0.0, np.inf)
    before_N = np.full(len(reach_N), -1)
    while True:  # Bellman, Ford
        through_NN = reach_N[:, None] + loss_NN
        cheaper_N = through_NN.min(axis=0) < reach_N
        if not cheaper_N.any():
            return reach_N, before_N
        before_N = np.where(cheaper_N, through_NN.argmin(axis=0), before_N)
        reach_N = np.where(cheaper_N, through_NN.min(axis=0), reach_N)


def tied(values_PC: Floats, column_P: Ints, cost_NN: Floats, equal: float) -> NDArray[np.bool_]:
    """(P,) prompts that could stand elsewhere if others moved too, at no loss altogether.

    Args:
        values_PC, column_P: as above.
        cost_NN: of these; no cycle costs less than nothing.
        equal: losses up to this are none.
    """
    back_NN = cost_NN.copy()
    np.fill_diagonal(back_NN, 0.0)
    for node in range(len(back_NN)):  # cheapest ways (Floyd, Warshall)
        back_NN = np.minimum(back_NN, back_NN[:, [node]] + back_NN[[node]])
    prompts = np.arange(len(column_P))
    loss_PC = values_PC[prompts, column_P][:, None] - values_PC
    round_trip_PC = loss_PC + back_NN[: values_PC.shape[1], column_P].T
    round_trip_PC[prompts, column_P] = np.inf
    return np.asarray((round_trip_PC <= equal).any(axis=1))
