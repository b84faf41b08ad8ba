"""The rows of a contest as a table: the best row of each teacher for each prompt.

Knows nothing of quotas and shares. Shapes: P prompts, T teachers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.selection.strategies._top import top
from lnat_plugins.selection.strategy import Contest


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


def cells_of(contest: Contest, teachers: Sequence[str]) -> Cells:
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
