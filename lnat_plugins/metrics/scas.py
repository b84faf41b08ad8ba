"""SCAS: how alike the student's activations are within a response, and with its prompt."""

from __future__ import annotations

import math
from typing import Final

from lnat_plugins.metrics.base import GLOBAL, Metric
from lnat_plugins.scoring.record import StepSums

LAMBDA: Final = 0.5
"""λ, the share of the likeness to the prompt."""


def scas(record: StepSums, window: str = GLOBAL) -> float:
    """(1 − λ)·N_A²·cos_AA + λ·N_A·N_Q·cos_AQ, with λ = 0.5.

    cos_AA is the mean cosine over all pairs of the N_A tokens of the response, a token with
    itself included, cos_AQ that over all pairs of one of these and one of the N_Q tokens of the
    prompt, both of the last layer's `mlp.up_proj` outputs. As u are these scaled to length 1,
    N_A²·cos_AA = ‖Σ_A u‖² and N_A·N_Q·cos_AQ = Σ_A u · Σ_Q u: no matrix of pairs is needed.

    Unit: token pairs. Lower is better.
    Aggregation: a value a response, then mean over prompts.

    Source: arXiv 2605.26872 (SCAS).

    Args:
        record: one scored response, with `activation_self` and `activation_prompt`.
        window: ignored; the context is always the whole trace.
    """
    alike = record.statistics.get("activation_self", math.nan)
    to_prompt = record.statistics.get("activation_prompt", math.nan)
    return (1 - LAMBDA) * alike + LAMBDA * to_prompt


SCAS = Metric(
    name="scas",
    higher_is_better=False,
    scope="response",
    unit="token pairs",
    source="arXiv 2605.26872 (SCAS)",
    aggregate="mean",
    compute=scas,
    reads="global",
    needs=frozenset({"activation_self", "activation_prompt"}),
)
