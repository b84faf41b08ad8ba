"""Ranks teachers by one metric.

All teachers are compared on the same prompts: those with a defined score for each of them.
Shapes: P prompts, T teachers, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.ranking.bootstrap import (
    Bootstrap,
    bootstrap,
    known_rows,
    resampled_means,
    stability,
)
from lnat_plugins.ranking.confounds import control_values, panel
from lnat_plugins.ranking.notes import notes
from lnat_plugins.ranking.orders import agreement
from lnat_plugins.ranking.reference import Reference, reference_fit
from lnat_plugins.ranking.result import Ranking, TeacherRank
from lnat_plugins.ranking.table import (
    Floats,
    Ints,
    ScoreTable,
    check_metric,
    check_resampling,
    no_matched_prompt,
    no_score,
    score_table,
    winners,
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
        bootstrap_iters: resamples; 0 = no intervals and no stability.
        seed: of the resampling; the same seed gives the same figures.
        reference: what is known of these teachers, from `read_reference`.
        metrics: by name, the metrics that can be named; by default the built-in ones.
        texts: the responses, one a row; without them nothing is said of repetition.
        student: its name or path; without it nothing is said of families.

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
    used_P = table.matched
    if not used_P.any():
        raise no_matched_prompt(table, metric, rows)

    columns_PC = table.columns(used_P)
    scores_T = table.of_means(columns_PC.mean(axis=0))
    if not np.isfinite(scores_T).all():
        raise no_score(table, metric, scores_T)
    drawn_BT = table.of_means(resampled_means(columns_PC, bootstrap_iters, seed))
    scores_BT = known_rows(drawn_BT)
    order = np.argsort(-scores_T, kind="stable")
    first = int(order[0])
    winner_P, ties = winners(table.scores[used_P], table.first_row[used_P])
    boot = bootstrap(table, scores_BT, first)
    controls = control_values(table, rows)
    control_tables = {name: table.mean(control_R) for name, control_R in controls.items()}
    name = "local_naturalness" if metric.reads == "global" else "global_naturalness"
    other = metrics.get(name, METRICS[name])
    other_table = score_table(rows, prompts, teachers, other, window)
    fit = None
    if reference is not None:
        fit = reference_fit(reference, teachers, scores_T, scores_BT)
    ranking = Ranking(
        metric=metric.name,
        unit=metric.unit,
        higher_is_better=bool(metric.higher_is_better),
        window=metric.window_read(window),
        teachers=tuple(
            _teacher(table, scores_T, boot, winner_P, control_tables, first, place, int(column))
            for place, column in enumerate(order, start=1)
        ),
        prompts=len(prompts),
        prompts_used=int(used_P.sum()),
        responses=len(rows),
        ties=ties,
        stability=stability(table, first, scores_BT, bootstrap_iters, seed),
        agreement=agreement(table, other_table, other, other.window_read(window)),
        reference=fit,
        confounds=panel(table, controls, rows, metric, window, texts, student),
        bootstrap_iters=bootstrap_iters,
        seed=seed,
        resamples_undefined=len(drawn_BT) - len(scores_BT),
        notes=(),
    )
    return notes(ranking)


def _teacher(
    table: ScoreTable,
    scores_T: Floats,
    boot: Bootstrap,
    winner_P: Ints,
    control_tables: Mapping[str, Floats],
    first: int,
    place: int,
    column: int,
) -> TeacherRank:
    used_P = table.matched
    own_T = table.metric_scale(scores_T)
    own_PT = table.metric_scale(table.scores)
    scored = int(np.isfinite(own_PT[:, column]).sum())
    return TeacherRank(
        rank=place,
        teacher=table.teachers[column],
        mean=float(own_T[column]),
        median=float(np.median(own_PT[used_P, column])),
        low=float(boot.low[column]),
        high=float(boot.high[column]),
        difference=float(own_T[column] - own_T[first]),
        difference_low=float(boot.difference_low[column]),
        difference_high=float(boot.difference_high[column]),
        p_best=float(boot.p_rank[column, 0]),
        p_rank=tuple(map(float, boot.p_rank[column])),
        win_rate=float((winner_P == column).mean()),
        scored_prompts=scored,
        coverage=scored / len(own_PT),
        responses=table.responses[column],
        undefined=table.undefined[column],
        controls={
            name: float(control_PT[used_P, column].mean())
            for name, control_PT in control_tables.items()
        },
    )
