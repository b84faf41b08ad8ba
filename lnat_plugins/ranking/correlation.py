"""Rank correlations: the score with length over responses, one metric with another over teachers.

Knows nothing of intervals. Shapes: P prompts, T teachers, R responses.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lnat_plugins.metrics import Metric
from lnat_plugins.ranking.cells import Cells
from lnat_plugins.ranking.result import Agreement, LengthCorrelation
from lnat_plugins.ranking.winners import winners

Floats = NDArray[np.float64]


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's correlation; NaN for fewer than two values or if either side is constant."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])


def with_length(cells: Cells) -> LengthCorrelation:
    """Over all responses with a defined score, matched prompts or not."""
    inside = [
        spearman(cells.response_values[of_prompt], cells.response_tokens[of_prompt])
        for of_prompt in _by_prompt(cells.response_prompt)
    ]
    known = [value for value in inside if not math.isnan(value)]
    return LengthCorrelation(
        overall=spearman(cells.response_values, cells.response_tokens),
        responses=len(cells.response_values),
        within_prompt=math.fsum(known) / len(known) if known else math.nan,
        prompts=len(known),
    )


def _by_prompt(prompt_R: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(prompt_R, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(prompt_R[order])) + 1)


def agreement(
    metric: Metric, cells: Cells, other: Metric, other_cells: Cells, other_window: str | None
) -> Agreement:
    """Of two metrics on the prompts where both are defined for every teacher.

    NaN where there is no such prompt; tau is NaN also for one teacher, or if all means tie.
    """
    both_P = cells.matched & other_cells.matched
    if not both_P.any():
        return Agreement(other.name, other_window, math.nan, math.nan, 0)
    ours, theirs = (_ours(metric, cells, both_P), _ours(other, other_cells, both_P))
    tau = math.nan
    if len(cells.teachers) > 1:
        tau = float(stats.kendalltau(ours[0], theirs[0], variant="b").statistic)
    same = float((ours[1] == theirs[1]).mean())
    return Agreement(other.name, other_window, tau, same, int(both_P.sum()))


def _ours(
    metric: Metric, cells: Cells, used_P: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.int64]]:
    values_PT = cells.values[used_P]
    higher = bool(metric.higher_is_better)
    means_T: Floats = values_PT.mean(axis=0)
    winner_P, _ = winners(values_PT, cells.first_row[used_P], higher)
    return means_T if higher else -means_T, winner_P
