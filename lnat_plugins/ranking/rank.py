"""Ranks teachers by one metric.

All teachers are compared on the same prompts: those with a defined score for each of them.
Shapes: P prompts, T teachers, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.ranking.bootstrap import intervals, known_rows, resampled_means, stability
from lnat_plugins.ranking.confounds import composition, confounds, control_values
from lnat_plugins.ranking.notes import notes
from lnat_plugins.ranking.orders import agreement, rank_shares, ranks
from lnat_plugins.ranking.reference import Reference, reference_fit
from lnat_plugins.ranking.result import Ranking, TeacherRank
from lnat_plugins.ranking.table import (
    Floats,
    ScoreTable,
    check_metric,
    check_resampling,
    check_scores,
    score_table,
)


def rank(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metric: Metric,
    window: str,
    *,
    bootstrap_iters: int = 10_000,
    seed: int = 1234,
    reference: Reference | None = None,
    metrics: Mapping[str, Metric] | None = None,
    texts: Sequence[str] | None = None,
    student: str = "",
) -> Ranking:
    """Teachers, best first by the metric's direction, with intervals, controls and notes.

    Teachers with equal means keep their order of first appearance.

    Args:
        rows: scored responses, at least one; each belongs to one of `prompts`.
        prompts: ids of all prompts, unscored ones included; coverage counts against these.
        metric: must have a direction. Of scope "corpus" it is computed once, from all rows, and
            what it fitted is held fixed in the resampling; of scope "prompt", once a prompt.
        window: a scored window; metrics that read the global window ignore it.
        bootstrap_iters, seed: resamples (0 = no intervals and no stability) and their seed; the
            same seed gives the same figures.
        reference: what is known of these teachers, from `read_reference`.
        metrics: name -> metric, all there are; by default the built-in ones.
        texts: the responses, one a row; without them repetition is not measured.
        student: its name or path; without it no family is named.

    Raises:
        ConfigError: the metric has no direction, the window was not scored, or a number of
            resamples or a seed below 0.
        DataError: no prompt has a defined value for every teacher, or a teacher's ratio of means
            has the denominator 0.
    """
    metrics = METRICS if metrics is None else metrics
    check_metric(metric, metrics, rows, window)
    check_resampling(bootstrap_iters, seed)
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    table = score_table(rows, prompts, teachers, metric, window)
    check_scores(table, rows)
    used_P = table.matched
    scores_T = table.teacher_scores(used_P)
    drawn_BT = table.of_means(resampled_means(table.columns(used_P), bootstrap_iters, seed))
    scores_BT = known_rows(drawn_BT)
    columns = np.argsort(-scores_T, kind="stable").tolist()
    controls = control_values(table, rows)
    name = "local_naturalness" if metric.reads == "global" else "global_naturalness"
    other = score_table(rows, prompts, teachers, metrics.get(name, METRICS[name]), window)
    fit = None
    if reference is not None:
        fit = reference_fit(reference, teachers, scores_T, scores_BT)
    ranking = Ranking(
        metric=metric.name, unit=metric.unit, window=table.window,
        higher_is_better=bool(metric.higher_is_better),
        teachers=_teacher_ranks(table, scores_T, scores_BT, columns, controls),
        prompts=len(prompts), prompts_used=int(used_P.sum()), responses=len(rows),
        ties=table.winners(used_P)[1],
        stability=stability(table, columns[0], scores_BT, bootstrap_iters, seed),
        agreement=agreement(table, other),
        reference=fit,
        confounds=confounds(table, controls, rows, texts, student),
        bootstrap_iters=bootstrap_iters, seed=seed,
        resamples_undefined=len(drawn_BT) - len(scores_BT),
        notes=(),
    )  # fmt: skip
    return replace(ranking, notes=tuple(notes(ranking)))


def _teacher_ranks(
    table: ScoreTable,
    scores_T: Floats,
    scores_BT: Floats,
    columns: Sequence[int],
    controls: Mapping[str, Floats],
) -> tuple[TeacherRank, ...]:
    """A line for each column, best first."""
    used_P, first = table.matched, columns[0]
    own_T, own_BT = table.metric_scale(scores_T), table.metric_scale(scores_BT)
    low_T, high_T = intervals(own_BT).tolist()
    difference_low_T, difference_high_T = intervals(own_BT - own_BT[:, [first]]).tolist()
    p_rank_TT = rank_shares(ranks(scores_BT)).tolist()
    own_PT = table.metric_scale(table.scores)
    scored_T = np.isfinite(own_PT).sum(axis=0).tolist()
    win_rates = composition(table)
    control_tables = {name: table.mean(control_R) for name, control_R in controls.items()}
    return tuple(
        TeacherRank(
            rank=place, teacher=table.teachers[column],
            mean=float(own_T[column]), median=float(np.median(own_PT[used_P, column])),
            low=low_T[column], high=high_T[column],
            difference=float(own_T[column] - own_T[first]),
            difference_low=difference_low_T[column], difference_high=difference_high_T[column],
            p_best=p_rank_TT[column][0], p_rank=tuple(p_rank_TT[column]),
            win_rate=win_rates[table.teachers[column]],
            scored_prompts=scored_T[column], coverage=scored_T[column] / len(own_PT),
            responses=table.responses[column], undefined=table.undefined[column],
            controls={
                name: float(control_PT[used_P, column].mean())
                for name, control_PT in control_tables.items()
            },
        )
        for place, column in enumerate(columns, start=1)
    )  # fmt: skip
