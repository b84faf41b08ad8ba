"""Every number of a report, computed once.

What the ranking metric needs ends in an error, as in `lnat rank`; any other figure that cannot be
given is replaced by its reason.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.metrics import (
    ALL,
    GLOBAL,
    METRICS,
    Metric,
    Ratings,
    Scored,
    get_metric,
)
from lnat_plugins.metrics.controls import NAMES as CONTROLS
from lnat_plugins.metrics.steps import Steps, in_blocks
from lnat_plugins.ranking import Comparison, Ranking, Reference, compare, rank
from lnat_plugins.ranking.bootstrap import RESAMPLES
from lnat_plugins.ranking.rank import TeacherMean, teacher_means
from lnat_plugins.ranking.table import RowsWithTables
from lnat_plugins.report.study import StudyPart
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.teacher_set.degenerate import DegenerateCount

BINS: Final = 10

NEXT_COMMAND: Final = "lnat select OUT --output_path chosen"

Floats = NDArray[np.float64]
Result = TypeVar("Result")


class Positions(NamedTuple):
    """Means of step scores by tenth of the trace, over the same responses for all windows.

    Attributes:
        means: window -> ten means over responses, all of them in each.
        by_teacher: teacher -> ten means over its responses, at the local window.
        gains: teacher -> ten means of global minus the local window; empty without both.
        responses: how many are behind the means.
        dropped: how many lack one of the windows.
    """

    means: Mapping[str, tuple[float, ...]]
    by_teacher: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, tuple[float, ...]]
    responses: int
    dropped: int


def positions(rows: Sequence[Scored], windows: Sequence[str], window: str) -> Positions:
    """The mean of a response's steps in each tenth of it; then the mean over responses.

    Step i of p, counted from 0, covers the stretch [i/p, (i + 1)/p) of the response, and weighs in
    a tenth as much as it covers of it. So every response counts once in every tenth, however short.
    If steps were counted whole, short responses would be missing from some tenths, and the line
    would show which responses are long, not how scores change. The paper finds that what a step
    gains from the whole trace over a local window grows with its position (arXiv 2510.03988).

    Args:
        rows: scored responses.
        windows: those scored; one that no response has throughout is dropped.
        window: what global is compared with.
    """
    blocks = in_blocks([row.record for row in rows])
    used = [
        name
        for name in windows
        if any(np.isfinite(_profiles(block, name)).any() for block in blocks)
    ]
    # Block by block: all profiles of many responses would take more memory than their scores.
    every, of_teacher, place = _Sum(), dict[str, _Sum](), 0
    for block in blocks if used else ():
        profiles_RWB = np.stack([_profiles(block, name) for name in used], axis=1)
        known_R = np.asarray(np.isfinite(profiles_RWB).all(axis=(1, 2)))
        every.add(profiles_RWB[known_R])
        by_name: dict[str, list[int]] = {}
        for index in np.flatnonzero(known_R).tolist():
            by_name.setdefault(rows[place + index].teacher, []).append(index)
        for teacher, indices in by_name.items():
            of_teacher.setdefault(teacher, _Sum()).add(profiles_RWB[indices])
        place += len(known_R)
    means = dict(zip(used, every.mean(), strict=True)) if every.count else {}
    by_teacher, gains = {}, {}
    for teacher, total in of_teacher.items():
        own = dict(zip(used, total.mean(), strict=True))
        if window in own:
            by_teacher[teacher] = own[window]
        if window != GLOBAL and {window, GLOBAL} <= means.keys():
            gains[teacher] = tuple((np.array(own[GLOBAL]) - own[window]).tolist())
    return Positions(means, by_teacher, gains, every.count, len(rows) - every.count)


def _profiles(steps: Steps, window: str) -> Floats:
    """(R, BINS) the mean score of each tenth; NaN unless every step has one."""
    found = np.full((len(steps.n_steps), BINS), np.nan)
    means_S = steps.means(window)
    starts_R = np.cumsum(steps.n_steps) - steps.n_steps
    for length in np.unique(steps.n_steps[steps.n_steps > 0]).tolist():
        rows = np.flatnonzero(steps.n_steps == length)
        means_Rn = means_S[starts_R[rows][:, None] + np.arange(length)]
        found[rows] = means_Rn @ _shares(length).T
    return found


@functools.lru_cache(maxsize=512)
def _shares(steps: int) -> Floats:
    """(BINS, steps) how much of each tenth a step covers, adding up to 1 in each."""
    edges = np.arange(BINS + 1)[:, None] * steps / BINS
    # (BINS + 1, steps) how much of each step lies before the edge.
    before = np.clip(edges - np.arange(steps), 0.0, 1.0)
    shares: Floats = np.diff(before, axis=0) * BINS / steps
    return shares


class _Sum:
    """A sum of profiles, (W, B), and how many they were."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Floats | None = None

    def add(self, profiles_RWB: Floats) -> None:
        self.count += len(profiles_RWB)
        sum_WB = profiles_RWB.sum(axis=0)
        self._sum = sum_WB if self._sum is None else self._sum + sum_WB

    def mean(self) -> list[tuple[float, ...]]:
        """W tuples of B means, of one profile at least."""
        assert self._sum is not None
        return [tuple(means_B) for means_B in (self._sum / self.count).tolist()]


@dataclass(frozen=True)
class ReportOptions:
    """What a report is about.

    Attributes:
        metric: what teachers are ranked by.
        window: a scored window.
        metrics: by name, those compared with it; one that cannot be is named with the reason.
        reference, bootstrap_iters, seed: as for `rank`.
        study: what a study found for this student, budget by budget.
        next_command: the command that the verdict ends with.
    """

    metric: Metric
    window: str
    metrics: Mapping[str, Metric]
    reference: Reference | None = None
    bootstrap_iters: int = RESAMPLES
    seed: int = 1234
    study: tuple[StudyPart, ...] = ()
    next_command: str = NEXT_COMMAND


@dataclass(frozen=True)
class Figures:
    """The numbers. A text in place of a result is the reason why there is none.

    Attributes:
        ranking: by the report's metric.
        scores: the values of every response by that metric, in the order of the rows.
        local_window: the window that is compared with the whole trace.
        local_means, global_means: of teachers, by local naturalness there and by global
            naturalness.
        local_scores, global_scores: values of every response by those two.
        values: label -> values of every response, for each metric that any response has.
        comparison: each metric against each.
        composition: label -> teacher -> share of prompts on which it is best.
        positions: step scores by their position in the trace.
    """

    ranking: Ranking
    scores: Ratings
    local_window: str
    local_means: tuple[TeacherMean, ...] | str
    global_means: tuple[TeacherMean, ...] | str
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
    """The metric that teachers are ranked by. ConfigError for an unknown one, and for "all"."""
    if name == ALL:
        raise ConfigError(
            "a report always compares all metrics", where="metric", found=name,
            remedy="name the one that the order goes by, or none",
        )  # fmt: skip
    return get_metric(name, metrics)


def ranking_of(
    scored: ScoredSet, options: ReportOptions, rows: Sequence[Scored] | None = None,
    degenerate: Callable[[], Mapping[str, DegenerateCount]] | None = None,
) -> Ranking:  # fmt: skip
    """The ranking by the report's metric; raises as `rank`.

    Args:
        rows: those of `scored`, if they keep their tables.
        degenerate: as for `rank`; by default those of `scored`.
    """
    return rank(
        scored.rows if rows is None else rows, scored.prompts, options.metric, options.window,
        reference=options.reference,
        metrics=options.metrics, texts=[row.text for row in scored.rows], student=scored.student,
        degenerate=degenerate or (lambda: scored.degenerate), unusable=scored.unusable,
        prompts_in_set=scored.prompts_in_set,
        grown_from=scored.grown_from,
        bootstrap_iters=options.bootstrap_iters, seed=options.seed,
    )  # fmt: skip


def gather(
    scored: ScoredSet, options: ReportOptions, rows: RowsWithTables | None = None
) -> Figures:
    """Compute them.

    Args:
        scored, options: as for a report.
        rows: those of `scored`, if their tables are to be used further.

    Raises:
        ConfigError, DataError: as `rank`, for the report's metric.
    """
    windows, window = scored.windows, options.window

    rows = RowsWithTables(scored.rows, keep_values=True) if rows is None else rows
    rated = rows.rate
    local_window = next((w for w in (window, *windows) if w != GLOBAL), window)
    by_window, by_trace = METRICS["local_naturalness"], METRICS["global_naturalness"]
    resampling: dict[str, Any] = {"bootstrap_iters": options.bootstrap_iters, "seed": options.seed}
    others = [
        metric
        for metric in options.metrics.values()
        if metric.higher_is_better is not None and metric.name != options.metric.name
    ]
    with scored.degenerate_meanwhile() as degenerate:
        comparison = _or_reason(
            compare, rows, scored.prompts, [options.metric, *others], window,
            reference=options.reference, **resampling,
        )  # fmt: skip
        # After the comparison, which draws the resamples of all of them together.
        ranking = ranking_of(scored, options, rows, degenerate)
    return Figures(
        ranking=ranking,
        scores=rated(options.metric, window),
        local_window=local_window,
        local_means=_or_reason(
            teacher_means, rows, scored.prompts, by_window, local_window, metrics=options.metrics,
            **resampling,
        ),
        global_means=_or_reason(
            teacher_means, rows, scored.prompts, by_trace, GLOBAL, metrics=options.metrics,
            **resampling,
        ),
        local_scores=rated(by_window, local_window),
        global_scores=rated(by_trace, window),
        values=_values(scored, options, rated),
        comparison=comparison,
        composition={} if isinstance(comparison, str) else {
            _label(options.metrics[one.metric], window): one.composition
            for one in comparison.metrics
            if one.metric == options.metric.name or one.metric not in CONTROLS
        },
        positions=positions(scored.rows, windows, local_window),
    )  # fmt: skip


def _label(metric: Metric, window: str) -> str:
    """The metric's name, with the window in brackets where it reads the requested one."""
    return f"{metric.name}[{window}]" if metric.reads == "window" else metric.name


def _or_reason(compute: Callable[..., Result], *args: Any, **more: Any) -> Result | str:
    try:
        return compute(*args, **more)
    except LnatError as why:
        return str(why).rstrip(".")


def _values(
    scored: ScoredSet, options: ReportOptions, rated: Callable[[Metric, str], Ratings]
) -> dict[str, Ratings]:
    """The report's metric comes first; plain counts are shown with the response itself."""
    main = options.metric
    values = {_label(main, options.window): rated(main, options.window)}
    for metric in options.metrics.values():
        if metric.reads == "counts" and not metric.needs:
            continue
        for window in scored.windows if metric.reads == "window" else (options.window,):
            name = _label(metric, window)
            if name not in values:
                ratings = rated(metric, window)
                if not all(map(math.isnan, ratings.values)):
                    values[name] = ratings
    return values
