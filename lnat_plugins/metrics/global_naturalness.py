"""Global naturalness: every token counts the same, and sees the whole trace before it."""

from __future__ import annotations

import math

from lnat_plugins.metrics.base import GLOBAL, Metric
from lnat_plugins.record import StepSums


def global_naturalness(record: StepSums, window: str = GLOBAL) -> float:
    """GN = 1/|y| · Σ_t log p(y_t | x, y_<t).

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the tokens of a response, then mean over prompts.

    Differs from `local_naturalness` in context and in weights, and from
    `global_step_naturalness` in weights only. For a response of one step all three are equal.

    Source: GRAPE, arXiv 2502.04194; GALP, eq. 1, in arXiv 2510.03988 v2. Ours: only the
    response's own tokens are scored, the end-of-turn token is not.

    Args:
        record: one scored response.
        window: ignored; the context is always the whole trace.

    Returns:
        The score; NaN if the whole trace does not fit the student's context (there is no
        fallback to a part of it) or the global window was not scored.
    """
    if GLOBAL not in record.totals or not record.n_tokens:
        return math.nan
    return record.totals[GLOBAL] / record.n_tokens


METRIC = Metric(
    name="global_naturalness",
    higher_is_better=True,
    scope="response",
    unit="nats per token",
    source="arXiv 2502.04194 (GRAPE); arXiv 2510.03988 v2 eq. 1 (GALP)",
    aggregate="mean",
    compute=global_naturalness,
    reads="global",
)
