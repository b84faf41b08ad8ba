"""Ranks teachers by one metric. Knows no files and no hosts.

All teachers are compared on the same prompts: those with a defined value for each of them.
Shapes: P prompts, T teachers, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

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
    Cells,
    Floats,
    build_cells,
    check_metric,
    check_resampling,
    no_figure,
    no_matched_prompt,
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
    cells = build_cells(rows, prompts, teachers, metric, window)
    used_P = cells.matched
    if not used_P.any():
        raise no_matched_prompt(cells, metric, rows)

    columns_PC = cells.columns(used_P)
    higher = bool(metric.higher_is_better)
    figures_T = cells.figures(columns_PC.mean(axis=0))
    if not np.isfinite(figures_T).all():
        raise no_figure(cells, metric, figures_T)
    drawn_BT = cells.figures(resampled_means(columns_PC, bootstrap_iters, seed))
    figures_BT = known_rows(drawn_BT)
    order = np.argsort(-figures_T if higher else figures_T, kind="stable")
    first = int(order[0])
    winner_P, ties = winners(cells.values[used_P], cells.first_row[used_P], higher)
    boot = bootstrap(figures_BT, higher, first)
    controls = control_values(cells, rows)
    tables = {name: cells.mean(control_R) for name, control_R in controls.items()}
    other = _counterpart(metric, metrics)
    other_cells = build_cells(rows, prompts, teachers, other, window)
    fit = None
    if reference is not None:
        fit = reference_fit(reference, teachers, figures_T, figures_BT, higher)
    ranking = Ranking(
        metric=metric.name,
        unit=metric.unit,
        higher_is_better=higher,
        window=metric.window_read(window),
        teachers=tuple(
            _teacher(cells, figures_T, boot, winner_P, tables, first, place, int(column))
            for place, column in enumerate(order, start=1)
        ),
        prompts=len(prompts),
        prompts_used=int(used_P.sum()),
        responses=len(rows),
        ties=ties,
        stability=stability(cells, first, figures_BT, higher, bootstrap_iters, seed),
        agreement=agreement(metric, cells, other, other_cells, other.window_read(window)),
        reference=fit,
        confounds=panel(cells, controls, rows, metric, window, texts, student),
        bootstrap_iters=bootstrap_iters,
        seed=seed,
        resamples_undefined=len(drawn_BT) - len(figures_BT),
        notes=(),
    )
    return notes(ranking)


def _counterpart(metric: Metric, metrics: Mapping[str, Metric]) -> Metric:
    name = "local_naturalness" if metric.reads == "global" else "global_naturalness"
    return metrics.get(name, METRICS[name])


def _teacher(
    cells: Cells,
    figures_T: Floats,
    boot: Bootstrap,
    winner_P: NDArray[np.int64],
    tables: Mapping[str, Floats],
    first: int,
    place: int,
    column: int,
) -> TeacherRank:
    used_P = cells.matched
    scored = int(np.isfinite(cells.values[:, column]).sum())
    return TeacherRank(
        rank=place,
        teacher=cells.teachers[column],
        mean=float(figures_T[column]),
        median=float(np.median(cells.values[used_P, column])),
        low=float(boot.low[column]),
        high=float(boot.high[column]),
        difference=float(figures_T[column] - figures_T[first]),
        difference_low=float(boot.difference_low[column]),
        difference_high=float(boot.difference_high[column]),
        p_best=float(boot.p_rank[column, 0]),
        p_rank=tuple(map(float, boot.p_rank[column])),
        win_rate=float((winner_P == column).mean()),
        scored_prompts=scored,
        coverage=scored / len(cells.values),
        responses=cells.responses[column],
        undefined=cells.undefined[column],
        controls={
            name: float(table_PT[used_P, column].mean()) for name, table_PT in tables.items()
        },
    )
