"""Degenerate rows in a choice: how many, and a warning where they are too many.

Many scores favour degenerate rows: an answer without its working is short, a loop is easy to
predict. Which kinds there are is said in `teacher_set.degenerate`. Nothing is dropped.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lnat_plugins.ranking.bootstrap import LEVEL
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.degenerate import KINDS, count_kinds, degenerate_kinds
from lnat_plugins.teacher_set.prompts import Candidate, Candidates

LEAST_SHARE: Final = 0.1
"""A kind of degenerate rows is warned of from this share of the chosen rows on.

A tenth is far above what sound teachers write and small enough to be seen in time: a student learns
a form that a tenth of its rows have. The rule looks at what would be trained on, so it does not
require that the kind is commoner than among the rows that could be chosen: that decides only
whether the warning says that the choice prefers it.
"""

LEAST_ROWS: Final = 5
"""And from so many rows on: of a few chosen rows one or two reach any share by accident."""

LOOKED_AT: Final = 2_000
"""The most rows that were not chosen in which a kind is sought; of more, so many are drawn.

The share is then estimated, to about 0.01 (one standard error), and costs the same for any set.
"""


def with_degenerate(selection: Selection, candidates: Candidates) -> Selection:
    """With its counts of degenerate rows, and the warnings that follow from them.

    Sets `degenerate`, `degenerate_eligible` and `warnings`. A kind is warned of if it makes up
    `LEAST_SHARE` of the chosen rows and `LEAST_ROWS` of them; only then is it sought among the
    other rows that passed the filters.
    """
    chosen = [candidates.rows[index] for index in selection.indices]
    counts = count_kinds((row.teacher, _kinds(row, KINDS)) for row in chosen)
    by_kind = {
        kind: Counter({name: one.kinds[kind] for name, one in counts.items() if one.kinds[kind]})
        for kind in KINDS
    }
    least = max(LEAST_ROWS, LEAST_SHARE * len(chosen))
    many = [kind for kind in KINDS if by_kind[kind].total() >= least]
    shares: dict[str, float] = {}
    about = ""
    if many:
        all_chosen = set(selection.indices)
        others = [candidates.rows[i] for i in selection.eligible if i not in all_chosen]
        n_all, n_others = len(chosen) + len(others), len(others)
        if n_others > LOOKED_AT:
            others, about = random.Random(selection.pool).sample(others, LOOKED_AT), "about "
        found = Counter(kind for row in others for kind in _kinds(row, many))
        weight = n_others / max(1, len(others))
        shares = {kind: (by_kind[kind].total() + weight * found[kind]) / n_all for kind in many}
    return replace(
        selection,
        degenerate={
            teacher: {kind: n for kind, n in count.kinds.items() if n}
            for teacher, count in counts.items()
            if count.degenerate
        },
        degenerate_eligible=shares,
        warnings=tuple(
            _warning(selection, kind, by_kind[kind], share, about) for kind, share in shares.items()
        ),
    )


def _kinds(row: Candidate, among: Sequence[str]) -> tuple[str, ...]:
    prompt = row.messages[-1]["content"]
    return degenerate_kinds(row.text, row.response.extra, prompt, among=among)


def _warning(
    selection: Selection, kind: str, by_teacher: Counter[str], eligible: float, about: str
) -> str:
    """Both shares, who wrote most of the rows, and what to do."""
    from scipy import stats

    n_chosen, n_kind = len(selection.indices), by_teacher.total()
    most: list[str] = []
    for teacher, _ in by_teacher.most_common():
        if 2 * sum(by_teacher[name] for name in most) > n_kind:
            break
        most.append(teacher)
    whose = f"most by {', '.join(f'{name} ({by_teacher[name]})' for name in most)}"
    if len(by_teacher) == 1:
        whose = f"all by {most[0]}"
    by = selection.metric or f"strategy {selection.strategy}"
    # What a choice that does not see the kind would reach with probability 1 - LEVEL.
    is_preferred = stats.binom.sf(n_kind - 1, n_chosen, eligible) < 1 - LEVEL
    remedies = [f"leave {' and '.join(most)} out"]
    if not selection.settings.get("require_correct"):
        remedies.append("set `require_correct`")
    if is_preferred and selection.metric:
        remedies.append("choose by another metric")
    finding = f"{by} prefers such rows" if is_preferred else "no more than chance explains"
    return (
        f"{n_kind} of {n_chosen} chosen rows ({n_kind / n_chosen:.1%}) are degenerate ({kind}), "
        f"{whose}, against {about}{eligible:.1%} of the rows that could be chosen: {finding}. Look "
        f"at them before training, then {', or '.join(remedies)}."
    )
