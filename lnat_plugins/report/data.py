"""What a report is made from: scored responses with their texts, and how they were scored.

Knows nothing of files. A `ScoredSet` gives one, and so can any program that scored by itself.

Scores by position in the trace: how natural the first, second, ... tenth of a response is.

Knows nothing of drawing. The paper finds that what a step gains from the whole trace over a local
window grows with its position (arXiv 2510.03988).

Every number of a report, gathered once. Knows nothing of HTML.

What the metric that ranks cannot do without ends in an error, as in `lnat rank`; what stands
beside it is left out with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.metrics import ALL, GLOBAL, METRICS, Metric, Ratings, Scored, get_metric
from lnat_plugins.metrics.base import step_means
from lnat_plugins.ranking import Comparison, Ranking, Reference, compare, rank
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples import ScoredSet

BINS: Final = 10

Floats = NDArray[np.float64]


class Positions(NamedTuple):
    """Means of step scores at ten places of the trace, over the same responses for all windows.

    Attributes:
        means: window -> ten means over responses, all of them in each.
        gains: teacher -> ten means of global minus the window asked for; empty where one of the
            two is not among the windows, or they are one.
        responses: how many are behind the means.
        left_out: how many lack one of the windows.
    """

    means: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, tuple[float, ...]]
    responses: int
    left_out: int


def positions(rows: Sequence[Scored], windows: Sequence[str], window: str) -> Positions:
    """The mean of a response's steps in each tenth of it; then the mean over responses.

    Step i of p takes the stretch [i/p, (i + 1)/p) of the response (counted from 0, without steps
    that hold no token), and weighs in a tenth as much as it takes of it. So every response counts
    once in every tenth, however short. Were steps counted whole, short responses would be missing
    from some tenths, and the line would tell who is there and not how scores change.

    Args:
        rows: scored responses.
        windows: those scored; one that no response has throughout is left out.
        window: what global is compared with.
    """
    profiles = [{name: _profile(row.record, name) for name in windows} for row in rows]
    used = [name for name in windows if any(each[name] is not None for each in profiles)]
    whole = [
        (row.teacher, {name: each[name] for name in used})
        for row, each in zip(rows, profiles, strict=True)
        if used and all(each[name] is not None for name in used)
    ]
    means = {name: _mean([each[name] for _, each in whole]) for name in used} if whole else {}
    gains: dict[str, tuple[float, ...]] = {}
    if window != GLOBAL and {window, GLOBAL} <= means.keys():
        for teacher in dict.fromkeys(teacher for teacher, _ in whole):
            own = [each for name, each in whole if name == teacher]
            both = zip(
                _mean([e[GLOBAL] for e in own]), _mean([e[window] for e in own]), strict=True
            )
            gains[teacher] = tuple(one - other for one, other in both)
    return Positions(means, gains, len(whole), len(rows) - len(whole))


def _profile(record: StepSums, window: str) -> Floats | None:
    """The mean score of each tenth; None unless every step has one."""
    scores = step_means(record, window)
    if not scores or any(map(math.isnan, scores)):
        return None
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    edges = np.arange(BINS + 1) * len(scores) / BINS
    means: Floats = np.diff(np.interp(edges, np.arange(len(sums)), sums)) * BINS / len(scores)
    return means


def _mean(profiles: Sequence[Floats | None]) -> tuple[float, ...]:
    means_B = np.array(profiles, dtype=np.float64).mean(axis=0)
    return tuple(float(value) for value in means_B)


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


def gather(scored: ScoredSet, asked: Asked) -> Figures:
    """Compute them.

    Raises:
        ConfigError, DataError: as `rank`, for the metric asked for.
    """
    windows, window = scored.windows, asked.window
    others = [name for name in windows if name != GLOBAL]
    local_window = window if window != GLOBAL or not others else others[0]
    local, whole = METRICS["local_naturalness"], METRICS["global_naturalness"]
    ranking = rank(
        scored.rows, scored.prompts, asked.metric, window,
        bootstrap_iters=asked.bootstrap_iters, seed=asked.seed, reference=asked.reference,
        metrics=asked.metrics, texts=[row.text for row in scored.rows], student=scored.student,
    )  # fmt: skip

    def ranked(metric: Metric, by: str) -> Ranking | str:
        known = (metric, by) == (asked.metric, window)
        return ranking if known else _rank(scored, asked, metric, by)

    comparison = _compare(scored, asked)
    return Figures(
        ranking=ranking,
        scores=asked.metric.rate(scored.rows, window),
        local_window=local_window,
        local_ranking=ranked(local, local_window),
        global_ranking=ranked(whole, GLOBAL),
        local_scores=local.rate(scored.rows, local_window),
        global_scores=whole.rate(scored.rows, GLOBAL),
        values=_values(scored, asked, windows),
        comparison=comparison,
        composition={} if isinstance(comparison, str) else {
            label(asked.metrics[one.metric], window): one.composition
            for one in comparison.metrics
        },
        positions=positions(scored.rows, windows, local_window),
    )  # fmt: skip


def label(metric: Metric, window: str) -> str:
    """The metric's name, with the window in brackets where it reads the one asked for."""
    return f"{metric.name}[{window}]" if metric.reads == "window" else metric.name


def _rank(scored: ScoredSet, asked: Asked, metric: Metric, window: str) -> Ranking | str:
    try:
        return rank(
            scored.rows, scored.prompts, metric, window,
            bootstrap_iters=asked.bootstrap_iters, seed=asked.seed, metrics=asked.metrics,
        )  # fmt: skip
    except LnatError as why:
        return str(why).rstrip(".")


def _compare(scored: ScoredSet, asked: Asked) -> Comparison | str:
    beside = [
        metric
        for metric in asked.metrics.values()
        if metric.higher_is_better is not None and metric.name != asked.metric.name
    ]
    try:
        return compare(
            scored.rows, scored.prompts, [asked.metric, *beside], asked.window,
            bootstrap_iters=asked.bootstrap_iters, seed=asked.seed, reference=asked.reference,
        )  # fmt: skip
    except LnatError as why:
        return str(why).rstrip(".")


def _values(scored: ScoredSet, asked: Asked, windows: Sequence[str]) -> dict[str, Ratings]:
    """The metric asked for comes first; plain counts are told with the response itself."""
    found = {label(asked.metric, asked.window): asked.metric.rate(scored.rows, asked.window)}
    for metric in asked.metrics.values():
        if metric.reads == "counts" and not metric.needs:
            continue
        for window in windows if metric.reads == "window" else (asked.window,):
            name = label(metric, window)
            if name in found:
                continue
            ratings = metric.rate(scored.rows, window)
            if not all(map(math.isnan, ratings.values)):
                found[name] = ratings
    return found
