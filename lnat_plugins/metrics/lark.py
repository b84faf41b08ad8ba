"""LARK: how much a response adds to the speed at which its prompt's loss falls in training.

The weights that LARK gives the best few are the selection strategy `weighted`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lnat_plugins.metrics.base import GLOBAL, Metric, Scored, UndefinedError, log_prob, summed


def lark(rows: Sequence[Scored], window: str = GLOBAL) -> list[float]:
    """g_k = 2·B_k / ΣL − L_k·ΣB / (ΣL)², the sums over the responses to the prompt.

    L_k is the mean over the tokens of response k of −log p(y_t), B_k that of the Brier score
    1 − 2·p(y_t) + Σ_v p(v)², both under the whole trace. The Brier score of a token is the squared
    length of the gradient of its loss by its logits, and g_k is ∂/∂w_k of Σ w²B / Σ wL where all
    weights w are 1.

    Unit: Brier score per nat. Higher is better.
    Aggregation: a value a response, then mean over prompts. It depends on which other responses
    to the prompt are scored. Of a single one it is B / L.

    Source: arXiv 2605.30651 (LARK). Ours: the Brier score is exact; `lark_top50` has that of the
    authors' code.

    Raises:
        UndefinedError: ΣL is 0.
    """
    return _gains(rows, "brier")


def lark_top50(rows: Sequence[Scored], window: str = GLOBAL) -> list[float]:
    """As `lark`, each distribution cut to its 50 most probable tokens and renormalised for B.

    L is that of the whole distribution.

    Source: the code that the authors of arXiv 2605.30651 (LARK) published.
    """
    return _gains(rows, "brier_top50")


def _gains(rows: Sequence[Scored], statistic: str) -> list[float]:
    losses = [-log_prob(row.record) / row.record.n_tokens for row in rows]
    briers = [summed(row.record, statistic) / row.record.n_tokens for row in rows]
    loss, brier = math.fsum(losses), math.fsum(briers)
    if not loss:
        raise UndefinedError("the student is certain of every response to the prompt")
    return [2 * b / loss - x * brier / loss**2 for b, x in zip(briers, losses, strict=True)]


LARK = Metric(
    name="lark", higher_is_better=True, scope="prompt", unit="Brier score per nat",
    source="arXiv 2605.30651 (LARK)", aggregate="mean", compute=lark, reads="global",
    needs=frozenset({"brier"}),
    of_prefix=True,
)  # fmt: skip
LARK_TOP50 = Metric(
    name="lark_top50", higher_is_better=True, scope="prompt", unit="Brier score per nat",
    source="arXiv 2605.30651 (LARK), as its authors' code", aggregate="mean", compute=lark_top50,
    reads="global", needs=frozenset({"brier_top50"}),
    of_prefix=True,
)  # fmt: skip
