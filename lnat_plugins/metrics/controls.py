"""Controls: plain counts that a score may only be echoing. None of them has a direction.

Scores reward long steps, because the improbable first token of a step is diluted (ASLEC, arXiv
2604.06834), and on some traces plain length ranks teachers better than any likelihood. So these
stand beside every ranking. None looks at a log-probability; all ignore the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lnat_plugins.metrics.base import Metric
from lnat_plugins.record import StepSums


def n_tokens(record: StepSums, window: str = "") -> float:
    """Σ |s_i|: tokens of the response, in the student's own tokenizer. Unit: tokens."""
    return float(record.n_tokens)


def n_steps(record: StepSums, window: str = "") -> float:
    """p: steps of the response that hold at least one token. Unit: steps."""
    return float(record.n_steps)


def mean_step_tokens(record: StepSums, window: str = "") -> float:
    """Σ |s_i| / p: mean length of a step. Unit: tokens per step. NaN without a token.

    The inverse of `first_token_ratio` for one response; their means over responses are not
    inverses of each other.
    """
    return record.n_tokens / record.n_steps if record.n_steps else math.nan


def first_token_ratio(record: StepSums, window: str = "") -> float:
    """F = p / Σ |s_i|: the share of tokens that open a step. No unit. NaN without a token.

    Source: F of ASLEC, arXiv 2604.06834.
    """
    return record.n_steps / record.n_tokens if record.n_tokens else math.nan


def _control(name: str, unit: str, source: str, compute: Callable[..., float]) -> Metric:
    return Metric(name, None, "response", unit, source, "mean", compute, "counts")


CONTROLS = (
    _control("n_tokens", "tokens", "plain count", n_tokens),
    _control("n_steps", "steps", "plain count", n_steps),
    _control("mean_step_tokens", "tokens per step", "plain count", mean_step_tokens),
    _control("first_token_ratio", "share", "arXiv 2604.06834 (ASLEC)", first_token_ratio),
)
