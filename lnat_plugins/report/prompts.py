"""What each prompt shows: who leads and by how much, and whether local and global agree.

Shapes: P prompts, T teachers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lnat_plugins.metrics import GLOBAL, METRICS, Scored
from lnat_plugins.ranking.table import TIE, Bools, Floats, Ints, score_table
from lnat_plugins.report.data import ReportOptions
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.teacher_set.prompts import plain_text

NOBODY = -1


@dataclass(frozen=True)
class Prompts:
    """The prompts that have a response, in the order of the set.

    Attributes:
        ids: P prompt ids.
        texts: P prompts as plain text.
        rows: P lists of responses, teachers in rank order.
        winner: (P,) who leads by the report's metric, as an index of teachers in rank order;
            `NOBODY` where no response has a score.
        tied: P lists of the teachers that share the win, in rank order; empty where one wins alone.
        lead: (P,) the best score minus the second; NaN with fewer than two.
        local, global_: (P,) who leads by local and by global naturalness.
        disagreement: (P,) what these two lose by each other's measure, added up; 0 where one
            teacher leads by both, NaN where either is not known.
        correct: P letters: what is known of the leading responses: y, n or "?".
        all_correct: (P,) whether every response is known to be correct.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    rows: tuple[tuple[ScoredResponse, ...], ...]
    winner: Ints
    tied: tuple[tuple[int, ...], ...]
    lead: Floats
    local: Ints
    global_: Ints
    disagreement: Floats
    correct: str
    all_correct: Bools

    def informative(self) -> Iterator[int]:
        """All prompts, each once: by lead, by disagreement and by order in the set, in turn."""
        by_lead = np.argsort(-np.nan_to_num(self.lead, nan=-np.inf), kind="stable").tolist()
        loud = np.nan_to_num(self.disagreement, nan=0.0)
        by_disagreement = [i for i in np.argsort(-loud, kind="stable").tolist() if loud[i] > 0]
        orders = [iter(by_lead), iter(by_disagreement), iter(range(len(self.ids)))]
        seen: set[int] = set()
        while len(seen) < len(self.ids):
            for order in orders:
                for index in order:
                    if index not in seen:
                        seen.add(index)
                        yield index
                        break


def prompts_of(
    scored: ScoredSet, teachers: Sequence[str], options: ReportOptions, local_window: str,
    rows: Sequence[Scored] | None = None,
) -> Prompts:  # fmt: skip
    """Compute them.

    Args:
        teachers: in rank order; the indices of winners are theirs.
        local_window: where local naturalness is read.
        rows: those of `scored`, if they keep their tables.
    """
    scored_rows = scored.rows if rows is None else rows
    by_prompt: dict[str, list[ScoredResponse]] = {}
    for row in scored.rows:
        by_prompt.setdefault(row.prompt_id, []).append(row)
    ids = tuple(prompt for prompt in scored.prompts if prompt in by_prompt)
    place = {teacher: i for i, teacher in enumerate(teachers)}
    responses = tuple(
        tuple(sorted(by_prompt[each], key=lambda row: place[row.teacher])) for each in ids
    )

    own_PT, local_PT, global_PT = (
        score_table(scored_rows, ids, teachers, metric, window).scores
        for metric, window in (
            (options.metric, options.window),
            (METRICS["local_naturalness"], local_window),
            (METRICS["global_naturalness"], GLOBAL),
        )
    )
    sorted_PT = np.sort(np.nan_to_num(own_PT, nan=-np.inf), axis=1)
    lead_P = np.full(len(ids), np.nan)
    if len(teachers) > 1:
        known_P = np.isfinite(sorted_PT[:, -2])
        lead_P[known_P] = sorted_PT[known_P, -1] - sorted_PT[known_P, -2]
    winner_P, local_P, global_P = map(_best, (own_PT, local_PT, global_PT))
    tied = _tied(own_PT)
    correct, all_correct = [], []
    for own, winner, sharing in zip(responses, winner_P.tolist(), tied, strict=True):
        best = sharing or (winner,)
        known = {row.correct for row in own if place[row.teacher] in best}
        correct.append("n" if False in known else "y" if known == {True} else "?")
        all_correct.append(all(row.correct is True for row in own))
    return Prompts(
        ids=ids,
        texts=tuple(plain_text(own[0].candidate.messages) for own in responses),
        rows=responses,
        winner=winner_P,
        tied=tied,
        lead=lead_P,
        local=local_P,
        global_=global_P,
        disagreement=_disagreement(local_PT, global_PT, local_P, global_P),
        correct="".join(correct),
        all_correct=np.array(all_correct, dtype=np.bool_),
    )


def _best(scores_PT: Floats) -> Ints:
    """The column of the highest score, the first of equal ones; NOBODY where all are NaN."""
    best_P = np.argmax(np.nan_to_num(scores_PT, nan=-np.inf), axis=1)
    return np.where(np.isfinite(scores_PT).any(axis=1), best_P, NOBODY)


def _tied(scores_PT: Floats) -> tuple[tuple[int, ...], ...]:
    """The columns that share the highest score; of one alone, or where all are NaN, none."""
    known_PT = np.nan_to_num(scores_PT, nan=-np.inf)
    highest_P1 = known_PT.max(axis=1, keepdims=True)
    least_P1 = highest_P1 - TIE * np.maximum(1.0, np.abs(highest_P1))
    best_PT = np.isfinite(known_PT) & (known_PT >= least_P1)
    return tuple(
        tuple(np.flatnonzero(best_T).tolist()) if best_T.sum() > 1 else () for best_T in best_PT
    )


def _disagreement(local_PT: Floats, global_PT: Floats, local_P: Ints, global_P: Ints) -> Floats:
    every = np.arange(len(local_P))
    by_local_P = local_PT[every, local_P] - local_PT[every, global_P]
    by_global_P = global_PT[every, global_P] - global_PT[every, local_P]
    # Where one of them ties, the other's winner wins by both.
    lost_P = np.where((by_local_P > TIE) & (by_global_P > TIE), by_local_P + by_global_P, 0.0)
    known_P = (local_P != NOBODY) & (global_P != NOBODY)
    return np.where(known_P, lost_P, np.nan)
