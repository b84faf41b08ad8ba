"""`best`: the best row of each prompt. Knows nothing of what rows are compared by.

`best_teacher`: all rows of the teacher that ranks first. Knows nothing of other teachers' rows.

The mean is that of `lnat rank`: over prompts that every teacher has, samples averaged first.

`longest`: the longest row of each prompt, a control for `best`. Knows no scores.

`random`: one row of each prompt by lot, a control for `best`. Knows no scores.

`shortest`: the shortest row of each prompt, a control for `best`. Knows no scores.

`threshold`: every row that is good enough. Knows nothing of prompts.

`top_fraction`: the best share of the whole pool. Knows nothing of prompts.

`top_k`: the k best rows of the whole pool. Knows nothing of prompts.

`weighted`: the best few rows of each prompt, weighed by their lead. Knows no teachers.

The built-in strategies by name, one a file. None knows of students, files and hosts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import DataError
from lnat_plugins.ranking.table import best_mask
from lnat_plugins.selection.balanced import BALANCED
from lnat_plugins.selection.base import (
    REQUIRED,
    TIED,
    Choice,
    Option,
    ScoredCandidates,
    Strategy,
    first_of_each_prompt,
    near,
    number,
    share,
    top,
    top_rows,
    whole,
)


def best(contest: ScoredCandidates) -> Choice:
    """argmax over the prompt's rows, whoever wrote them. Ties: the first row."""
    return first_of_each_prompt(contest, contest.goodness)


BEST = Strategy(
    name="best",
    description="the best row of each prompt",
    choose=best,
    otherwise="another response to the prompt scored better",
    needs=frozenset({"scores"}),
    source="arXiv 2510.03988 (response selection)",
)


def best_teacher(contest: ScoredCandidates) -> Choice:
    """Every row of the best teacher, also on prompts that the others lack.

    Teachers are those with a row that passed the filters. Ties: the teacher whose first row comes
    first.

    Raises:
        DataError: no prompt has a row of every teacher, so that they cannot be compared.
    """
    cells_PT = _cells(contest)
    matched_P = ~np.isnan(cells_PT).any(axis=1)
    if not matched_P.any():
        raise _nothing_matched(contest, cells_PT)
    tied_T = best_mask(cells_PT[matched_P].mean(axis=0)[None], True)[0]
    winner = contest.teachers[int(tied_T.argmax())]
    chosen = tuple(i for i, row in enumerate(contest.rows) if row.teacher == winner)
    why = f"another teacher ranks higher: {winner}"
    tied = {name for name, level in zip(contest.teachers, tied_T, strict=True) if level}
    reasons = {
        i: f"an equally good teacher comes first: {winner}" if row.teacher in tied else why
        for i, row in enumerate(contest.rows)
        if row.teacher != winner
    }
    return Choice(chosen, reasons=reasons, ties=int(len(tied) > 1))


def _cells(contest: ScoredCandidates) -> NDArray[np.float64]:
    """(P, T) mean goodness of a teacher's samples on a prompt; NaN if it has none there."""
    column = {teacher: index for index, teacher in enumerate(contest.teachers)}
    cells_PT = np.full((len(contest.by_prompt), len(column)), math.nan)
    for prompt, positions in enumerate(contest.by_prompt):
        samples: dict[int, list[float]] = {}
        for position in positions:
            teacher = column[contest.rows[position].teacher]
            samples.setdefault(teacher, []).append(float(contest.goodness[position]))
        for teacher, values in samples.items():
            cells_PT[prompt, teacher] = math.fsum(values) / len(values)
    return cells_PT


def _nothing_matched(contest: ScoredCandidates, cells_PT: NDArray[np.float64]) -> DataError:
    has_T = (~np.isnan(cells_PT)).sum(axis=0)
    least = int(has_T.argmin())
    return DataError(
        "no prompt has a row of every teacher, so that teachers cannot be compared",
        where="strategy 'best_teacher'",
        found=f"{contest.teachers[least]}: {has_T[least]} of {len(cells_PT)} prompts",
        remedy="leave that teacher's rows out, loosen the filters, or choose by `strategy: best`",
    )


BEST_TEACHER = Strategy(
    name="best_teacher",
    description="all rows of the teacher with the best mean score",
    choose=best_teacher,
    otherwise="another teacher ranks higher",
    needs=frozenset({"scores"}),
    source="arXiv 2510.03988 (teacher selection)",
)


def longest(contest: ScoredCandidates) -> Choice:
    """The response with the most tokens. Ties: the first row."""
    return first_of_each_prompt(contest, contest.tokens.astype(np.float64))


LONGEST = Strategy(
    name="longest",
    description="the longest row of each prompt (a control)",
    choose=longest,
    otherwise="another response to the prompt is longer",
    needs=frozenset({"tokens"}),
)


def random(contest: ScoredCandidates) -> Choice:
    """One of each prompt's rows, all equally likely; the same seed draws the same row.

    Every prompt has a generator of its own, seeded with `seed` and the prompt's id: what is drawn
    depends on these and on the number of its rows, not on other prompts or their order.
    """
    positions = []
    for group in contest.by_prompt:
        name = hashlib.sha256(contest.rows[group[0]].prompt_id.encode()).digest()
        draw = np.random.default_rng([contest.seed, int.from_bytes(name, "big")])
        positions.append(group[int(draw.integers(len(group)))])
    return Choice(tuple(positions))


RANDOM = Strategy(
    name="random",
    description="a row of each prompt by lot (a control)",
    choose=random,
    otherwise="another response to the prompt was drawn",
)


def shortest(contest: ScoredCandidates) -> Choice:
    """The response with the fewest tokens. Ties: the first row."""
    return first_of_each_prompt(contest, -contest.tokens.astype(np.float64))


SHORTEST = Strategy(
    name="shortest",
    description="the shortest row of each prompt (a control)",
    choose=shortest,
    otherwise="another response to the prompt is shorter",
    needs=frozenset({"tokens"}),
)


def threshold(contest: ScoredCandidates) -> Choice:
    """Rows that reach the threshold, which is written on the metric's own scale.

    At least the threshold where the metric is better when higher, at most where it is better
    when lower. A value that rounding alone keeps from it (`ranking.winners.TIE`) reaches it.
    If none does, every reason tells the best score.
    """
    sign = 1 if contest.higher_is_better else -1
    bar = contest.options["threshold"] * sign
    chosen = tuple(np.flatnonzero(contest.goodness >= bar - near(bar)).tolist())
    if chosen:
        return Choice(chosen)
    why = f"{THRESHOLD.otherwise}: the best score is {sign * float(contest.goodness.max()):.4g}"
    return Choice((), reasons=dict.fromkeys(range(len(contest.rows)), why))


THRESHOLD = Strategy(
    name="threshold",
    description="every row whose score reaches a threshold",
    choose=threshold,
    otherwise="short of the threshold",
    needs=frozenset({"scores"}),
    options={
        "threshold": Option(
            number,
            REQUIRED,
            "in the metric's unit: at least so much, or at most where lower is better",
        )
    },
)


def top_fraction(contest: ScoredCandidates) -> Choice:
    """The ceil(fraction · n) best of the n rows that passed the filters: at least one.

    The fraction is taken as written: 0.07 of 100 rows are 7, not the 8 that floating point
    gives. A tie at the cut counts as one.
    """
    return top_rows(
        contest.goodness, math.ceil(contest.options["fraction"] * len(contest.goodness))
    )


TOP_FRACTION = Strategy(
    name="top_fraction",
    description="the best share of all rows, whatever their prompts",
    choose=top_fraction,
    otherwise="not among the best fraction of the rows",
    needs=frozenset({"scores"}),
    options={
        "fraction": Option(
            share,
            REQUIRED,
            "share of the rows that passed the filters, 0.1 for a tenth; rounded up",
        )
    },
)


def top_k(contest: ScoredCandidates) -> Choice:
    """The k best of all rows, or all if there are no more; a prompt may get several or none.

    A tie at the cut counts as one.
    """
    return top_rows(contest.goodness, contest.options["k"])


TOP_K = Strategy(
    name="top_k",
    description="the k best rows of all, whatever their prompts",
    choose=top_k,
    otherwise="not among the k best rows",
    needs=frozenset({"scores"}),
    options={"k": Option(whole, REQUIRED, "how many rows are chosen")},
)


def weighted(contest: ScoredCandidates) -> Choice:
    """The B = `budget` best rows of each prompt, with LARK's weights, which sum to 1 a prompt.

    w_k = (g_k − g_{B+1}) / Σ_{j≤B} (g_j − g_{B+1}), where g is goodness in falling order.

    Deviation: with B rows or fewer there is no g_{B+1}, and all weigh the same; the authors' code
    takes the last row's g instead, and so gives that row weight 0. All weigh the same, too, if
    all differences are 0. A tie at a prompt's cut counts as one; a chosen row in it has weight 0
    unless all have.

    Source: arXiv 2605.30651 (LARK), for any metric instead of LARK's own.
    """
    weights: dict[int, float] = {}
    reasons: dict[int, str] = {}
    ties = 0
    for group in contest.by_prompt:
        values = contest.goodness[list(group)]
        chosen, tied = top(values, contest.options["budget"])
        shares = _weights(values, chosen).tolist()
        weights |= {group[place]: share for place, share in zip(chosen, shares, strict=True)}
        reasons |= {group[place]: TIED for place in tied}
        ties += bool(tied)
    return Choice(tuple(weights), weights, reasons, ties)


def _weights(values: NDArray[np.float64], chosen: tuple[int, ...]) -> NDArray[np.float64]:
    left = np.delete(values, chosen)
    uniform = np.full(len(chosen), 1 / len(chosen))
    if not len(left):
        return uniform
    lead = values[list(chosen)] - left.max()
    # Of rows in a tie the first is chosen, even if rounding puts it below the one left out.
    lead[lead <= near(float(left.max()))] = 0.0
    return lead / lead.sum() if lead.any() else uniform


WEIGHTED = Strategy(
    name="weighted",
    description="the best rows of each prompt, weighed by how far they lead the next one",
    choose=weighted,
    otherwise="not among the best `budget` rows of its prompt",
    needs=frozenset({"scores"}),
    options={"budget": Option(whole, REQUIRED, "how many rows of each prompt are chosen")},
    source="arXiv 2605.30651 (LARK)",
    weighs=True,
)

STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            BEST,
            TOP_K,
            TOP_FRACTION,
            THRESHOLD,
            BEST_TEACHER,
            WEIGHTED,
            BALANCED,
            RANDOM,
            SHORTEST,
            LONGEST,
        )
    }
)
