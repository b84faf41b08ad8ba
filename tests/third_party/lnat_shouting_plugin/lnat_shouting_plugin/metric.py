"""The metric `weakest_step`: a trace is as natural as its least natural step."""

from __future__ import annotations

import math

from lnat_plugins import Metric
from lnat_plugins.scoring.record import StepSums


def weakest_step(record: StepSums, window: str) -> float:
    """The lowest mean log-probability of any step, in nats per token; higher is better.

    NaN if the window was not scored step by step, or if a step of it is undefined.
    """
    sums = record.sums.get(window)
    if sums is None:
        return math.nan
    means = [total / count for total, count in zip(sums, record.tokens, strict=True) if count]
    if not means or any(map(math.isnan, means)):
        return math.nan
    return min(means)


METRIC = Metric(
    name="weakest_step",
    higher_is_better=True,
    scope="response",
    unit="nats per token",
    source="lnat-shouting-plugin",
    aggregate="mean",
    compute=weakest_step,
    reads="window",
)
