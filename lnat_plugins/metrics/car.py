"""CAR: a reward that the rows bring, less the more the response surprises the student."""

from __future__ import annotations

import math
from typing import Final

from lnat_plugins.metrics.base import GLOBAL, Metric, log_prob
from lnat_plugins.record import StepSums

BETA: Final = 3.0
"""β, the weight of the NLL. Ours: the paper's own value could not be confirmed."""


def car(record: StepSums, window: str = GLOBAL) -> float:
    """reward / (1 + β·NLL), NLL the mean of −log p(y_t | x, y_<t) over the tokens, β = 3.

    Unit: that of the reward. Higher is better.
    Aggregation: a teacher's figure is the mean reward divided by the mean of 1 + β·NLL, which is
    the paper's figure of a data set; not the mean of the responses' ratios.

    Source: compatibility-adjusted reward, arXiv 2411.07133, which defines it for a data set. Ours:
    the value of one response, and β.

    Args:
        record: one scored response, with `reward`.
        window: ignored; the context is always the whole trace.
    """
    reward, discount = parts(record)
    return reward / discount


def parts(record: StepSums, window: str = GLOBAL) -> tuple[float, float]:
    """The reward, and 1 + β·NLL; NaN if undefined."""
    nll = -log_prob(record) / record.n_tokens if record.n_tokens else math.nan
    return record.statistics.get("reward", math.nan), 1 + BETA * nll


METRIC = Metric(
    name="car",
    higher_is_better=True,
    scope="response",
    unit="reward",
    source="arXiv 2411.07133 (CAR); ours: beta",
    aggregate="ratio_of_means",
    compute=car,
    reads="global",
    needs=frozenset({"reward"}),
    parts=parts,
)
