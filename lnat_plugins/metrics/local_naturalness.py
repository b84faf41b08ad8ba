"""Local naturalness: every step counts the same, and sees only the steps of its window."""

from __future__ import annotations

from lnat_plugins.metrics.base import Metric, mean, step_means
from lnat_plugins.record import StepSums


def local_naturalness(record: StepSums, window: str) -> float:
    """LN = 1/p · Σ_i L_i, with L_i = 1/|s_i| · Σ_t log p(s_i,t | x, the window's steps, s_i,<t).

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the p steps of a response, then mean over prompts.

    Differs from `global_naturalness` in two ways at once: the context is the window instead of
    the whole trace, and steps weigh the same instead of tokens. `global_step_naturalness`
    changes only the second. Two steps, 2 tokens at −0.2 and 18 at −1.0 each: −0.6 here, −0.92
    with token weights.

    Source: arXiv 2510.03988 v1 (window of k = 4 preceding steps); LALP, eq. 2, in v2 (window a
    share of the preceding steps). Ours: a step that holds no token is left out of p.

    Args:
        record: one scored response.
        window: one of the record's windows: "4", "10%", "global".

    Returns:
        The score; NaN if the window was not scored or any of its steps is undefined.
    """
    return mean(step_means(record, window))


METRIC = Metric(
    name="local_naturalness",
    higher_is_better=True,
    scope="response",
    unit="nats per token",
    source="arXiv 2510.03988 v1; v2 eq. 2 (LALP)",
    aggregate="mean",
    compute=local_naturalness,
    reads="window",
)
