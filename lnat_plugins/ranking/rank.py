"""Ranks teachers by one metric.

All teachers are compared on the same prompts: those with a defined score for each of them.
Shapes: P prompts, T teachers, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lnat_plugins.metrics import METRICS, Metric, Scored
from lnat_plugins.metrics.naturalness import LOCAL_NATURALNESS
from lnat_plugins.ranking.best_set import BestSet, best_set
from lnat_plugins.ranking.bootstrap import (
    RESAMPLES,
    check_resampling,
    intervals,
    known_rows,
    most_resamples,
    resampled_means,
    stability,
)
from lnat_plugins.ranking.calibration import calibration
from lnat_plugins.ranking.confounds import composition, confounds, control_values
from lnat_plugins.ranking.notes import notes
from lnat_plugins.ranking.opinions import opinions
from lnat_plugins.ranking.orders import agreement, ranks
from lnat_plugins.ranking.reference import Reference, reference_fit
from lnat_plugins.ranking.result import Ranking, TeacherRank
from lnat_plugins.ranking.sensitivity import sensitivity
from lnat_plugins.ranking.table import (
    Floats,
    RowsWithTables,
    ScoreTable,
    check_metric,
    check_scores,
    score_table,
)
from lnat_plugins.ranking.verdict import FEWEST, verdict
from lnat_plugins.ranking.warnings import warnings
from lnat_plugins.steps.windows import width
from lnat_plugins.teacher_set.degenerate import DegenerateCount
from lnat_plugins.teacher_set.unusable import UnusableRows


def rank(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metric: Metric,
    window: str,
    *,
    bootstrap_iters: int = RESAMPLES,
    seed: int = 1234,
    reference: Reference | None = None,
    metrics: Mapping[str, Metric] | None = None,
    texts: Sequence[str] | None = None,
    degenerate: Callable[[], Mapping[str, DegenerateCount]] = dict,
    unusable: Mapping[str, UnusableRows] | None = None,
    prompts_in_set: int | None = None,
    grown_from: int = 0,
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
        degenerate: gives teacher -> its degenerate responses; by default none are counted. It is
            asked last, so that they can be counted meanwhile.
        unusable: teacher -> its rows that could not be used, if that is known.
        prompts_in_set: of the teacher set, where fewer were scored (`--limit`).
        grown_from: prompts of an earlier look at fewer of these, 0 = this is the first: whoever
            looks again and again at a growing set needs bounds that hold at every look.
        student: its name or path; without it no family is named.

    Raises:
        ConfigError: the metric has no direction, the window was not scored, or a number of
            resamples or a seed below 0; more resamples than memory allows.
        DataError: no prompt has a defined value for every teacher, or a teacher's ratio of means
            has the denominator 0.
    """
    metrics = METRICS if metrics is None else metrics
    rows = rows if isinstance(rows, RowsWithTables) else RowsWithTables(rows)
    check_metric(metric, metrics, rows, window)
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    check_resampling(bootstrap_iters, seed, most_resamples(len(teachers)))
    table = score_table(rows, prompts, teachers, metric, window)
    check_scores(table, rows)
    used_P = table.matched
    scores_T, drawn_BT = _resampled(rows, table, bootstrap_iters, seed)
    scores_BT = known_rows(drawn_BT)
    columns = np.argsort(-scores_T, kind="stable").tolist()
    grown_from = grown_from if grown_from >= FEWEST else 0  # no verdict was possible then
    influence_PT = table.influence(used_P)
    best = best_set(scores_T, scores_BT, influence_PT, repeated=grown_from > 0, seed=seed)
    order = [teachers[column] for column in columns]
    changed = sensitivity(table, rows, prompts, window)
    may_be_best = [teachers[column] for column in best.members]
    said = verdict(
        order,
        may_be_best,
        int(used_P.sum()),
        best.needed,
        changed,
        metric=metric.name,
        resamples=len(scores_BT),
        grown_from=grown_from,
    )
    controls = control_values(table, rows)
    name = "local_naturalness" if metric.reads == "global" else "global_naturalness"
    other = score_table(rows, prompts, teachers, metrics.get(name, METRICS[name]), window)
    fit = None
    if reference is not None:
        fit = reference_fit(reference, teachers, scores_T, scores_BT)
    ranking = Ranking(
        metric=metric.name, unit=_unit(metric, rows), window=table.window,
        higher_is_better=bool(metric.higher_is_better),
        verdict=said, sensitivity=changed, warnings=(), windows=_windows(rows, prompts, table),
        calibration=calibration(rows, teachers, prompts),
        opinions=opinions(rows, prompts, table, window, metrics),
        degenerate={},
        unusable=dict(unusable or {}),
        right=_right(rows),
        prompts_in_set=len(prompts) if prompts_in_set is None else prompts_in_set,
        teachers=_teacher_ranks(
            table, scores_T, scores_BT, columns, controls, best, shown=said.kind != "none"
        ),
        grown_from=grown_from,
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
    ranking = replace(ranking, degenerate=dict(degenerate()))
    warned = tuple(warnings(ranking, rows))
    return replace(ranking, warnings=warned, notes=tuple(notes(ranking)))


def _unit(metric: Metric, rows: Sequence[Scored]) -> str:
    """What a figure is in, wherever it is shown, and of which part of the responses it is."""
    prefix = "" if metric.reads == "counts" else rows[0].record.prefix
    return f"{metric.unit}, of the first {prefix}" if prefix else metric.unit


def _right(rows: Sequence[Scored]) -> dict[str, tuple[int, int]]:
    """Teacher -> its right responses and those known to be right or wrong; empty if none is."""
    counts = {row.teacher: (0, 0) for row in rows}
    for row in rows:
        correct = getattr(row, "correct", None)  # only rows with a response have it
        if correct is not None:
            right, known = counts[row.teacher]
            counts[row.teacher] = right + correct, known + 1
    return counts if any(known for _, known in counts.values()) else {}


class TeacherMean(NamedTuple):
    """A teacher's mean with its own interval, as in a `TeacherRank`."""

    teacher: str
    mean: float
    low: float
    high: float


def teacher_means(
    rows: Sequence[Scored], prompts: Sequence[str], metric: Metric, window: str, *,
    bootstrap_iters: int = RESAMPLES, seed: int = 1234, metrics: Mapping[str, Metric] = METRICS,
) -> tuple[TeacherMean, ...]:  # fmt: skip
    """Teachers' means alone, best first: of `rank` what costs least. Args, Raises: as `rank`."""
    check_metric(metric, metrics, rows, window)
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    check_resampling(bootstrap_iters, seed, most_resamples(len(teachers)))
    table = score_table(rows, prompts, teachers, metric, window)
    check_scores(table, rows)
    scores_T, drawn_BT = _resampled(rows, table, bootstrap_iters, seed)
    own_T = table.metric_scale(scores_T).tolist()
    low_T, high_T = intervals(table.metric_scale(known_rows(drawn_BT))).tolist()
    return tuple(
        TeacherMean(teachers[column], own_T[column], low_T[column], high_T[column])
        for column in np.argsort(-scores_T, kind="stable").tolist()
    )


def _resampled(
    rows: Sequence[Scored], table: ScoreTable, iters: int, seed: int
) -> tuple[Floats, Floats]:
    """(T,) the scores over the matched prompts, and (B, T) over resamples of these."""
    used_P = table.matched
    means_BC = None
    if isinstance(rows, RowsWithTables):
        means_BC = rows.drawn.get((rows.key(table.metric, table.window), iters, seed))
    if means_BC is None:
        means_BC = resampled_means(table.columns(used_P), iters, seed)
    return table.teacher_scores(used_P), table.of_means(means_BC)


def _windows(
    rows: Sequence[Scored], prompts: Sequence[str], table: ScoreTable
) -> dict[str, dict[str, float]]:
    """The means at every window that has a score wherever the ranking's own has one."""
    if table.metric.name != LOCAL_NATURALNESS.name:
        return {}
    found = {}
    for window in dict.fromkeys(name for row in rows for name in row.record.sums):
        scored = score_table(rows, prompts, table.teachers, table.metric, window)
        # Means over fewer prompts could not be compared with the others.
        if scored.matched.any() and (scored.matched == table.matched).all():
            means_T = scored.metric_scale(scored.teacher_scores(scored.matched))
            found[window] = dict(zip(table.teachers, means_T.tolist(), strict=True))
    return dict(sorted(found.items(), key=lambda one: width(one[0])))


def _teacher_ranks(
    table: ScoreTable,
    scores_T: Floats,
    scores_BT: Floats,
    columns: Sequence[int],
    controls: Mapping[str, Floats],
    best: BestSet,
    *,
    shown: bool,
) -> tuple[TeacherRank, ...]:
    """A line for each column, best first."""
    used_P, first = table.matched, columns[0]
    own_T, own_BT = table.metric_scale(scores_T), table.metric_scale(scores_BT)
    low_T, high_T = intervals(own_BT).tolist()
    standings = ranks(scores_BT)
    ends_2T = np.sort(table.metric_scale(np.array([best.low, best.high])), axis=0)
    difference_low_T, difference_high_T = ends_2T.tolist()
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
            difference_low=difference_low_T[column] if shown else math.nan,
            difference_high=difference_high_T[column] if shown else math.nan,
            may_be_best=column in best.members if shown else None,
            rank_low=best.ranks[column][0] if shown else 1,
            rank_high=best.ranks[column][1] if shown else len(columns),
            first_in=standings.share_best(column),
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
