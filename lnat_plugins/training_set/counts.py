"""What a selection took and left, by teacher, as tables. Knows nothing of files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from lnat_plugins._tables import markdown_table
from lnat_plugins.ranking.wording import number
from lnat_plugins.selection import Selection

_ALL: Final = "all"


def counts(selection: Selection) -> str:
    """Two tables in markdown: each teacher's part, and what was left out for which reason.

    Means are over rows that have a score: those that passed the filters before it. The second
    table is missing if all were chosen.
    """
    blocks = [_teachers(selection)]
    if selection.reasons:
        blocks.append(_left_out(selection))
    return "\n\n".join(blocks) + "\n"


def totals(selection: Selection) -> str:
    """One line: "prompts: 3 of 4, responses: 3 of 9, ties: 0"."""
    prompts = {selection.prompts[index] for index in selection.indices}
    return (
        f"prompts: {len(prompts)} of {len(set(selection.prompts))}, responses: "
        f"{len(selection.indices)} of {len(selection.scores)}, ties: {selection.ties}"
    )


def _teachers(selection: Selection) -> str:
    scored = selection.metric is not None
    headers = ["Teacher", "Candidates", "Chosen", "Share"]
    headers += ["Mean of chosen", "Mean of scored"] if scored else []
    of_teacher: dict[str, list[int]] = {}
    for index, teacher in enumerate(selection.teachers):
        of_teacher.setdefault(teacher, []).append(index)
    taken = set(selection.indices)
    rows = []
    for name, candidates in (*of_teacher.items(), (_ALL, [*range(len(selection.teachers))])):
        chosen = [index for index in candidates if index in taken]
        row = [name, str(len(candidates)), str(len(chosen))]
        row.append(number(len(chosen) / max(1, len(taken)), 3))
        if scored:
            row += [_mean(selection, chosen), _mean(selection, candidates)]
        rows.append(row)
    return markdown_table(headers, rows, left=1)


def _mean(selection: Selection, indices: Sequence[int]) -> str:
    scores = [s for index in indices if not math.isnan(s := selection.scores[index])]
    return number(math.fsum(scores) / len(scores) if scores else math.nan)


def _left_out(selection: Selection) -> str:
    teachers = list(selection.chosen_by_teacher)
    by_reason = selection.left_out
    rows = [
        [reason, *(str(found.get(teacher, 0)) for teacher in teachers), str(sum(found.values()))]
        for reason, found in by_reason.items()
    ]
    sums: Counter[str] = Counter()
    for found in by_reason.values():
        sums.update(found)
    rows.append([_ALL, *(str(sums[teacher]) for teacher in teachers), str(sums.total())])
    return markdown_table(["Left out", *teachers, _ALL], rows, left=1)
