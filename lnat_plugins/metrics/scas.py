"""SCAS: what a response costs to learn, from its surprise and how alike its activations are."""

from __future__ import annotations

import math
from typing import Final

from lnat_plugins.metrics.base import GLOBAL, Metric
from lnat_plugins.scoring.record import StepSums

LAMBDA: Final = 0.5
"""λ, the weight of the term that compares response and prompt."""


def scas(record: StepSums, window: str = GLOBAL) -> float:
    """(1 − λ)·N_A²·cos_AA + λ·N_A·N_Q·cos_AQ, with λ = 0.5.

    A are the tokens of the response, Q those of the prompt, without special tokens. N_A and N_Q
    are their mean NLL, each token's with all that precedes it as context; cos_AA is the mean
    cosine over all pairs of A (a token with itself included), cos_AQ over all pairs of A × Q, of
    the last layer's `mlp.up_proj` outputs.

    Unit: nats² per token². Lower is better.
    Aggregation: a value a response, then mean over prompts.

    Source: arXiv 2605.26872 (SCAS), and its authors' code. Ours: the response's own tokens only;
    the authors' code also counts the line break that the chat template puts after the end-of-turn
    token as part of the response.
    """
    cos_AA, cos_AQ, n_A, n_Q = (
        record.statistics.get(name, math.nan)
        for name in ("cosine_self", "cosine_prompt", "content_nll", "prompt_nll")
    )
    return (1 - LAMBDA) * n_A**2 * cos_AA + LAMBDA * n_A * n_Q * cos_AQ


SCAS = Metric(
    name="scas", higher_is_better=False, scope="response", unit="nats² per token²",
    source="arXiv 2605.26872 (SCAS), and its authors' code", aggregate="mean", compute=scas,
    reads="global", needs=frozenset({"cosine_self", "cosine_prompt", "content_nll", "prompt_nll"}),
    of_prefix=True,
)  # fmt: skip
