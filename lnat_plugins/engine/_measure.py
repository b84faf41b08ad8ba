"""From logits to the numbers of each token: its log-probability and what else is wanted of it.

Knows nothing of models. In float32 whatever the dtype of the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from lnat_plugins.statistics_names import BRIER_TOP, RANK_CAP

_BLOCK_BYTES: Final = 4 * 2**20
"""Rows at once on a CPU: larger temporaries fall out of its cache and cost thrice as much."""
_LEAST: Final = -1e4
"""A log-probability whose probability is 0 in float32; stands for −inf, which 0 cannot multiply."""


def measure(logits_NV: Tensor, targets_N: Tensor, names: Sequence[str]) -> Tensor:
    """Shape (1 + S, N): log p of each target, then the S statistics in the order of `names`.

    Args:
        logits_NV: N distributions over a vocabulary of V.
        targets_N: the token that stands there.
        names: of `statistics_names.TOKEN`.
    """
    rows = max(1, _BLOCK_BYTES // (4 * logits_NV.shape[-1]))
    if logits_NV.device.type != "cpu" or len(logits_NV) <= rows:
        return _measure(logits_NV, targets_N, names)
    blocks = zip(torch.split(logits_NV, rows), torch.split(targets_N, rows), strict=True)
    return torch.cat([_measure(*block, names) for block in blocks], dim=-1)


def _measure(logits_NV: Tensor, targets_N: Tensor, names: Sequence[str]) -> Tensor:
    logits_NV = logits_NV.float()
    targets_N1 = targets_N.to(logits_NV.device).unsqueeze(-1)
    gold_N1 = logits_NV.gather(-1, targets_N1)
    lse_N1 = logits_NV.logsumexp(-1, keepdim=True)
    found = {"": (gold_N1 - lse_N1).squeeze(-1)}
    if "capped_rank" in names:
        above_N = (logits_NV > gold_N1).sum(-1)
        found["capped_rank"] = (1 + above_N).clamp_(max=RANK_CAP).float()
    if "entropy" in names or "brier" in names:
        logp_NV = (logits_NV - lse_N1).clamp_(min=_LEAST)
        p_NV = logp_NV.exp()
        found["entropy"] = -torch.linalg.vecdot(p_NV, logp_NV)
        gold_p_N = found[""].exp()
        found["brier"] = 1 - 2 * gold_p_N + torch.linalg.vecdot(p_NV, p_NV)
    if "brier_top50" in names:
        found["brier_top50"] = _brier_of_top(logits_NV, targets_N1)
    return torch.stack([found[name] for name in ("", *names)])


def _brier_of_top(logits_NV: Tensor, targets_N1: Tensor) -> Tensor:
    top_NK, place_NK = logits_NV.topk(min(BRIER_TOP, logits_NV.shape[-1]), dim=-1)
    p_NK = top_NK.softmax(-1)
    gold_p_N = torch.where(place_NK == targets_N1, p_NK, 0).sum(-1)
    brier_N: Tensor = 1 - 2 * gold_p_N + torch.linalg.vecdot(p_NK, p_NK)
    return brier_N
