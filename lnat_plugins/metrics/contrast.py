"""Contrast: what a student trained on right responses prefers to one trained on wrong ones.

The row weights of the same paper need whole distributions, and are computed by `lnat_plugins.nce`.
"""

from __future__ import annotations

import math

from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.metrics.base import GLOBAL, Metric, log_prob
from lnat_plugins.scoring.record import StepSums


def contrast(record: StepSums, window: str = GLOBAL) -> float:
    """(Σ log p_pos − Σ log p_neg) / n, n the scored tokens of the response.

    p_pos and p_neg are two students of one tokenizer, each token's whole trace and prompt as its
    context: typically one base with two adapters, one trained on right responses and one on wrong
    ones. Above 0 the first student finds the response more probable.

    Unit: nats per token. Higher is better.
    Aggregation: a value a response, then mean over prompts.

    It knows what the two were trained on: where right and wrong responses came from different
    teachers, or differ in length, it finds these again. Responses that one of them was trained on
    say nothing.

    Defined for scores that were joined with those of another student (`Scores.contrast`).

    Source: "Turning Dust into Gold", arXiv 2312.12832, has the two students. Ours: their difference
    as a score; the paper compares whole distributions (`lnat nce`), and ranks nothing by it.
    """
    other = record.statistics.get(OTHER_LOG_PROB, math.nan)
    return (log_prob(record) - other) / record.n_tokens


CONTRAST = Metric(
    name="contrast", higher_is_better=True, scope="response", unit="nats per token",
    source="arXiv 2312.12832 (Turning Dust into Gold); ours: as a score", aggregate="mean",
    compute=contrast, reads="global", needs=frozenset({OTHER_LOG_PROB}),
)  # fmt: skip
