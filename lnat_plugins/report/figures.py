"""Every number of a report, gathered once. Knows nothing of HTML.

What the metric that ranks cannot do without ends in an error, as in `lnat rank`; what stands
beside it is left out with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.metrics import ALL, GLOBAL, METRICS, Metric, Ratings, get_metric
from lnat_plugins.ranking import Comparison, Ranking, Reference, compare, rank
from lnat_plugins.report.positions import Positions, positions
from lnat_plugins.report.source import ReportSource


@dataclass(frozen=True)
class Asked:
    """What a report is to be about.

    Attributes:
        metric: what teachers are ranked by.
        window: a scored window.
        metrics: by name, those to set beside it.
        reference: a known order, or None.
        bootstrap_iters, seed: as for `rank`.
    """

    metric: Metric
    window: str
    metrics: Mapping[str, Metric]
    reference: Reference | None
    bootstrap_iters: int
    seed: int


@dataclass(frozen=True)
class Figures:
    """The numbers. A text in place of a result is the reason why there is none.

    Attributes:
        ranking: by the metric asked for.
        scores: the values of every response by that metric, in the order of the rows.
        local_window: the window that stands against the whole trace.
        local_ranking, global_ranking: by local naturalness there, and by global naturalness.
        local_scores, global_scores: values of every response by those two.
        values: label -> values of every response, for each metric that any response has.
        comparison: each metric against each.
        composition: label -> teacher -> share of prompts on which it is best.
        positions: step scores by their place in the trace.
    """

    ranking: Ranking
    scores: Ratings
    local_window: str
    local_ranking: Ranking | str
    global_ranking: Ranking | str
    local_scores: Ratings
    global_scores: Ratings
    values: Mapping[str, Ratings]
    comparison: Comparison | str
    composition: Mapping[str, Mapping[str, float]]
    positions: Positions

    @property
    def teachers(self) -> tuple[str, ...]:
        """Best first."""
        return tuple(line.teacher for line in self.ranking.teachers)


def leading_metric(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """The metric that the order goes by. ConfigError for an unknown one, and for "all"."""
    if name == ALL:
        raise ConfigError(
            "a report always compares all metrics",
            where="metric",
            found=name,
            remedy="name the one that the order goes by, or none",
        )
    return get_metric(name, metrics)


def gather(source: ReportSource, asked: Asked) -> Figures:
    """Compute them.

    Raises:
        ConfigError, DataError: as `rank`, for the metric asked for.
    """
    windows, window = source.windows, asked.window
    others = [name for name in windows if name != GLOBAL]
    local_window = window if window != GLOBAL or not others else others[0]
    local, whole = METRICS["local_naturalness"], METRICS["global_naturalness"]
    ranking = rank(
        source.rows, source.prompts, asked.metric, window,
        bootstrap_iters=asked.bootstrap_iters, seed=asked.seed, reference=asked.reference,
        metrics=asked.metrics, texts=[row.text for row in source.rows], student=source.student,
    )  # fmt: skip

    def ranked(metric: Metric, by: str) -> Ranking | str:
        known = (metric, by) == (asked.metric, window)
        return ranking if known else _rank(source, asked, metric, by)

    comparison = _compare(source, asked)
    return Figures(
        ranking=ranking,
        scores=asked.metric.rate(source.rows, window),
        local_window=local_window,
        local_ranking=ranked(local, local_window),
        global_ranking=ranked(whole, GLOBAL),
        local_scores=local.rate(source.rows, local_window),
        global_scores=whole.rate(source.rows, GLOBAL),
        values=_values(source, asked, windows),
        comparison=comparison,
        composition={} if isinstance(comparison, str) else {
            label(asked.metrics[one.metric], window): one.composition
            for one in comparison.metrics
        },
        positions=positions(source.rows, windows, local_window),
    )  # fmt: skip


def label(metric: Metric, window: str) -> str:
    """The metric's name, with the window in brackets where it reads the one asked for."""
    return f"{metric.name}[{window}]" if metric.reads == "window" else metric.name


def _rank(source: ReportSource, asked: Asked, metric: Metric, window: str) -> Ranking | str:
    try:
        return rank(
            source.rows, source.prompts, metric, window,
            bootstrap_iters=asked.bootstrap_iters, seed=asked.seed, metrics=asked.metrics,
        )  # fmt: skip
    except LnatError as why:
        return str(why).rstrip(".")


def _compare(source: ReportSource, asked: Asked) -> Comparison | str:
    beside = [
        metric
        for metric in asked.metrics.values()
        if metric.higher_is_better is not None and metric.name != asked.metric.name
    ]
    try:
        return compare(
            source.rows, source.prompts, [asked.metric, *beside], asked.window,
            bootstrap_iters=asked.bootstrap_iters, seed=asked.seed, reference=asked.reference,
        )  # fmt: skip
    except LnatError as why:
        return str(why).rstrip(".")


def _values(source: ReportSource, asked: Asked, windows: Sequence[str]) -> dict[str, Ratings]:
    """The metric asked for comes first; plain counts are told with the response itself."""
    found = {label(asked.metric, asked.window): asked.metric.rate(source.rows, asked.window)}
    for metric in asked.metrics.values():
        if metric.reads == "counts" and not metric.needs:
            continue
        for window in windows if metric.reads == "window" else (asked.window,):
            name = label(metric, window)
            if name in found:
                continue
            ratings = metric.rate(source.rows, window)
            if not all(map(math.isnan, ratings.values)):
                found[name] = ratings
    return found
