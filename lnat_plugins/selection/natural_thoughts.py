"""Two strategies of NaturalThoughts: rows drawn by length, and rows with many ways of reasoning."""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections import Counter
from typing import Any, Final

import numpy as np

from lnat_plugins.metrics.natural_thoughts import reasoning_strategies
from lnat_plugins.selection.base import (
    REQUIRED,
    TIED,
    Choice,
    Option,
    ScoredCandidates,
    Strategy,
    share,
    whole_number,
)

_SOURCE: Final = "arXiv 2507.01921 (NaturalThoughts)"


def exponent(value: Any) -> float:
    """Parse an exponent, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("a number, 0 or more")
    return float(value)


def length_biased(candidates: ScoredCandidates) -> Choice:
    """ceil(fraction · n) rows, drawn one after another without replacement, by p ∝ (l / C)^τ.

    l is a row's tokens, C those of the longest row, which cancels out. τ = 0 draws all alike, a
    large τ takes the longest. A row of no tokens is drawn last.

    Drawn by the largest u^(1/w), u uniform and w = (l / C)^τ: that is drawing one after another
    (Efraimidis and Spirakis 2006). A row's u comes from `seed`, its prompt's id, teacher and
    sample, so that it does not depend on the other rows or their order.

    Source: NaturalThoughts, arXiv 2507.01921.
    """
    lengths = candidates.tokens.astype(np.float64)
    count = math.ceil(candidates.options["fraction"] * len(lengths))
    longest = max(float(lengths.max()), 1.0)
    with np.errstate(divide="ignore"):
        # log(−log u^(1/w)) = log(−log u) − τ·log(l / C), and the smallest are the largest u^(1/w).
        keys = np.log(-np.log(_uniform(candidates)))
        if tau := candidates.options["tau"]:
            keys -= tau * np.log(lengths / longest)
    return Choice(tuple(sorted(np.argsort(keys, kind="stable")[:count].tolist())))


def _uniform(candidates: ScoredCandidates) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A number in (0, 1) a row, another one than the metric `random` draws."""
    found = []
    for row in candidates.rows:
        key = ["length_biased", candidates.seed, row.prompt_id, row.teacher, row.response.sample]
        digest = hashlib.sha256(json.dumps(key).encode()).digest()
        found.append((int.from_bytes(digest[:8], "big") // 2**12 + 0.5) / 2**52)
    return np.array(found)


def diverse(candidates: ScoredCandidates) -> Choice:
    """k rows, each the one whose reasoning strategies are the rarest among those chosen before.

    A row's gain is Σ 1 / (1 + c_s) over its distinct reasoning strategies s, where c_s of the
    rows chosen before have s. Choosing greedily reaches at least 1 − 1/e of the largest total
    gain, a monotone submodular function (Nemhauser, Wolsey and Fisher 1978). Rows without any
    strategy come last. Of rows with the same gain the first is chosen.

    Source: NaturalThoughts, arXiv 2507.01921, which selects for diverse strategies. Ours: the gain.
    """
    k = min(candidates.options["k"], len(candidates.rows))
    shown = [reasoning_strategies(row.text, row.response.extra) for row in candidates.rows]
    counts: Counter[str] = Counter()

    def gain(position: int) -> float:
        return math.fsum(1 / (1 + counts[name]) for name in shown[position])

    # Gains only fall, so that one that is still the highest after an update is the highest.
    heap = [(-gain(i), i) for i in range(len(shown))]
    heapq.heapify(heap)
    chosen: list[int] = []
    tied: list[int] = []
    while len(chosen) < k:
        _, position = heapq.heappop(heap)
        now = (-gain(position), position)
        if heap and now > heap[0]:
            heapq.heappush(heap, now)
            continue
        chosen.append(position)
        if len(chosen) == k:
            tied = [i for _, i in heap if gain(i) == -now[0]]
        counts.update(shown[position])
    return Choice(tuple(sorted(chosen)), reasons=dict.fromkeys(tied, TIED), ties=int(bool(tied)))


LENGTH_BIASED: Final = Strategy(
    name="length_biased",
    description="rows drawn at random, longer ones with a higher probability",
    choose=length_biased,
    default_reason="was not drawn",
    needs=frozenset({"tokens"}),
    options={
        "fraction": Option(
            share, REQUIRED,
            "share of the rows that passed the filters, 0.1 for a tenth; rounded up",
        ),
        "tau": Option(
            exponent, 1.0, "the probability is in proportion to length to this power; 0: all alike"
        ),
    },
    source=_SOURCE,
)  # fmt: skip
DIVERSE: Final = Strategy(
    name="diverse",
    description="rows that show the most, and the rarest, reasoning strategies",
    choose=diverse,
    default_reason="its reasoning strategies are shown by the chosen rows",
    options={"k": Option(whole_number, REQUIRED, "how many rows are chosen")},
    source=_SOURCE,
)
