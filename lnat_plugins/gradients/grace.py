"""GRACE and its neighbours from the projected gradients of one teacher's responses.

All in float64, as the definitions in the folder's docstring say. Differs from its neighbours:
G-Norm is the size of gradients alone, G-Vendi how many directions they have, GRACE the size of
held-out gradients in which directions count more the fewer of the other folds' gradients have them.

Shapes: N responses, d dimensions, C folds, P prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grace:
    """GRACE of one teacher, in parts.

    Attributes:
        norms_N: hᵀ Σ̂(D without its fold)⁻¹ h of each response. GRACE is their `weights_N` mean.
        variance: the same figure of h − μ, with μ the mean of all h (GRACE-Variance).
        bias: 1/C · Σ_i μᵀ Σ̂(D without D_i)⁻¹ μ (GRACE-Bias). Variance and bias add up to GRACE but
            for the cross terms of folds whose mean is not μ.
    """

    norms_N: Floats
    variance: float
    bias: float


def grace(h_Nd: Floats, fold_N: Ints, smoothing: float) -> Grace:
    """GRACE of one teacher's responses.

    Args:
        h_Nd: their rescaled projected gradients, none of them 0.
        fold_N: the fold of each response's prompt; two folds at least.
        smoothing: ν.
    """
    mean_d: Floats = h_Nd.mean(axis=0, dtype=np.float64)
    norms_N, centred_N = np.empty(len(h_Nd)), np.empty(len(h_Nd))
    bias = []
    folds = np.unique(fold_N)
    for fold in folds:
        held_out = fold_N == fold
        factor_dd: Floats = linalg.cholesky(smoothed(h_Nd[~held_out], smoothing), lower=True)
        norms_N[held_out] = _weighted(factor_dd, h_Nd[held_out])
        centred_N[held_out] = _weighted(factor_dd, h_Nd[held_out] - mean_d)
        bias.append(_weighted(factor_dd, mean_d[None])[0])
    weights_N = weights(fold_N)
    return Grace(norms_N, float(weights_N @ centred_N), float(np.mean(bias)))


def weights(fold_N: Ints) -> Floats:
    """(N,) what each response counts in GRACE: 1 / (C · responses of its fold)."""
    folds, place_N, counts = np.unique(fold_N, return_inverse=True, return_counts=True)
    found_N: Floats = 1 / (len(folds) * counts[place_N])
    return found_N


def smoothed(h_Nd: Floats, smoothing: float) -> Floats:
    """Σ̂: the mean of h hᵀ / ‖h‖², with ν/d on its diagonal, shape (d, d)."""
    unit_Nd = _unit(h_Nd)
    dimension = h_Nd.shape[1]
    found_dd: Floats = unit_Nd.T @ unit_Nd / len(h_Nd)
    found_dd[np.diag_indices(dimension)] += smoothing / dimension
    return found_dd


def g_norm(h_Nd: Floats) -> float:
    """The trace of Σ: the mean of ‖h‖²."""
    return float((h_Nd**2).sum(axis=1).mean())


def g_vendi(h_Nd: Floats) -> float:
    """The entropy, in nats, of the eigenvalues of Σ̃, which sum to 1."""
    unit_Nd = _unit(h_Nd)
    # The smaller of the two matrices: both have the same eigenvalues above 0.
    small = unit_Nd @ unit_Nd.T if len(unit_Nd) < unit_Nd.shape[1] else unit_Nd.T @ unit_Nd
    values = np.linalg.eigvalsh(small / len(unit_Nd))
    values = values[values > 0]
    return float(-(values * np.log(values)).sum())


def folds_of(prompts: int, folds: int, seed: int) -> Ints:
    """(P,) a fold for each prompt, of equal size up to one prompt, in random places."""
    order_P = np.random.default_rng(seed).permutation(prompts)
    found_P = np.empty(prompts, np.int64)
    found_P[order_P] = np.arange(prompts) * folds // prompts
    return found_P


def _unit(h_Nd: Floats) -> Floats:
    found_Nd: Floats = h_Nd / np.linalg.norm(h_Nd, axis=1, keepdims=True)
    return found_Nd


def _weighted(factor_dd: Floats, h_Nd: Floats) -> Floats:
    """hᵀ Σ̂⁻¹ h of each row, by Σ̂'s lower Cholesky factor."""
    half_dN = linalg.solve_triangular(factor_dd, h_Nd.T, lower=True)
    found_N: Floats = (half_dN**2).sum(axis=0)
    return found_N
