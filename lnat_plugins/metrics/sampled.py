"""Local naturalness estimated from a part of a response; for runs with a budget alone."""

from __future__ import annotations

from lnat_plugins.budget.records import estimate_of
from lnat_plugins.metrics.base import Metric
from lnat_plugins.scoring.record import StepSums


def local_naturalness_sampled(record: StepSums, window: str) -> float:
    """An unbiased estimate of LN under the first window, from the steps that were read.

    With N of p steps that do not see the whole context, m of them drawn without replacement:
    1/p · Σ_i G_i + N/p · mean over the drawn of (L_i - G_i), G_i under the whole context; or, where
    no pass over the whole context was made, 1/p · (Σ of the known L_i + N · mean of the drawn).
    Exact where all steps were read. Not for choosing rows: the best of many estimates is better by
    its error than the response is.

    Unit: nats per token, ≤ 0 in expectation. Higher = more natural to the student = better.

    Source: ours; the difference estimator of survey sampling, Cochran, "Sampling Techniques" (1977)
    §7; see `budget.estimator`.

    Returns:
        NaN if nothing of the response was read, or a step that was read has no score.
    """
    return estimate_of(record).mean


LOCAL_NATURALNESS_SAMPLED = Metric(
    name="local_naturalness_sampled", higher_is_better=True, scope="response",
    unit="nats per token", source="ours: an estimate of local naturalness from drawn steps",
    aggregate="mean", compute=local_naturalness_sampled, reads="window",
)  # fmt: skip
