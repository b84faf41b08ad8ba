"""`best_teacher`: all rows of the teacher that ranks first. Knows nothing of other teachers' rows.

The mean is that of `lnat rank`: over prompts that every teacher has, samples averaged first.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import DataError
from lnat_plugins.ranking.winners import best_mask
from lnat_plugins.selection.strategy import Choice, Contest, Strategy


def best_teacher(contest: Contest) -> Choice:
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


def _cells(contest: Contest) -> NDArray[np.float64]:
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


def _nothing_matched(contest: Contest, cells_PT: NDArray[np.float64]) -> DataError:
    has_T = (~np.isnan(cells_PT)).sum(axis=0)
    least = int(has_T.argmin())
    return DataError(
        "no prompt has a row of every teacher, so that teachers cannot be compared",
        where="strategy 'best_teacher'",
        found=f"{contest.teachers[least]}: {has_T[least]} of {len(cells_PT)} prompts",
        remedy="leave that teacher's rows out, loosen the filters, or choose by `strategy: best`",
    )


STRATEGY = Strategy(
    name="best_teacher",
    description="all rows of the teacher with the best mean score",
    choose=best_teacher,
    otherwise="another teacher ranks higher",
    needs=frozenset({"scores"}),
    source="arXiv 2510.03988 (teacher selection)",
)
