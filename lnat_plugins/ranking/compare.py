"""Several metrics on the same responses: their orders, how far they agree, and both as text.

Each metric's figures rest on its own matched prompts, as in its own ranking; whatever sets two
metrics side by side rests on the prompts that both have. Shapes: P prompts, T teachers,
B resamples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import (
    join_blocks,
    markdown_table,
    number,
    plain,
    plural,
    share_of,
    span,
    with_span,
)
from lnat_plugins.metrics import Metric, Scored, controls, score_again
from lnat_plugins.ranking.best_set import best_set
from lnat_plugins.ranking.bootstrap import (
    INTERVAL,
    RESAMPLES,
    check_resampling,
    known_rows,
    most_resamples,
    resampled_means,
    simultaneous_intervals,
)
from lnat_plugins.ranking.confounds import composition
from lnat_plugins.ranking.orders import agreement
from lnat_plugins.ranking.reference import Reference, ReferenceFit, reference_fit
from lnat_plugins.ranking.result import ARROW
from lnat_plugins.ranking.table import (
    Bools,
    Floats,
    RowsWithTables,
    ScoreTable,
    cannot_compare,
    not_gathered,
    score_table,
)
from lnat_plugins.ranking.verdict import FEWEST, FEWEST_RESAMPLES

MOST_NAMED: Final = 5
"""Teachers of an order that are printed; the rest stand in the json."""

_MOST_MAY_BE_BEST: Final = 3


@dataclass(frozen=True)
class MetricOrder:
    """One metric's order of the teachers.

    Attributes:
        metric, unit, higher_is_better: as the metric declares.
        window: the window it reads; None if it reads none.
        order: teachers, best first.
        figures: teacher -> its figure, in that order.
        composition: teacher -> share of the prompts on which it is best, ties shared equally.
        may_be_best: the teachers that may be best, highest first (`best_set`); empty where the
            prompts carry no verdict.
        prompts_used: prompts scored for every teacher; the figures above rest on these.
        fit: the order against the known one, if that was given.
        tau_difference: tau against the known order minus that of the first metric, both on the
            prompts that both have; 0 for the first metric, NaN without a reference.
        tau_difference_low, tau_difference_high: its interval, simultaneous over the metrics; every
            resample draws the same prompts for all of them.
    """

    metric: str
    unit: str
    higher_is_better: bool
    window: str | None
    order: tuple[str, ...]
    figures: Mapping[str, float]
    composition: Mapping[str, float]
    may_be_best: tuple[str, ...]
    prompts_used: int
    fit: ReferenceFit | None
    tau_difference: float
    tau_difference_low: float
    tau_difference_high: float

    def in_words(self, most: int | None = None) -> str:
        """The first `most` teachers, or all, as a reference is written: "A > B = C"."""
        named = self.order[:most]
        return named[0] + "".join(
            f" {'=' if self.figures[better] == self.figures[name] else '>'} {name}"
            for better, name in pairwise(named)
        )


@dataclass(frozen=True, repr=False)
class Comparison:
    """Metrics in the order given. M metrics could be compared.

    Attributes:
        metrics: M orders.
        tau: M × M, Kendall's tau-b of two metrics' figures, each by its own direction.
        overlap: M × M, share of prompts with the same best teacher.
        shared_prompts: M × M, the prompts that both have for every teacher, behind the other two.
        left_out: metric -> why it could not be compared.
        prompts, responses: of the set.
        bootstrap_iters, seed: of the intervals.
    """

    metrics: tuple[MetricOrder, ...]
    tau: tuple[tuple[float, ...], ...]
    overlap: tuple[tuple[float, ...], ...]
    shared_prompts: tuple[tuple[int, ...], ...]
    left_out: Mapping[str, str]
    prompts: int
    responses: int
    bootstrap_iters: int
    seed: int

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(line.metric for line in self.metrics)}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found

    def to_markdown(self, title: Sequence[str] = (), *, brief: bool = False) -> str:
        """A line a metric, the fit to what is known, tau-b of each pair, what is not compared.

        tau-b and the same winner are those with the first metric; the full matrix of tau-b follows
        where there are three metrics or more. `brief`: the fit to what is known, or in a sentence
        whom the metrics put first. `title` by default says what is compared.
        """
        if brief:
            return join_blocks(title, _fits(self) or _firsts(self))
        title = title or [
            f"prompts: {self.prompts}, responses: {self.responses}, bootstrap_iters: "
            f"{self.bootstrap_iters}, seed: {self.seed}"
        ]
        closing = []
        fit = self.metrics[0].fit
        if fit is not None and fit.ties_excluded:
            closing.append(f"- Known ties, left out of the pairs: {fit.ties_excluded}.")
        if self.left_out:
            closing.append(f"- Not compared: {_by_reason(self.left_out)}.")
        return join_blocks(title, _orders(self), _fits(self), _matrix(self), closing)


def compare(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metrics: Sequence[Metric],
    window: str,
    *,
    bootstrap_iters: int = RESAMPLES,
    seed: int = 1234,
    reference: Reference | None = None,
) -> Comparison:
    """Every metric's order, and each metric against each.

    Args:
        rows, prompts, window, bootstrap_iters, seed, reference: as for `rank`.
        metrics: those that cannot be compared are named with the reason, and count nowhere.

    Raises:
        ConfigError: a number of resamples or a seed below 0; more resamples than memory allows.
        DataError: one teacher only, or no metric that can be compared.
    """
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    check_resampling(bootstrap_iters, seed, most_resamples(len(teachers)))
    if len(teachers) < 2:
        raise DataError(
            "one teacher only: metrics are compared by how they order several",
            where=f"teacher {teachers[0]!r}",
            remedy="score another teacher's responses to the same prompts",
        )
    tables: list[ScoreTable] = []
    left_out: dict[str, str] = {}
    for metric in metrics:
        table = score_table(rows, prompts, teachers, metric, window)
        if why := cannot_compare(table, rows):
            left_out[metric.name] = why
        else:
            tables.append(table)
    if not tables:
        again = any(not_gathered(metric, rows) for metric in metrics)
        other = "name other metrics, or another window"
        raise DataError(
            f"none of the metrics can be compared: {_by_reason(left_out)}",
            remedy=score_again("those that you want") if again else other,
        )

    @functools.cache
    def scores_on(used: bytes) -> list[tuple[Floats, Floats]]:
        used_P = np.frombuffer(used, dtype=np.bool_)
        return _resampled_scores(rows, tables, used_P, bootstrap_iters, seed)

    places = range(len(tables))
    half = {(i, j): agreement(tables[i], tables[j]) for j in places for i in range(j + 1)}
    pairs = [[half[min(i, j), max(i, j)] for j in places] for i in places]  # alike both ways
    return Comparison(
        metrics=_orders_of(tables, scores_on, reference),
        tau=tuple(tuple(pair.tau for pair in line) for line in pairs),
        overlap=tuple(tuple(pair.same_winner for pair in line) for line in pairs),
        shared_prompts=tuple(tuple(pair.prompts for pair in line) for line in pairs),
        left_out=left_out, prompts=len(prompts), responses=len(rows),
        bootstrap_iters=bootstrap_iters, seed=seed,
    )  # fmt: skip


def _by_reason(left_out: Mapping[str, str]) -> str:
    """Metrics with why they cannot be compared, those with the same reason together."""
    named: dict[str, list[str]] = {}
    for name, why in left_out.items():
        named.setdefault(why, []).append(name)
    return ", ".join(f"{', '.join(names)} [{why}]" for why, names in named.items())


def _resampled_scores(
    rows: Sequence[Scored], tables: Sequence[ScoreTable], used_P: Bools, iters: int, seed: int
) -> list[tuple[Floats, Floats]]:
    """Each metric's scores on those prompts, (T,) and (B, T), from the same draws for all.

    Rows that keep their tables keep what was drawn of a metric on all of its own prompts.
    """
    ends = np.cumsum([len(table.parts) * len(table.teachers) for table in tables]).tolist()
    known_PC = np.empty((int(used_P.sum()), ends[-1]))
    for table, begin, end in zip(tables, [0, *ends], ends, strict=False):
        # A metric that lacks some of these prompts is never used on them.
        known_PC[:, begin:end] = np.nan_to_num(table.columns(used_P))
    drawn = np.split(resampled_means(known_PC, iters, seed), ends[:-1], axis=1)
    if isinstance(rows, RowsWithTables):
        for table, means_BC in zip(tables, drawn, strict=True):
            if np.array_equal(table.matched, used_P):
                rows.drawn[rows.key(table.metric, table.window), iters, seed] = means_BC
    return [
        (table.teacher_scores(used_P), table.of_means(means_BC))
        for table, means_BC in zip(tables, drawn, strict=True)
    ]


_ScoresOn = Callable[[bytes], list[tuple[Floats, Floats]]]


def _orders_of(
    tables: Sequence[ScoreTable], scores_on: _ScoresOn, reference: Reference | None
) -> tuple[MetricOrder, ...]:
    differences = [_tau_differences(tables, i, scores_on, reference) for i in range(len(tables))]
    spans = simultaneous_intervals([draws_B for _, draws_B in differences])
    found = []
    for index, table in enumerate(tables):
        used_P, teachers, metric = table.matched, table.teachers, table.metric
        scores_T, scores_BT = scores_on(used_P.tobytes())[index]
        own_T = table.metric_scale(scores_T)
        order = np.argsort(-scores_T, kind="stable")
        fit = None
        if reference is not None:
            fit = reference_fit(reference, teachers, scores_T, scores_BT)
        enough = int(used_P.sum()) >= FEWEST and len(known_rows(scores_BT)) >= FEWEST_RESAMPLES
        best = best_set(scores_T, known_rows(scores_BT), table.influence(used_P), outcomes=0)
        found.append(MetricOrder(
            metric=metric.name, unit=metric.unit, window=table.window,
            higher_is_better=bool(metric.higher_is_better),
            order=tuple(teachers[column] for column in order),
            figures={teachers[column]: float(own_T[column]) for column in order},
            composition=composition(table),
            may_be_best=tuple(teachers[column] for column in best.members) if enough else (),
            prompts_used=int(used_P.sum()), fit=fit, tau_difference=differences[index][0],
            tau_difference_low=spans[index][0], tau_difference_high=spans[index][1],
        ))  # fmt: skip
    return tuple(found)


def _tau_differences(
    tables: Sequence[ScoreTable], index: int, scores_on: _ScoresOn, reference: Reference | None
) -> tuple[float, Floats]:
    """Tau against the reference minus the first metric's, and the same in every resample."""
    both_P = tables[0].matched & tables[index].matched
    if reference is None or not both_P.any():
        return math.nan, np.empty(0)
    teachers = tables[0].teachers
    both = scores_on(both_P.tobytes())
    (first_T, first_BT), (second_T, second_BT) = both[0], both[index]
    tau_2 = reference.tau(teachers, np.stack([first_T, second_T]))
    drawn_B = reference.tau(teachers, second_BT) - reference.tau(teachers, first_BT)
    return float(tau_2[1] - tau_2[0]), drawn_B


def _firsts(comparison: Comparison) -> str:
    """Whom each metric puts first, in one sentence; controls are no metrics to choose by."""
    by_teacher: dict[str, list[str]] = {}
    first, *others = comparison.metrics
    named_metrics = [first, *(one for one in others if one.metric not in controls.NAMES)]
    for one in named_metrics:
        by_teacher.setdefault(one.order[0], []).append(one.metric)
    named = "; ".join(f"{name} ({', '.join(by)})" for name, by in by_teacher.items())
    return f"First by {plural(len(named_metrics), 'metric')} compared: {named}."


def _orders(comparison: Comparison) -> str:
    headers = ["Metric", "Window", "", "Order of the teachers", "May be best", "tau-b with first"]
    headers += ["Same winner", "Prompts"]
    further = len(comparison.metrics[0].order) - MOST_NAMED
    more = f" > … {further} more" if further > 0 else ""
    rows = [
        [
            one.metric, one.window or "", ARROW[one.higher_is_better],
            one.in_words(MOST_NAMED) + more,
            _named(one.may_be_best), number(tau, 3), number(overlap, 3), str(one.prompts_used),
        ]
        for one, tau, overlap in zip(
            comparison.metrics, comparison.tau[0], comparison.overlap[0], strict=True
        )
    ]  # fmt: skip
    return markdown_table(headers, rows, left=5)


def _named(teachers: Sequence[str]) -> str:
    """The first of them, and how many more; "N/A" for none."""
    if not teachers:
        return "N/A"
    further = len(teachers) - _MOST_MAY_BE_BEST
    return ", ".join(teachers[:_MOST_MAY_BE_BEST]) + (f", {further} more" if further > 0 else "")


def _fits(comparison: Comparison) -> str:
    fits = [(one, one.fit) for one in comparison.metrics if one.fit is not None]
    if not fits:
        return ""
    name = fits[0][1].name
    against = name if len(name) <= 24 else "the known order"
    headers = [f"Against {against}", "tau-b", INTERVAL, "Spearman", "Pairs", "Regret"]
    headers += ["tau-b − first's"]
    rows = [
        [
            one.metric, number(fit.tau, 3), span(fit.tau_low, fit.tau_high, 3),
            number(fit.spearman, 3), share_of(fit.pairwise_accuracy, fit.pairs), number(fit.regret),
            with_span(one.tau_difference, one.tau_difference_low, one.tau_difference_high, 3),
        ]
        for one, fit in fits
    ]  # fmt: skip
    return markdown_table(headers, rows, left=1)


def _matrix(comparison: Comparison) -> str:
    if len(comparison.metrics) < 3:
        return ""
    columns = [str(column) for column in range(1, len(comparison.metrics) + 1)]
    rows = [
        [f"{column} {one.metric}", *(number(tau, 2) for tau in line)]
        for column, one, line in zip(columns, comparison.metrics, comparison.tau, strict=True)
    ]
    return markdown_table(["tau-b", *columns], rows, left=1)
