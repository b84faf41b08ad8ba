"""What a run with a budget gives in place of local naturalness: an estimate, or a stride score."""

from __future__ import annotations

import math

from lnat_plugins.budget.choice import NAME, stride_window
from lnat_plugins.budget.records import estimate_of, mean_of, window_of
from lnat_plugins.metrics.base import Metric
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import CHOICE


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


def local_naturalness_stride(record: StepSums, window: str) -> float:
    """LN where step i (0-based) sees min(i, k + i mod b) steps, instead of min(i, k).

        1/p · Σ_i (1/n_i) Σ_t log p(y_t | x, the steps that i sees, the tokens of i before t)

    Blocks of b steps are read in one run that begins k steps before them, which takes (k + b) / b
    steps a step in place of k + 1. Comparable between responses to one prompt, by about the margin
    that a pilot shows (`budget.margin`); it is not local naturalness, which it exceeds where the
    student makes use of context.

    Unit: nats per token, ≤ 0. Higher = more natural to the student = better.

    Source: ours; local naturalness is of arXiv 2510.03988.

    Returns:
        The exact score where a run with a stride does not fit the student's context; NaN if nothing
        of the response was read, or a step has no score.
    """
    found = mean_of(record, stride_window(record.settings))
    return mean_of(record, window_of(record).name) if math.isnan(found) else found


LOCAL_NATURALNESS_STRIDE = Metric(
    name=NAME, higher_is_better=True, scope="response", unit="nats per token",
    source="ours: local naturalness with blocks of steps that share a run", aggregate="mean",
    compute=local_naturalness_stride, reads="window",
)  # fmt: skip


def metric_under(goal: str | int) -> Metric:
    """What a run with a budget of this goal shows."""
    return LOCAL_NATURALNESS_STRIDE if goal == CHOICE else LOCAL_NATURALNESS_SAMPLED
