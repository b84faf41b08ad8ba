"""GRACE from the equations of arXiv 2511.02833, sections 2.1 and 2.2, slowly and in one piece.

Written from the paper's definitions alone: one forward and one backward pass for each response, an
explicit d × D matrix Π, and the inverse of Σ̂ by its eigenvectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def gradient(
    model: Any, leaves: Sequence[torch.Tensor], prompt: list[int], ids: list[int],
    scored: list[bool],
) -> np.ndarray:  # fmt: skip
    """g: of the mean NLL of the scored tokens, all entries in one vector."""
    logits = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
    losses = [
        -logits[len(prompt) + place - 1, token]
        for place, token in enumerate(ids)
        if scored[place]
    ]  # fmt: skip
    found = torch.autograd.grad(sum(losses) / len(losses), leaves, allow_unused=True)
    parts = zip(leaves, found, strict=True)
    return np.concatenate(
        [(torch.zeros_like(leaf) if one is None else one).numpy().ravel() for leaf, one in parts]
    )


def inverse(h: np.ndarray, nu: float) -> np.ndarray:
    """Of Σ̃ + ν/d · I, by the eigenvectors of Σ̃."""
    tilde = sum(np.outer(one, one) / (one @ one) for one in h) / len(h)
    values, vectors = np.linalg.eigh(tilde)
    return sum(np.outer(v, v) / (x + nu / len(v)) for x, v in zip(values, vectors.T, strict=True))


def grace(h: np.ndarray, folds: Sequence[int], nu: float) -> float:
    """1/C · Σ_i tr(Σ̂(D without D_i)⁻¹ Σ(D_i))."""
    found = []
    for i in sorted(set(folds)):
        own = [one for one, fold in zip(h, folds, strict=True) if fold == i]
        others = np.array([one for one, fold in zip(h, folds, strict=True) if fold != i])
        sigma = sum(np.outer(one, one) for one in own) / len(own)
        found.append(np.trace(inverse(others, nu) @ sigma))
    return float(np.mean(found))
