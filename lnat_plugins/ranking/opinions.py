"""Second opinions: whom other scores of the same pass, and plain length, would put first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.ranking.table import ScoreTable, cannot_compare, score_table

_ASKED: Final = (
    "local_naturalness", "global_naturalness", "global_step_naturalness", "aslec_drop",
    "aslec_drop2", "ifd", "rsr", "lark",
)  # fmt: skip


@dataclass(frozen=True)
class Opinion:
    """Whom one score puts first.

    Attributes:
        name: the metric, or "longest" and "shortest" by mean tokens of a response.
        first: the teacher.
        prompts: prompts with that score for every teacher.
    """

    name: str
    first: str
    prompts: int


def opinions(
    rows: Sequence[Scored], prompts: Sequence[str], own: ScoreTable, window: str,
    metrics: Mapping[str, Metric] = METRICS,
) -> tuple[Opinion, ...]:  # fmt: skip
    """Those of the scores whose statistics the records hold; none of one teacher.

    Args:
        rows, prompts, window: as for `rank`.
        own: what is ranked by; it is no second opinion, nor is a score that equals it everywhere,
            nor, of local naturalness, `global_step_naturalness`: it is local naturalness under the
            whole context, which stands among the other ways of scoring.
        metrics: name -> metric.
    """
    found: list[Opinion] = []
    teachers = own.teachers
    if len(teachers) < 2:
        return ()
    for name in _ASKED:
        if name == own.metric.name or name not in metrics:
            continue
        if (own.metric.name, name) == ("local_naturalness", "global_step_naturalness"):
            continue
        table = score_table(rows, prompts, teachers, metrics[name], window)
        if not cannot_compare(table, rows) and not _equal(table, own):
            first = int(np.argmax(table.teacher_scores(table.matched)))
            found.append(Opinion(name, teachers[first], int(table.matched.sum())))
    lengths = score_table(rows, prompts, teachers, METRICS["n_tokens"], window)
    if lengths.matched.any():
        tokens_T = lengths.teacher_scores(lengths.matched)
        n_prompts = int(lengths.matched.sum())
        if np.ptp(tokens_T) > 0:
            found.append(Opinion("longest", teachers[int(np.argmax(tokens_T))], n_prompts))
            found.append(Opinion("shortest", teachers[int(np.argmin(tokens_T))], n_prompts))
    return tuple(found)


def _equal(one: ScoreTable, other: ScoreTable) -> bool:
    return bool(np.array_equal(one.scores, other.scores, equal_nan=True))
