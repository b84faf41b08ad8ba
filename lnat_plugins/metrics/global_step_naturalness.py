"""Global step naturalness: the whole trace as context, and every step counts the same."""

from __future__ import annotations

from lnat_plugins.metrics.base import GLOBAL, Metric, mean, step_means
from lnat_plugins.record import StepSums


def global_step_naturalness(record: StepSums, window: str = GLOBAL) -> float:
    """1/p · Σ_i 1/|s_i| · Σ_t log p(s_i,t | x, s_1 … s_i−1, s_i,<t).

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the p steps of a response, then mean over prompts.

    Takes the context of `global_naturalness` and the weights of `local_naturalness`, so the
    two differences between those can be told apart: against GN only the weights change,
    against LN only the context.

    Source: ours, a control; no paper defines it. A step that holds no token is left out of p.

    Args:
        record: one scored response.
        window: ignored; the context is always the whole trace.

    Returns:
        The score; NaN if the whole trace does not fit the student's context, the global window
        was not scored, or the back end gives only the total.
    """
    return mean(step_means(record, GLOBAL))


METRIC = Metric(
    name="global_step_naturalness",
    higher_is_better=True,
    scope="response",
    unit="nats per token",
    source="ours: the context of GN with the weights of LN",
    aggregate="mean",
    compute=global_step_naturalness,
    reads="global",
)
