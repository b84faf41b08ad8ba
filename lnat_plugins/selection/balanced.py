"""A price for each column under which prompts go where they should, nearly.

Knows nothing of what columns are. A good price saves time and changes nothing else.
Shapes: P prompts, C columns.

What it costs to move prompts between columns, and which moves cost nothing.

Knows nothing of how prompts came to their columns. Shapes: P prompts; C columns; N = C + 1 nodes,
the last one a hub. The arc A -> B of this graph moves the prompt that loses least by it. What a
column may hold more is its arc to the hub, what it may hold less the arc back, both free of cost.

Which teacher each prompt gets: the largest total value that keeps given counts.

Knows nothing of rows. Shapes: P prompts; T teachers; C = T + 1 columns, the last one for prompts
that get no row; N = C + 1 nodes, the last one a hub (see `_exchange`).

A transport problem with few destinations. Prices send every prompt to the column where it gains
most; where they leave one column too full and another not full enough, prompts move along the
cheapest way between them, over third columns too. Such moves keep the best total for the counts
they lead to (successive shortest paths), so the first assignment with the right counts is the
best. HiGHS finds the same totals, but on 20,000 prompts of four teachers its interior-point
method took from two seconds to half a minute and gave up under some quotas.

How many rows each teacher gets: from quotas or shares to whole numbers that can be met.

Knows nothing of goodness. Shapes: P prompts, T teachers. A prompt gets one row or none.

The rows of a contest as a table: the best row of each teacher for each prompt.

Knows nothing of quotas and shares. Shapes: P prompts, T teachers.

`balanced`: the best row of each prompt, but no more of a teacher than its part.

Knows nothing of how the optimum is found.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.ranking.table import best_mask
from lnat_plugins.selection.base import (
    TIED,
    Choice,
    Option,
    ScoredCandidates,
    Strategy,
    near,
    quota,
    teacher_mix,
    top,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS: Final = 40


def prices(values_PC: Floats, least_C: Ints, most_C: Ints) -> Floats:
    """(C,) prices: above 0 where too many prompts would go otherwise, below 0 where too few.

    One price after the other is set so that its column's count fits, given the other prices, and
    this a few times around.
    """
    price_C = np.zeros(values_PC.shape[1])
    for _ in range(_ROUNDS):
        before_C = price_C.copy()
        for column, (least, most) in enumerate(zip(least_C, most_C, strict=True)):
            gain_PC = values_PC - price_C
            gain_PC[:, column] = -np.inf
            lead_P = np.sort(values_PC[:, column] - gain_PC.max(axis=1))[::-1]
            price_C[column] = _price(lead_P[np.isfinite(lead_P)], least, most)
        if np.array_equal(price_C, before_C):
            break
    return price_C


def _price(lead_P: Floats, least: int, most: int) -> float:
    """Between the last prompt to come and the first to stay away; `lead_P` falls."""
    coming = int((lead_P > 0).sum())
    count = min(max(coming, least), most)
    if count == coming or not len(lead_P):
        return 0.0
    return float(lead_P[max(0, count - 1) : count + 1].mean())


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


@dataclass(frozen=True)
class Counts:
    """Rows in all, and at least and at most so many of each of T teachers."""

    total: int
    least: tuple[int, ...]
    most: tuple[int, ...]


def under_quotas(has_PT: Bools, most_T: Sequence[int]) -> Counts:
    """As many prompts as can get a row when no teacher gives more than its quota."""
    most = tuple(min(quota, len(has_PT)) for quota in most_T)
    return Counts(_Supply.of(has_PT).reach(most), (0,) * len(most), most)


def in_shares(has_PT: Bools, shares_T: Sequence[Fraction]) -> Counts:
    """As many prompts as can get a row when the teachers keep their shares.

    Args:
        has_PT: where a teacher has a row; every teacher has one somewhere.
        shares_T: above 0, summing to 1.
    """
    supply = _Supply.of(has_PT)
    # Whole parts grow with the total, so bisection finds where they stop being possible. The
    # remainders do not: who is rounded up may change from one total to the next.
    low, high = 1, int(has_PT.any(axis=1).sum())
    while low < high:
        middle = (low + high + 1) // 2
        whole = [math.floor(share * middle) for share in shares_T]
        low, high = (middle, high) if supply.reach(whole) == sum(whole) else (low, middle - 1)
    return next(
        counts
        for total in range(low, 0, -1)
        if supply.can_meet(counts := apportion(total, shares_T))
    )


def apportion(total: int, shares_T: Sequence[Fraction]) -> Counts:
    """Largest remainders: every teacher's exact part, rounded down or up.

    Teachers with equal remainders, of whom only some can be rounded up, are left a choice.
    """
    exact = [share * total for share in shares_T]
    least = [math.floor(part) for part in exact]
    spare = total - sum(least)
    remainders = [part - whole for part, whole in zip(exact, least, strict=True)]
    cut = sorted(remainders, reverse=True)[spare - 1] if spare else Fraction(1)
    most = [whole + (remainder >= cut) for whole, remainder in zip(least, remainders, strict=True)]
    if sum(most) == total:
        return Counts(total, tuple(most), tuple(most))
    sure = [whole + (remainder > cut) for whole, remainder in zip(least, remainders, strict=True)]
    return Counts(total, tuple(sure), tuple(most))


@dataclass(frozen=True)
class _Supply:
    """Who could give a row: K kinds of prompts, each answered by the same teachers."""

    kinds_KT: Bools
    size_K: NDArray[np.int64]

    @classmethod
    def of(cls, has_PT: Bools) -> _Supply:
        return cls(*np.unique(has_PT, axis=0, return_counts=True))

    def reach(self, most_T: Sequence[int]) -> int:
        """The most prompts that can get a row if each teacher gives at most so many.

        A flow: source -> kinds -> teachers -> sink.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow

        n_kinds, n_teachers = self.kinds_KT.shape
        source, sink = n_kinds + n_teachers, n_kinds + n_teachers + 1
        kind, teacher = np.nonzero(self.kinds_KT)
        start = np.concatenate([np.full(n_kinds, source), kind, n_kinds + np.arange(n_teachers)])
        end = np.concatenate([np.arange(n_kinds), n_kinds + teacher, np.full(n_teachers, sink)])
        room = np.concatenate([self.size_K, self.size_K[kind], most_T]).astype(np.int32)
        graph = csr_array((room, (start, end)), shape=(sink + 1, sink + 1))
        return int(maximum_flow(graph, source, sink).flow_value)

    def can_meet(self, counts: Counts) -> bool:
        """Whether some choice of rows keeps these counts.

        Where the least can be met, rows can be added one by one without taking any teacher's
        away (augmenting paths), up to what the most allow.
        """
        least = self.reach(counts.least) == sum(counts.least)
        return least and self.reach(counts.most) >= counts.total


@dataclass(frozen=True)
class Cells:
    """A table, prompts in order of appearance.

    Attributes:
        teachers: T names; the order of the columns.
        rows: (P, T) the row's position in the contest; -1 if the teacher has none.
        values: (P, T) its goodness; -inf if there is none.
        places: (P, T) where it stands among the rows of its prompt, from 0.
        tied: (P, T) whether a later row of the teacher is as good.
    """

    teachers: tuple[str, ...]
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    places: NDArray[np.int64]
    tied: NDArray[np.bool_]


def cells_of(contest: ScoredCandidates, teachers: Sequence[str]) -> Cells:
    """The table of these teachers; rows of others are left out."""
    column = {teacher: index for index, teacher in enumerate(teachers)}
    shape = len(contest.by_prompt), len(teachers)
    cells = Cells(
        teachers=tuple(teachers),
        rows=np.full(shape, -1, dtype=np.int64),
        values=np.full(shape, -np.inf),
        places=np.zeros(shape, dtype=np.int64),
        tied=np.zeros(shape, dtype=bool),
    )
    for prompt, positions in enumerate(contest.by_prompt):
        places_of: dict[str, list[int]] = {}
        for place, position in enumerate(positions):
            places_of.setdefault(contest.rows[position].teacher, []).append(place)
        for teacher in places_of.keys() & column.keys():
            samples = places_of[teacher]
            values = contest.goodness[[positions[place] for place in samples]]
            best, tied = top(values, 1)
            cell = prompt, column[teacher]
            cells.rows[cell] = positions[samples[best[0]]]
            cells.values[cell] = values[best[0]]
            cells.places[cell] = samples[best[0]]
            cells.tied[cell] = bool(tied)
    return cells


def balanced(contest: ScoredCandidates) -> Choice:
    """One row a prompt: first for as many prompts as possible, then the largest total goodness.

    With `quota`, no teacher gives more rows than its quota; one that a mapping does not name has
    none. With `teacher_mix`, the chosen rows have those shares of teachers as nearly as whole
    numbers allow (largest remainder), and a teacher that is not named gives no row. With neither,
    all teachers of the contest have equal shares.

    The optimum is exact, not greedy: a teacher's rows go to the prompts where they gain most over
    what else could stand there. Of a teacher's equally good rows for a prompt the first is taken;
    of equally good assignments one that prefers rows at the front. Each prompt for which a choice
    as good was left counts as one tie.

    Raises:
        DataError: no row of a teacher in `teacher_mix` passed the filters.
    """
    cells, counts = _parts(contest)
    column_P, tied_P = assign(cells.values, cells.places, counts)
    (prompts,) = np.nonzero(column_P < len(cells.teachers))
    columns = column_P[prompts]
    tied_P[prompts] |= cells.tied[prompts, columns]
    chosen = dict(zip(prompts.tolist(), cells.rows[prompts, columns].tolist(), strict=True))
    given_T = np.bincount(columns, minlength=len(cells.teachers)).tolist()
    given = dict(zip(cells.teachers, given_T, strict=True))
    reasons = {
        position: _why_not(contest, position, chosen.get(prompt), given)
        for prompt, positions in enumerate(contest.by_prompt)
        for position in positions
        if position != chosen.get(prompt)
    }
    return Choice(tuple(chosen.values()), reasons=reasons, ties=int(tied_P.sum()))


def _parts(contest: ScoredCandidates) -> tuple[Cells, Counts]:
    """The rows of the teachers that may give some, and how many each of them gives."""
    quota, mix = contest.options["quota"], contest.options["teacher_mix"]
    if quota is not None:
        cells = cells_of(contest, contest.teachers)
        by_teacher = quota if isinstance(quota, Mapping) else dict.fromkeys(cells.teachers, quota)
        most = [by_teacher.get(teacher, len(cells.rows)) for teacher in cells.teachers]
        return cells, under_quotas(cells.rows >= 0, most)
    shares = mix or dict.fromkeys(contest.teachers, Fraction(1))
    for teacher in shares:
        if teacher not in contest.teachers:
            raise DataError(
                "no row of a teacher in `teacher_mix` passed the filters",
                where="strategy 'balanced'",
                found=teacher,
                remedy="loosen the filters, or leave the teacher out of the mix",
            )
    cells = cells_of(contest, [teacher for teacher in contest.teachers if teacher in shares])
    whole = sum(shares.values())
    return cells, in_shares(cells.rows >= 0, [shares[name] / whole for name in cells.teachers])


def _why_not(
    contest: ScoredCandidates, position: int, chosen: int | None, given: Mapping[str, int]
) -> str:
    """Why this row of a prompt is not the chosen one; `given` is teacher -> rows chosen."""
    teacher = contest.rows[position].teacher
    if teacher not in given:
        return "its teacher is not in teacher_mix"
    if chosen is None:
        used_up = contest.options["quota"] is not None
        return "its prompt got no row: " + (
            "the quotas of its teachers are used up"
            if used_up
            else "with more rows the shares of teachers could not be kept"
        )
    lead = contest.goodness[position] - contest.goodness[chosen]
    equal = near(float(contest.goodness[chosen]))
    if lead < -equal:
        return BALANCED.otherwise
    if lead <= equal and chosen < position:
        return TIED
    return (
        f"its teacher's part is used up: {teacher} gives {given[teacher]} to prompts that need it "
        "more"
    )


def _check(options: Mapping[str, Any], teachers: Sequence[str], where: str) -> None:
    if None not in (options["quota"], options["teacher_mix"]):
        raise ConfigError(
            "`quota` and `teacher_mix` exclude each other", where=where, remedy="keep one of them"
        )
    for option in ("quota", "teacher_mix"):
        named = options[option] if isinstance(options[option], Mapping) else {}
        for teacher in named:
            if teacher not in teachers:
                raise ConfigError(
                    "no row is by this teacher",
                    where=f"{where}: {option}",
                    found=teacher,
                    remedy=did_you_mean(teacher, teachers),
                )


BALANCED = Strategy(
    name="balanced",
    description="the best row of each prompt, with every teacher held to its part of the rows",
    choose=balanced,
    otherwise="another response to the prompt scored better",
    needs=frozenset({"scores"}),
    options={
        "quota": Option(quota, None, "the most rows of each teacher, or {teacher: most}"),
        "teacher_mix": Option(
            teacher_mix, None, "shares of the chosen rows, {teacher: share}; else equal"
        ),
    },
    check=_check,
)
