"""Entropy: how undecided the student is along the response. It has no better or worse."""

from __future__ import annotations

import math

from lnat_plugins.metrics.base import GLOBAL, Metric, summed
from lnat_plugins.record import StepSums


def entropy(record: StepSums, window: str = GLOBAL) -> float:
    """1/n · Σ_t −Σ_v p(v | x, y_<t) · log p(v | x, y_<t), over the n tokens of the response.

    Unit: nats per token, ≥ 0. Descriptive: nothing is ranked by it.
    Aggregation: mean over the tokens of a response, then mean over prompts.

    Differs from −`global_naturalness` in the token asked about: the one that the student expects,
    instead of the one that stands there.

    Source: the definition; no paper's score.

    Args:
        record: one scored response, with `entropy`.
        window: ignored; the context is always the whole trace.
    """
    return summed(record, "entropy") / record.n_tokens if record.n_tokens else math.nan


METRIC = Metric(
    name="entropy",
    higher_is_better=None,
    scope="response",
    unit="nats per token",
    source="the definition",
    aggregate="mean",
    compute=entropy,
    reads="global",
    needs=frozenset({"entropy"}),
)
