"""Several metrics on the same responses: their orders, how far they agree, and both as text.

Each metric's figures rest on its own matched prompts, as in its own ranking; whatever sets two
metrics side by side rests on the prompts that both have. Shapes: P prompts, T teachers,
B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import markdown_table, number, plain, share_of, span
from lnat_plugins.metrics import Metric, Scored
from lnat_plugins.ranking.bootstrap import interval, known_rows, resampled_means
from lnat_plugins.ranking.confounds import composition
from lnat_plugins.ranking.orders import agreement, ranks, tau_b
from lnat_plugins.ranking.reference import Reference, ReferenceFit, reference_fit, resampled_tau
from lnat_plugins.ranking.result import ARROW
from lnat_plugins.ranking.table import (
    Bools,
    Floats,
    ScoreTable,
    cannot_compare,
    check_resampling,
    none_compares,
    score_table,
)


@dataclass(frozen=True)
class MetricOrder:
    """One metric's order of the teachers.

    Attributes:
        metric, unit, higher_is_better: as the metric declares.
        window: the window it reads; None if it reads none.
        order: teachers, best first.
        figures: teacher -> its figure, in that order.
        composition: teacher -> share of the prompts on which it is best; of a tie, the first row.
        p_best: share of resamples in which the first is best; ties share.
        prompts_used: prompts scored for every teacher; the figures above rest on these.
        fit: the order against the known one, if that was given.
        tau_difference: tau against the known order minus that of the first metric, both on the
            prompts that both have; 0 for the first metric, NaN without a reference.
        tau_difference_low, tau_difference_high: its 95 % interval; every resample draws the same
            prompts for both metrics.
    """

    metric: str
    unit: str
    higher_is_better: bool
    window: str | None
    order: tuple[str, ...]
    figures: Mapping[str, float]
    composition: Mapping[str, float]
    p_best: float
    prompts_used: int
    fit: ReferenceFit | None
    tau_difference: float
    tau_difference_low: float
    tau_difference_high: float

    def in_words(self, most: int | None = None) -> str:
        """The first `most` teachers, or all, as a reference is written: "A > B = C"."""
        named = self.order[:most]
        signs = ("" if not place else " = " if self._ties(place) else " > "
                 for place in range(len(named)))  # fmt: skip
        return "".join(sign + name for sign, name in zip(signs, named, strict=True))

    def _ties(self, place: int) -> bool:
        return self.figures[self.order[place]] == self.figures[self.order[place - 1]]


@dataclass(frozen=True)
class Comparison:
    """Metrics in the order given. M metrics could be compared.

    Attributes:
        metrics: M orders.
        tau: M × M, Kendall's tau-b of two metrics' figures, each by its own direction.
        overlap: M × M, share of prompts with the same best teacher.
        shared_prompts: M × M, the prompts that both have for every teacher, behind the other two.
        left_out: metric -> why it could not be compared.
        prompts: prompts in the set.
        responses: rows in the set.
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

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found

    def to_markdown(self) -> str:
        """The tables of `lnat rank --metric A,B`, below a line that says what is compared."""
        title = [
            f"prompts: {self.prompts}, responses: {self.responses}, bootstrap_iters: "
            f"{self.bootstrap_iters}, seed: {self.seed}"
        ]
        return comparison_to_markdown(self, title)


class _Table(NamedTuple):
    metric: Metric
    scores: ScoreTable


def compare(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metrics: Sequence[Metric],
    window: str,
    *,
    bootstrap_iters: int = 10_000,
    seed: int = 1234,
    reference: Reference | None = None,
) -> Comparison:
    """Every metric's order, and each metric against each.

    Args:
        rows, prompts, window, bootstrap_iters, seed, reference: as for `rank`.
        metrics: those that cannot be compared are named with the reason, and count nowhere.

    Raises:
        ConfigError: a number of resamples or a seed below 0.
        DataError: one teacher only, or no metric that can be compared.
    """
    check_resampling(bootstrap_iters, seed)
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    if len(teachers) < 2:
        raise DataError(
            "one teacher only: metrics are compared by how they order several",
            where=f"teacher {teachers[0]!r}",
            remedy="score another teacher's responses to the same prompts",
        )
    tables: list[_Table] = []
    left_out: dict[str, str] = {}
    for metric in metrics:
        table = score_table(rows, prompts, teachers, metric, window)
        why = cannot_compare(table, metric, rows)
        if why:
            left_out[metric.name] = why
        else:
            tables.append(_Table(metric, table))
    if not tables:
        raise none_compares(counted_out(left_out), metrics, rows)
    resampling = _Resampling(tables, bootstrap_iters, seed)
    pairs = [
        [
            agreement(one.scores, two.scores, two.metric, two.metric.window_read(window))
            for two in tables
        ]
        for one in tables
    ]
    return Comparison(
        metrics=tuple(
            _order(tables, index, resampling, window, reference) for index in range(len(tables))
        ),
        tau=tuple(tuple(pair.tau for pair in line) for line in pairs),
        overlap=tuple(tuple(pair.same_winner for pair in line) for line in pairs),
        shared_prompts=tuple(tuple(pair.prompts for pair in line) for line in pairs),
        left_out=left_out,
        prompts=len(prompts),
        responses=len(rows),
        bootstrap_iters=bootstrap_iters,
        seed=seed,
    )


def counted_out(left_out: Mapping[str, str]) -> str:
    """Metrics with why they were left out, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in left_out.items():
        by_reason.setdefault(why, []).append(name)
    return ", ".join(f"{', '.join(named)} [{why}]" for why, named in by_reason.items())


class _Resampling:
    """Figures on given prompts, whole and resampled; the same prompts give the same draws.

    All metrics are averaged at once, so that prompts are drawn once for each set of them.
    """

    def __init__(self, tables: Sequence[_Table], iters: int, seed: int) -> None:
        self.tables, self.iters, self.seed = tables, iters, seed
        self.drawn: dict[bytes, list[Floats]] = {}

    def scores(self, index: int, used_P: Bools) -> tuple[Floats, Floats]:
        """(T,) and (B, T) of a metric that all of those prompts have."""
        table = self.tables[index].scores
        key = used_P.tobytes()
        if key not in self.drawn:
            columns = [each.scores.columns(used_P) for each in self.tables]
            ends = np.cumsum([each.shape[1] for each in columns])
            # A metric that lacks some of these prompts is never used on them.
            known = np.nan_to_num(np.concatenate(columns, axis=1))
            self.drawn[key] = np.split(
                resampled_means(known, self.iters, self.seed), ends[:-1], axis=1
            )
        whole_T = table.of_means(table.columns(used_P).mean(axis=0))
        return whole_T, table.of_means(self.drawn[key][index])


def _order(
    tables: Sequence[_Table],
    index: int,
    resampling: _Resampling,
    window: str,
    reference: Reference | None,
) -> MetricOrder:
    metric, table = tables[index]
    used_P, teachers = table.matched, table.teachers
    scores_T, scores_BT = resampling.scores(index, used_P)
    order = np.argsort(-scores_T, kind="stable")
    drawn = ranks(known_rows(scores_BT))
    best_B = (drawn.better[:, order[0]] == 0) / drawn.tied[:, order[0]]
    own_T = table.metric_scale(scores_T)
    fit, difference = None, (math.nan, math.nan, math.nan)
    if reference is not None:
        fit = reference_fit(reference, teachers, scores_T, scores_BT)
        difference = _tau_difference(tables, index, resampling, reference)
    return MetricOrder(
        metric=metric.name,
        unit=metric.unit,
        higher_is_better=bool(metric.higher_is_better),
        window=metric.window_read(window),
        order=tuple(teachers[column] for column in order),
        figures={teachers[column]: float(own_T[column]) for column in order},
        composition=composition(table),
        p_best=float(best_B.mean()) if len(best_B) else math.nan,
        prompts_used=int(used_P.sum()),
        fit=fit,
        tau_difference=difference[0],
        tau_difference_low=difference[1],
        tau_difference_high=difference[2],
    )


def _tau_difference(
    tables: Sequence[_Table], index: int, resampling: _Resampling, reference: Reference
) -> tuple[float, float, float]:
    both_P = tables[0].scores.matched & tables[index].scores.matched
    if not both_P.any():
        return math.nan, math.nan, math.nan
    teachers = tables[0].scores.teachers
    known_T = np.array([reference.values[teacher] for teacher in teachers])
    known = ranks(known_T[None]).better
    whole: list[float] = []
    resampled: list[Floats] = []
    for place in (0, index):
        scores_T, scores_BT = resampling.scores(place, both_P)
        whole.append(float(tau_b(ranks(scores_T[None]).better, known)[0]))
        resampled.append(resampled_tau(reference, teachers, scores_BT))
    return (whole[1] - whole[0], *interval(resampled[1] - resampled[0]))


_KNOWN: Final = ["tau-b", "95% interval", "Spearman", "Pairs", "Regret", "tau-b − first's"]
_LONGEST_NAME: Final = 24
MOST_NAMED: Final = 5
"""Teachers of an order that are named; the rest stand in the json."""


def comparison_to_markdown(comparison: Comparison, title: Sequence[str] = ()) -> str:
    """Title lines, a line a metric, the fit to what is known, each against each, who is left out.

    tau-b and the same winner are those with the first metric; the full matrix of tau-b follows
    where there are three metrics or more.
    """
    blocks = [
        "\n".join(title),
        _orders(comparison),
        _fits(comparison),
        _matrix(comparison),
        "\n".join(_closing_lines(comparison)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _orders(comparison: Comparison) -> str:
    headers = ["Metric", "Window", "", "Order of the teachers", "P(best)", "tau-b with first"]
    headers += ["Same winner", "Prompts"]
    rows = [
        [
            one.metric,
            one.window or "",
            ARROW[one.higher_is_better],
            _order_in_words(one),
            number(one.p_best, 3),
            number(comparison.tau[0][index], 3),
            number(comparison.overlap[0][index], 3),
            str(one.prompts_used),
        ]
        for index, one in enumerate(comparison.metrics)
    ]
    return markdown_table(headers, rows, left=4)


def _order_in_words(one: MetricOrder) -> str:
    left = len(one.order) - MOST_NAMED
    return one.in_words(MOST_NAMED) + (f" > … {left} more" if left > 0 else "")


def _fits(comparison: Comparison) -> str:
    fits = [(one, one.fit) for one in comparison.metrics if one.fit is not None]
    if not fits:
        return ""
    rows = [
        [
            one.metric,
            number(fit.tau, 3),
            span(fit.tau_low, fit.tau_high, 3),
            number(fit.spearman, 3),
            share_of(fit.pairwise_accuracy, fit.pairs),
            number(fit.regret),
            f"{number(one.tau_difference, 3)} "
            f"{span(one.tau_difference_low, one.tau_difference_high, 3)}",
        ]
        for one, fit in fits
    ]
    name = fits[0][1].name
    against = name if len(name) <= _LONGEST_NAME else "the known order"
    return markdown_table([f"Against {against}", *_KNOWN], rows, left=1)


def _matrix(comparison: Comparison) -> str:
    if len(comparison.metrics) < 3:
        return ""
    names = [one.metric for one in comparison.metrics]
    rows = [
        [f"{place} {name}", *(number(tau, 2) for tau in line)]
        for place, (name, line) in enumerate(zip(names, comparison.tau, strict=True), start=1)
    ]
    return markdown_table(["tau-b", *map(str, range(1, len(names) + 1))], rows, left=1)


def _closing_lines(comparison: Comparison) -> list[str]:
    found = []
    fit = comparison.metrics[0].fit
    if fit is not None and fit.ties_excluded:
        found.append(f"- Known ties, left out of the pairs: {fit.ties_excluded}.")
    if comparison.left_out:
        found.append(f"- Not compared: {counted_out(comparison.left_out)}.")
    return found
