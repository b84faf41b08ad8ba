"""The slow scorer: the definition as written, one forward for each step and window."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch


def preceding(window: str, step: int) -> int:
    """w_i for the 0-based step index."""
    if window == "global":
        return step
    if window.endswith("%"):
        return math.ceil(Fraction(window[:-1]) / 100 * step)
    return min(int(window), step)


@torch.no_grad()
def step_sums(
    model: Any,
    prompt: list[int],
    steps: list[list[int]],
    window: str,
    scored: list[list[bool]] | None = None,
) -> list[float]:
    """Σ_t log p(s_it | x, s_{i-w} … s_{i-1}, s_{i,<t}) for each step, in nats.

    Over the tokens that are `scored` only, if it is given; the others are context all the same.
    """
    model.eval()
    sums = []
    for i, step in enumerate(steps):
        w = preceding(window, i)
        context = prompt + [token for s in steps[i - w : i] for token in s]
        logits = model(input_ids=torch.tensor([context + step]), use_cache=False).logits[0]
        logprobs = logits.float().log_softmax(-1)
        sums.append(
            sum(
                float(logprobs[len(context) + t - 1, token])
                for t, token in enumerate(step)
                if scored is None or scored[i][t]
            )
        )
    return sums
