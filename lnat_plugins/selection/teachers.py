"""The strategies that compare teachers: `best_teacher` and `best_set`.

Teachers are those with a row that passed the filters. They are compared as `lnat rank` does: on the
prompts that every teacher has (matched), samples averaged first; a metric whose figure is a ratio
of means by the ratio of the means. Shapes: n candidates, P prompts, T teachers, K parts of a score
(1, or 2 for a ratio of means), B resamples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.ranking.best_set import best_set as find_best_set
from lnat_plugins.ranking.bootstrap import RESAMPLES, known_rows, resampled_means
from lnat_plugins.ranking.table import TeacherTable, cell_means
from lnat_plugins.selection.base import (
    Choice,
    ScoredCandidates,
    Strategy,
    choose_per_prompt,
    top,
)

_OUTRANKED: Final = "another teacher ranks higher"
_NO_MEMBER: Final = "the teacher is not among those that may be best"


def best_teacher(candidates: ScoredCandidates) -> Choice:
    """Every row of the teacher that ranks first, also on prompts that the others lack.

    Ties: the teacher whose first row comes first.

    Raises:
        DataError: no prompt has a row of every teacher, or a teacher's denominators add up to 0.
    """
    table = teacher_table(candidates, "best_teacher")
    (first,), level = top(table.teacher_scores(table.matched), 1)
    winner = table.teachers[first]
    reasons = dict.fromkeys(table.teachers, f"{_OUTRANKED}: {winner}")
    for tied in level:
        reasons[table.teachers[tied]] = f"an equally good teacher comes first: {winner}"
    teacher_of = [row.teacher for row in candidates.rows]
    return Choice(
        tuple(i for i, teacher in enumerate(teacher_of) if teacher == winner),
        reasons={i: reasons[name] for i, name in enumerate(teacher_of) if name != winner},
        ties=int(bool(level)),
    )


def best_set(candidates: ScoredCandidates) -> Choice:
    """The best row of each prompt, among the teachers that may be best.

    The set is that of `ranking.best_set`, as `lnat rank` finds it: the teachers that the scores
    cannot tell from the best one at 95 %, by `bootstrap.RESAMPLES` resamples drawn with the
    candidates' seed. With one matched prompt nothing can be resampled, and all teachers are in it.
    A prompt without a row of a member gives no row.

    Raises:
        DataError: no prompt has a row of every teacher, or a teacher's denominators add up to 0.
    """
    table = teacher_table(candidates, "best_set")
    matched_P = table.matched
    means_BC = resampled_means(table.columns(matched_P), RESAMPLES, candidates.seed)
    found = find_best_set(
        table.teacher_scores(matched_P),
        known_rows(table.of_means(means_BC)),
        table.influence(matched_P),
        outcomes=0,  # the prompts still needed are not asked for
    )
    members = [table.teachers[column] for column in found.members]
    choice = choose_per_prompt(candidates, candidates.scores, teachers=members)
    others = (i for i, row in enumerate(candidates.rows) if row.teacher not in members)
    reason = f"{_NO_MEMBER}: {', '.join(members)}"
    return replace(choice, reasons={**choice.reasons, **dict.fromkeys(others, reason)})


def teacher_table(candidates: ScoredCandidates, strategy: str) -> TeacherTable:
    """The candidates' scores by prompt and teacher, comparable: at least one prompt is matched.

    Args:
        candidates: prompts and teachers in order of first appearance.
        strategy: its name, for messages.

    Raises:
        DataError: no prompt has a row of every teacher, or a teacher's denominators add up to 0.
    """
    teachers = candidates.teachers
    column = {teacher: i for i, teacher in enumerate(teachers)}
    column_n = np.array([column[row.teacher] for row in candidates.rows])
    prompt_n = np.empty_like(column_n)
    for prompt, positions in enumerate(candidates.by_prompt):
        prompt_n[list(positions)] = prompt
    parts_Kn = candidates.scores[None]
    if candidates.parts is not None:
        sign = 1 if candidates.higher_is_better else -1
        parts_Kn = candidates.parts * np.array([[sign], [1]])
    shape = (len(candidates.by_prompt), len(teachers))
    parts = np.stack([cell_means(part_n, prompt_n, column_n, shape) for part_n in parts_Kn])
    table = TeacherTable(teachers, parts)
    matched_P, where = table.matched, f"strategy {strategy!r}"
    if not matched_P.any():
        has_T = np.isfinite(table.scores).sum(axis=0)
        least = int(has_T.argmin())
        raise DataError(
            "no prompt has a row of every teacher, so that teachers cannot be compared",
            where=where,
            found=f"{teachers[least]}: {has_T[least]} of {len(matched_P)} prompts",
            remedy="leave that teacher's rows out, loosen the filters, or choose by "
            "`strategy: best`",
        )
    finite_T = np.isfinite(table.teacher_scores(matched_P))
    if not finite_T.all():
        raise DataError(
            "a teacher cannot be ranked by this metric: its denominators add up to 0",
            where=where,
            found=teachers[int(finite_T.argmin())],
            remedy="leave that teacher's rows out, or choose by another metric",
        )
    return table


BEST_TEACHER: Final = Strategy(
    name="best_teacher",
    description="all rows of the teacher with the best mean score",
    choose=best_teacher,
    default_reason=_OUTRANKED,
    needs=frozenset({"scores"}),
    source="arXiv 2510.03988 (teacher selection)",
)

BEST_SET: Final = Strategy(
    name="best_set",
    description="the best row of each prompt, among the teachers that may be best",
    choose=best_set,
    default_reason="another response to the prompt scored better",
    needs=frozenset({"scores"}),
)
