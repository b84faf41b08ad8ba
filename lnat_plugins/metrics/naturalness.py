"""Local, global and global step naturalness: mean log-probabilities of a response.

They differ in context (the window's steps, or the whole trace) and in weights (every step the
same, or every token).
"""

from __future__ import annotations

from lnat_plugins.metrics.base import GLOBAL, Metric, log_prob, mean
from lnat_plugins.metrics.steps import together
from lnat_plugins.scoring.record import StepSums


@together(lambda steps, window: steps.mean(steps.means(window)))
def local_naturalness(record: StepSums, window: str) -> float:
    """LN = 1/p · Σ_i L_i, with L_i = 1/|s_i| · Σ_t log p(s_i,t | x, the window's steps, s_i,<t).

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the p steps of a response, then mean over prompts.

    Differs from `global_naturalness` in two ways at once: the context is the window instead of
    the whole trace, and steps weigh the same instead of tokens. `global_step_naturalness`
    changes only the second. Two steps, 2 tokens at −0.2 and 18 at −1.0 each: −0.6 here, −0.92
    with token weights.

    Source: arXiv 2510.03988 v1 (window of k = 4 preceding steps); LALP, eq. 2, in v2 (window a
    share of the preceding steps).

    Returns:
        NaN if the window ("4", "10%", "global") was not scored or any of its steps is undefined.
    """
    return mean(record.step_means(window))


LOCAL_NATURALNESS = Metric(
    name="local_naturalness", higher_is_better=True, scope="response", unit="nats per token",
    source="arXiv 2510.03988 v1; v2 eq. 2 (LALP)", aggregate="mean", compute=local_naturalness,
    reads="window",
    of_prefix=True,
)  # fmt: skip


@together(lambda steps, _: steps.totals(GLOBAL) / steps.n_tokens)
def global_naturalness(record: StepSums, window: str = GLOBAL) -> float:
    """GN = 1/|y| · Σ_t log p(y_t | x, y_<t).

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the tokens of a response, then mean over prompts.

    Differs from `local_naturalness` in context and in weights, and from
    `global_step_naturalness` in weights only. For a response of one step all three are equal.

    Source: GRAPE, arXiv 2502.04194; GALP, eq. 1, in arXiv 2510.03988 v2. Ours: only the
    response's own tokens are scored, the end-of-turn token is not.

    Returns:
        NaN if the whole trace does not fit the student's context (there is no fallback to a part
        of it) or the global window was not scored.
    """
    return log_prob(record) / record.n_tokens


GLOBAL_NATURALNESS = Metric(
    name="global_naturalness", higher_is_better=True, scope="response", unit="nats per token",
    source="arXiv 2502.04194 (GRAPE); arXiv 2510.03988 v2 eq. 1 (GALP)", aggregate="mean",
    compute=global_naturalness, reads="global",
    of_prefix=True,
)  # fmt: skip


@together(lambda steps, _: steps.mean(steps.means(GLOBAL)))
def global_step_naturalness(record: StepSums, window: str = GLOBAL) -> float:
    """1/p · Σ_i 1/|s_i| · Σ_t log p(s_i,t | x, s_1 … s_i−1, s_i,<t).

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the p steps of a response, then mean over prompts.

    Context of `global_naturalness`, weights of `local_naturalness`: against GN only the weights
    change, against LN only the context.

    Source: ours, a control; no paper defines it.

    Returns:
        NaN as `global_naturalness`, or if the back end gives only the total.
    """
    return mean(record.step_means(GLOBAL))


GLOBAL_STEP_NATURALNESS = Metric(
    name="global_step_naturalness", higher_is_better=True, scope="response", unit="nats per token",
    source="ours: the context of GN with the weights of LN", aggregate="mean",
    compute=global_step_naturalness, reads="global",
    of_prefix=True,
)  # fmt: skip
