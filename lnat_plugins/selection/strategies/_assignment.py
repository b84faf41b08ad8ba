"""Which teacher each prompt gets: the largest total value that keeps given counts.

Knows nothing of rows. Shapes: P prompts; T teachers; C = T + 1 columns, the last one for prompts
that get no row; N = C + 1 nodes, the last one a hub (see `_exchange`).

A transport problem with few destinations. Prices send every prompt to the column where it gains
most; where they leave one column too full and another not full enough, prompts move along the
cheapest way between them, over third columns too. Such moves keep the best total for the counts
they lead to (successive shortest paths), so the first assignment with the right counts is the
best. HiGHS finds the same totals, but on 20,000 prompts of four teachers its interior-point
method took from two seconds to half a minute and gave up under some quotas.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.winners import best_mask
from lnat_plugins.selection.strategies._counts import Counts
from lnat_plugins.selection.strategies._exchange import cheapest_ways, move_costs, movers, tied
from lnat_plugins.selection.strategies._prices import prices
from lnat_plugins.selection.strategies._top import near

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def assign(values_PT: Floats, place_PT: Ints, counts: Counts) -> tuple[Ints, Bools]:
    """The best total, exact but for rounding; of several ways, one that prefers rows at the front.

    Args:
        values_PT: what a prompt's row by that teacher is worth; -inf where there is none.
        place_PT: where that row stands among the rows of its prompt, from 0.
        counts: what can be met.

    Returns:
        (P,) the column chosen, T for none; and (P,) whether another would have done as well.
    """
    some_P = np.isfinite(values_PT).any(axis=1)
    column_P = np.full(len(values_PT), values_PT.shape[1])
    tied_P = np.zeros(len(values_PT), dtype=bool)
    column_P[some_P], tied_P[some_P] = _Search(values_PT[some_P], place_PT[some_P], counts).run()
    return column_P, tied_P


class _Search:
    """One search, over prompts that have a row.

    `held_C` is what each column is to hold by its price: the most it may above 0, the least below.
    """

    def __init__(self, values_PT: Floats, place_PT: Ints, counts: Counts) -> None:
        nobody = len(values_PT) - counts.total
        self.least_C = np.array([*counts.least, nobody])
        self.most_C = np.array([*counts.most, nobody])
        finite = values_PT[np.isfinite(values_PT)]
        self.equal = near(float(np.abs(finite).max()))
        # What no row is worth plays no part, as its count is fixed; any number will do.
        self.values_PC = np.pad(values_PT, ((0, 0), (0, 1)), constant_values=finite.min())
        place_PC = np.pad(place_PT, ((0, 0), (0, 1)), constant_values=place_PT.max() + 1)

        price_C = prices(self.values_PC, self.least_C, self.most_C)
        best_PC = best_mask(self.values_PC - price_C, higher_is_better=True)
        self.column_P = np.where(best_PC, place_PC, place_PC.max() + 1).argmin(axis=1)
        free_C = np.clip(self._count_C(), self.least_C, self.most_C)
        priced_C = np.where(price_C > 0, self.most_C, self.least_C)
        self.held_C = np.where(price_C == 0, free_C, priced_C)
        self.price_N = np.append(price_C, 0.0)

    def run(self) -> tuple[Ints, Bools]:
        """Move prompts until every column holds what it is to hold."""
        while True:
            cost_NN = move_costs(
                self.values_PC, self.column_P, self.most_C - self.held_C, self.held_C - self.least_C
            )
            over_C = self._count_C() - self.held_C
            over_N = np.append(over_C, -over_C.sum())
            if not over_N.any():
                return self.column_P, tied(self.values_PC, self.column_P, cost_NN, self.equal)
            self._move(cost_NN, over_N)

    def _move(self, cost_NN: Floats, over_N: Ints) -> None:
        """From nodes that hold too many the cheapest way to one that holds too few."""
        # After prices no move gains anything; below 0 there is only rounding.
        loss_NN = np.maximum(cost_NN - self.price_N[:, None] + self.price_N, 0.0)
        reach_N, before_N = cheapest_ways(loss_NN, over_N > 0)
        end = int(np.where(over_N < 0, reach_N, np.inf).argmin())
        self.price_N -= np.minimum(reach_N, reach_N[end])
        way = [end]
        while before_N[way[0]] >= 0:
            way.insert(0, int(before_N[way[0]]))
        arcs = list(itertools.pairwise(way))
        hub = len(self.held_C)
        moving = {
            (old, new): movers(self.values_PC, self.column_P, old, new)
            for old, new in arcs
            if hub not in (old, new)
        }
        room = [over_N[way[0]], -over_N[end], *map(len, moving.values())]
        room += [self.most_C[old] - self.held_C[old] for old, new in arcs if new == hub]
        room += [self.held_C[new] - self.least_C[new] for old, new in arcs if old == hub]
        count = int(min(room))
        for (_, new), prompts in moving.items():
            self.column_P[prompts[-count:]] = new  # so that earlier prompts keep their first rows
        for old, new in arcs:
            if new == hub:
                self.held_C[old] += count
            elif old == hub:
                self.held_C[new] -= count

    def _count_C(self) -> Ints:
        return np.bincount(self.column_P, minlength=self.values_PC.shape[1])
