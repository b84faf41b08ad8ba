"""ASLEC-DROP: the mean log-probability of all tokens but those that open a step."""

from __future__ import annotations

from lnat_plugins.metrics.base import GLOBAL, Metric, UndefinedError, log_prob, summed
from lnat_plugins.record import StepSums


def aslec_drop(record: StepSums, window: str = GLOBAL) -> float:
    """Mean of log p(y_t | x, y_<t) over all tokens but the first of each step.

    (Σ_t log p − Σ_i log p of the first token of s_i) / (n − p), with n tokens and p steps.

    Unit: nats per token, ≤ 0. Higher (nearer 0) = more natural to the student = better.
    Aggregation: mean over the tokens left, then mean over prompts.

    Differs from `global_naturalness` by the tokens left out only: the first token of a step is
    improbable, and a long step dilutes it, so that means over all tokens reward long steps.

    Source: ASLEC-DROP, arXiv 2604.06834. Ours: a token belongs to the step that holds its first
    character.

    Args:
        record: one scored response, with `first_token`.
        window: ignored; the context is always the whole trace.

    Raises:
        UndefinedError: no token is left.
    """
    return _drop(record, 1, "first_token")


def aslec_drop2(record: StepSums, window: str = GLOBAL) -> float:
    """As `aslec_drop`, without the first two tokens of each step; a step of one loses that one.

    Unit, direction, aggregation: those of `aslec_drop`.

    Source: the driver that the authors of arXiv 2604.06834 published skips two tokens; the paper
    skips one.

    Args:
        record: one scored response, with `first_two_tokens`.
        window: ignored; the context is always the whole trace.

    Raises:
        UndefinedError: no token is left.
    """
    return _drop(record, 2, "first_two_tokens")


def _drop(record: StepSums, skip: int, statistic: str) -> float:
    left = record.n_tokens - sum(min(skip, count) for count in record.tokens)
    if not left:
        raise UndefinedError(f"no step has more than {skip} token{'s' * (skip > 1)}")
    return (log_prob(record) - summed(record, statistic)) / left


METRIC = Metric(
    name="aslec_drop",
    higher_is_better=True,
    scope="response",
    unit="nats per token",
    source="arXiv 2604.06834 (ASLEC-DROP)",
    aggregate="mean",
    compute=aslec_drop,
    reads="global",
    needs=frozenset({"first_token"}),
)
METRIC_2 = Metric(
    name="aslec_drop2",
    higher_is_better=True,
    scope="response",
    unit="nats per token",
    source="arXiv 2604.06834 (ASLEC-DROP), as its authors' driver",
    aggregate="mean",
    compute=aslec_drop2,
    reads="global",
    needs=frozenset({"first_two_tokens"}),
)
