"""The strategy `balanced`: the best row of each prompt, each teacher held to its part of the rows.

First the counts: how many rows each teacher gets, from quotas or shares. Then the assignment: which
teacher each prompt gets, so that the counts hold and the total score is the largest possible.

The assignment is a transport problem with few destinations, solved exactly by successive shortest
paths. Every column has a penalty, and a prompt starts in the column where its value less the
penalty is largest. Where one column then holds too many prompts and another too few, prompts move
along the cheapest path between them, over third columns too. Such moves keep the total the best
for the counts reached so far, so the first assignment with the right counts is the best. (HiGHS
finds the same totals, but took up to half a minute on 20,000 prompts of four teachers, and gave up
under some quotas.)

Shapes: P prompts; T teachers; C = T + 1 columns, the last one for prompts that get no row;
N = C + 1 nodes of the graph of moves, the last one ("slack") for room that is left in the counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.ranking.table import Bools, Floats, Ints
from lnat_plugins.selection.base import (
    TIED,
    Choice,
    Option,
    ScoredCandidates,
    Strategy,
    quota,
    teacher_mix,
    tolerance,
    top,
)


def balanced(candidates: ScoredCandidates) -> Choice:
    """One row a prompt: first for as many prompts as possible, then the largest total score.

    With `quota`, no teacher gives more rows than its quota; one that a mapping does not name has
    no limit. With `teacher_mix`, the chosen rows have those shares of teachers as nearly as whole
    numbers allow (largest remainder), and a teacher that is not named gives no row. With neither,
    all teachers of the candidates have equal shares.

    The optimum is exact, not greedy: a teacher's rows go to the prompts where they gain most over
    the alternatives. Of a teacher's equally good rows for a prompt the first is taken; of equally
    good assignments one that prefers rows at the front. Each prompt for which another choice would
    have been as good counts as one tie.

    Raises:
        DataError: no row of a teacher in `teacher_mix` passed the filters.
    """
    quota, mix = candidates.options["quota"], candidates.options["teacher_mix"]
    if quota is None and mix is None:
        mix = dict.fromkeys(candidates.teachers, Fraction(1))
    for teacher in mix or ():
        if teacher not in candidates.teachers:
            raise DataError(
                "no row of a teacher in `teacher_mix` passed the filters",
                where="strategy 'balanced'", found=teacher,
                remedy="loosen the filters, or leave the teacher out of the mix",
            )  # fmt: skip
    teachers = [name for name in candidates.teachers if mix is None or name in mix]
    row_PT, score_PT, tied_PT = _best_rows(candidates, teachers)
    if mix is None:
        limits = quota if isinstance(quota, Mapping) else dict.fromkeys(teachers, quota)
        most = [limits.get(teacher, len(row_PT)) for teacher in teachers]
        counts = counts_under_quotas(row_PT >= 0, most)
    else:
        shares = [mix[teacher] / sum(mix.values()) for teacher in teachers]
        counts = counts_in_shares(row_PT >= 0, shares)

    column_P, tied_P = assign(score_PT, row_PT, counts)
    (prompts,) = np.nonzero(column_P < len(teachers))
    columns = column_P[prompts]
    tied_P[prompts] |= tied_PT[prompts, columns]
    chosen = dict(zip(prompts.tolist(), row_PT[prompts, columns].tolist(), strict=True))
    given_T = np.bincount(columns, minlength=len(teachers)).tolist()
    given = dict(zip(teachers, given_T, strict=True))
    reasons = {
        position: _reason(candidates, position, chosen.get(prompt), given)
        for prompt, positions in enumerate(candidates.by_prompt)
        for position in positions
        if position != chosen.get(prompt)
    }
    return Choice(tuple(chosen.values()), reasons=reasons, ties=int(tied_P.sum()))


def _best_rows(candidates: ScoredCandidates, teachers: Sequence[str]) -> tuple[Ints, Floats, Bools]:
    """The best row of each teacher for each prompt, prompts in order of appearance.

    Returns:
        (P, T) the row's position in the candidates, -1 if the teacher has none; its score, -inf
        if there is none; whether a later row of the teacher is as good.
    """
    shape = len(candidates.by_prompt), len(teachers)
    row_PT = np.full(shape, -1, dtype=np.int64)
    score_PT = np.full(shape, -np.inf)
    tied_PT = np.zeros(shape, dtype=bool)
    for prompt, positions in enumerate(candidates.by_prompt):
        by_teacher: dict[str, list[int]] = {}
        for position in positions:
            by_teacher.setdefault(candidates.rows[position].teacher, []).append(position)
        for column, teacher in enumerate(teachers):
            if samples := by_teacher.get(teacher):
                (first, *_), tied = top(candidates.scores[samples], 1)
                row_PT[prompt, column] = samples[first]
                score_PT[prompt, column] = candidates.scores[samples[first]]
                tied_PT[prompt, column] = bool(tied)
    return row_PT, score_PT, tied_PT


def _reason(
    candidates: ScoredCandidates, position: int, chosen: int | None, given: Mapping[str, int]
) -> str:
    """Why this row of a prompt is not the chosen one; `given` is teacher -> rows chosen."""
    teacher = candidates.rows[position].teacher
    if teacher not in given:
        return "its teacher is not in teacher_mix"
    if chosen is None and candidates.options["quota"] is None:
        return "its prompt got no row: with more rows the shares of teachers could not be kept"
    if chosen is None:
        return "its prompt got no row: the quotas of its teachers are used up"
    lead = candidates.scores[position] - candidates.scores[chosen]
    equal = tolerance(float(candidates.scores[chosen]))
    if lead < -equal:
        return BALANCED.default_reason
    if lead <= equal and chosen < position:
        return TIED
    part = f"{teacher} gives {given[teacher]} to prompts that need it more"
    return f"its teacher's part is used up: {part}"


@dataclass(frozen=True)
class Counts:
    """Rows in all, and at least and at most so many of each of T teachers."""

    total: int
    least: tuple[int, ...]
    most: tuple[int, ...]


def counts_under_quotas(has_PT: Bools, most_T: Sequence[int]) -> Counts:
    """As many prompts as can get a row when no teacher gives more than its quota."""
    most = tuple(min(quota, len(has_PT)) for quota in most_T)
    patterns = np.unique(has_PT, axis=0, return_counts=True)
    return Counts(_most_prompts(*patterns, most), (0,) * len(most), most)


def counts_in_shares(has_PT: Bools, shares_T: Sequence[Fraction]) -> Counts:
    """As many prompts as can get a row when the teachers keep their shares.

    Args:
        has_PT: where a teacher has a row; every teacher has one somewhere.
        shares_T: above 0, summing to 1.
    """
    patterns = np.unique(has_PT, axis=0, return_counts=True)
    # The floors of the shares grow with the total, so bisection finds where they stop being
    # possible. Who is rounded up may change with the total, so that is tried one by one.
    low, high = 1, int(has_PT.any(axis=1).sum())
    while low < high:
        middle = (low + high + 1) // 2
        floors = [math.floor(share * middle) for share in shares_T]
        possible = _most_prompts(*patterns, floors) == sum(floors)
        low, high = (middle, high) if possible else (low, middle - 1)
    for total in range(low, 1, -1):
        counts = apportion(total, shares_T)
        # From the least, rows can be added one by one without taking any teacher's away
        # (augmenting paths), up to what the most allow.
        least_fit = _most_prompts(*patterns, counts.least) == sum(counts.least)
        if least_fit and _most_prompts(*patterns, counts.most) >= total:
            return counts
    return apportion(1, shares_T)


def apportion(total: int, shares_T: Sequence[Fraction]) -> Counts:
    """Largest remainders: every teacher's exact part, rounded down or up.

    Where teachers have equal remainders and only some of them can be rounded up, `least` and
    `most` leave open which.
    """
    exact = [divmod(share * total, 1) for share in shares_T]
    missing = total - sum(floor for floor, _ in exact)
    cut = sorted((rest for _, rest in exact), reverse=True)[missing - 1] if missing else 1
    most = [floor + (rest >= cut) for floor, rest in exact]
    least = [floor + (rest > cut) for floor, rest in exact]
    return Counts(total, tuple(most if sum(most) == total else least), tuple(most))


def _most_prompts(patterns_KT: Bools, size_K: Ints, most_T: Sequence[int]) -> int:
    """The most prompts that can get a row if each teacher gives at most so many.

    A maximum flow: source -> patterns -> teachers -> sink. `patterns_KT` are the distinct rows of
    the table that says who has a row for which prompt; `size_K` prompts have each.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    n_patterns, n_teachers = patterns_KT.shape
    patterns, teachers = np.arange(n_patterns), n_patterns + np.arange(n_teachers)
    source, sink = n_patterns + n_teachers, n_patterns + n_teachers + 1
    pattern, teacher = np.nonzero(patterns_KT)
    start = np.concatenate([np.full(n_patterns, source), pattern, teachers])
    end = np.concatenate([patterns, teachers[teacher], np.full(n_teachers, sink)])
    capacity = np.concatenate([size_K, size_K[pattern], most_T]).astype(np.int32)
    graph = csr_array((capacity, (start, end)), shape=(sink + 1, sink + 1))
    return int(maximum_flow(graph, source, sink).flow_value)


def assign(values_PT: Floats, row_PT: Ints, counts: Counts) -> tuple[Ints, Bools]:
    """The assignment with the largest total value, exact but for rounding.

    Args:
        values_PT: the score of a prompt's row by that teacher; -inf where there is none.
        row_PT: the row's position; of several best assignments, one prefers earlier rows.
        counts: what can be met.

    Returns:
        (P,) the column chosen, T for none; and (P,) whether another would have been as good.
    """
    n_prompts, none = values_PT.shape
    (some,) = np.nonzero(np.isfinite(values_PT).any(axis=1))
    finite = values_PT[np.isfinite(values_PT)]
    # The column of prompts without a row has a fixed count, so any value will do.
    values_PC = np.pad(values_PT[some], ((0, 0), (0, 1)), constant_values=finite.min())
    row_PC = np.pad(row_PT[some], ((0, 0), (0, 1)), constant_values=row_PT.max() + 1)
    least_C = np.array([*counts.least, len(some) - counts.total])
    most_C = np.array([*counts.most, len(some) - counts.total])

    penalty_C = _starting_penalties(values_PC, least_C, most_C)
    # Equal here is equal but for rounding: a wider tolerance would add up to a worse total.
    rounding = 8 * np.finfo(float).eps * max(1.0, float(np.abs(finite).max()))
    net_PC = values_PC - penalty_C
    highest_PC = net_PC >= net_PC.max(axis=1, keepdims=True) - rounding
    column_P = np.where(highest_PC, row_PC, row_PC.max() + 1).argmin(axis=1)

    # A penalty above 0 is right only if the column ends full, one below 0 only if it ends with
    # the least; a column without a penalty may hold anything in between.
    count_C = np.bincount(column_P, minlength=none + 1)
    target_C = np.where(penalty_C > 0, most_C, least_C)
    target_C = np.where(penalty_C == 0, np.clip(count_C, least_C, most_C), target_C)
    slack = none + 1
    target_N = np.append(target_C, len(some) - target_C.sum())
    penalty_N = np.append(penalty_C, 0.0)
    while True:
        more_C, fewer_C = most_C - target_N[:slack], target_N[:slack] - least_C
        cost_NN = _move_costs(values_PC, column_P, more_C, fewer_C)
        excess_N = np.bincount(column_P, minlength=slack + 1) - target_N
        if not excess_N.any():
            break
        # With the penalties no move gains anything; below 0 there is only rounding.
        loss_NN = np.maximum(cost_NN - penalty_N[:, None] + penalty_N, 0.0)
        distance_N, previous_N = _cheapest_paths(loss_NN, excess_N > 0)
        end = int(np.where(excess_N < 0, distance_N, np.inf).argmin())
        penalty_N -= np.minimum(distance_N, distance_N[end])
        path = [end]
        while previous_N[path[0]] >= 0:
            path.insert(0, int(previous_N[path[0]]))

        # As many prompts as possible along the path.
        room = [excess_N[path[0]], -excess_N[end]]
        moves: list[tuple[int, Ints]] = []
        for old, new in itertools.pairwise(path):
            if new == slack:
                room.append(more_C[old])
            elif old == slack:
                room.append(fewer_C[new])
            else:
                (here,) = np.nonzero(column_P == old)
                loss = values_PC[here, old] - values_PC[here, new]
                moves.append((new, here[loss == loss.min()]))
                room.append(len(moves[-1][1]))
        count = int(min(room))
        for new, prompts in moves:
            column_P[prompts[-count:]] = new  # so that earlier prompts keep their first rows
        for old, new in itertools.pairwise(path):
            if slack in (old, new):
                target_N[old] += count
                target_N[new] -= count

    equal = tolerance(float(np.abs(finite).max()))
    column_of_all_P = np.full(n_prompts, none)
    column_of_all_P[some] = column_P
    tied_P = np.zeros(n_prompts, dtype=bool)
    tied_P[some] = _tied(values_PC, column_P, cost_NN, equal)
    return column_of_all_P, tied_P


def _starting_penalties(values_PC: Floats, least_C: Ints, most_C: Ints) -> Floats:
    """(C,) penalties under which prompts go nearly where they should; they only save time.

    Above 0 where too many prompts would go otherwise, below 0 where too few. One after the other
    is set so that its column's count fits, given the others, and this a few times around.
    """
    penalty_C = np.zeros(values_PC.shape[1])
    for _ in range(40):
        last_C = penalty_C.copy()
        for column, (least, most) in enumerate(zip(least_C, most_C, strict=True)):
            others_PC = values_PC - penalty_C
            others_PC[:, column] = -np.inf
            lead_P = np.sort(values_PC[:, column] - others_PC.max(axis=1))[::-1]
            lead_P = lead_P[np.isfinite(lead_P)]
            coming = int((lead_P > 0).sum())
            count = min(max(coming, least), most)
            fits = count == coming or not len(lead_P)
            # Between the last prompt to come and the first to stay away.
            border_P = lead_P[max(0, count - 1) : count + 1]
            penalty_C[column] = 0.0 if fits else float(border_P.mean())
        if np.array_equal(penalty_C, last_C):
            break
    return penalty_C


def _move_costs(values_PC: Floats, column_P: Ints, more_C: Ints, fewer_C: Ints) -> Floats:
    """(N, N) the value lost by the cheapest move from node to node; inf if there is none.

    A move from one column to another is that of the prompt that loses least. From a column to the
    slack node: the column may hold one more than planned (`more_C` > 0); back: one fewer. Both are
    free.
    """
    slack = values_PC.shape[1]
    cost_NN = np.full((slack + 1, slack + 1), np.inf)
    for old in range(slack):
        (here,) = np.nonzero(column_P == old)
        if len(here):
            cost_NN[old, :slack] = (values_PC[here, old][:, None] - values_PC[here]).min(axis=0)
    cost_NN[:slack, slack][more_C > 0] = 0.0
    cost_NN[slack, :slack][fewer_C > 0] = 0.0
    np.fill_diagonal(cost_NN, np.inf)
    return cost_NN


def _cheapest_paths(loss_NN: Floats, start_N: Bools) -> tuple[Floats, Ints]:
    """(N,) cost of the cheapest path from any start, and (N,) the node before; -1 at a start.

    Bellman-Ford; no loss is below 0.
    """
    distance_N = np.where(start_N, 0.0, np.inf)
    previous_N = np.full(len(distance_N), -1)
    while True:
        through_NN = distance_N[:, None] + loss_NN
        nearer_N = through_NN.min(axis=0) < distance_N
        if not nearer_N.any():
            return distance_N, previous_N
        previous_N = np.where(nearer_N, through_NN.argmin(axis=0), previous_N)
        distance_N = np.where(nearer_N, through_NN.min(axis=0), distance_N)


def _tied(values_PC: Floats, column_P: Ints, cost_NN: Floats, equal: float) -> Bools:
    """(P,) whether a prompt could be elsewhere if others moved too, without any loss in all.

    `cost_NN`: the moves of this best assignment, so that no cycle of them gains anything;
    `equal`: losses up to this are none.
    """
    back_NN = cost_NN.copy()
    np.fill_diagonal(back_NN, 0.0)
    for node in range(len(back_NN)):  # cheapest paths between all nodes (Floyd-Warshall)
        back_NN = np.minimum(back_NN, back_NN[:, [node]] + back_NN[[node]])
    prompts = np.arange(len(column_P))
    loss_PC = values_PC[prompts, column_P][:, None] - values_PC
    cycle_PC = loss_PC + back_NN[: values_PC.shape[1], column_P].T
    cycle_PC[prompts, column_P] = np.inf
    return np.asarray((cycle_PC <= equal).any(axis=1))


def _check(options: Mapping[str, Any], teachers: Sequence[str], where: str) -> None:
    if None not in (options["quota"], options["teacher_mix"]):
        what = "`quota` and `teacher_mix` exclude each other"
        raise ConfigError(what, where=where, remedy="keep one of them")
    for option in ("quota", "teacher_mix"):
        for teacher in options[option] if isinstance(options[option], Mapping) else ():
            if teacher not in teachers:
                raise ConfigError(
                    "no row is by this teacher",
                    where=f"{where}: {option}", found=teacher,
                    remedy=did_you_mean(teacher, teachers),
                )  # fmt: skip


BALANCED = Strategy(
    name="balanced",
    description="the best row of each prompt, with every teacher held to its part of the rows",
    choose=balanced,
    default_reason="another response to the prompt scored better",
    needs=frozenset({"scores"}),
    options={
        "quota": Option(quota, None, "the most rows of each teacher, or {teacher: most}"),
        "teacher_mix": Option(
            teacher_mix, None, "shares of the chosen rows, {teacher: share}; else equal"
        ),
    },
    check=_check,
)
