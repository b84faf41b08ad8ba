"""How much of what precedes a step each window really shows. Knows nothing of scores."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lnat_plugins.metrics import GLOBAL
from lnat_plugins.record import StepSums
from lnat_plugins.windows import parse_window


def shown_context(records: Iterable[StepSums]) -> dict[str, float]:
    """Window -> the share of the preceding response tokens that it shows, 0 … 1.

    Σ tokens of the window's steps / Σ tokens of all preceding steps, averaged over the steps of a
    response that hold a token and have one before them, then over responses. NaN where no response
    has such a step. The global window, which shows all, is left out.
    """
    known = [record for record in records if record.n_tokens]
    longest = max((len(record.tokens) for record in known), default=0)
    names = dict.fromkeys(name for record in known for name in record.sums if name != GLOBAL)
    found = {}
    for name in names:
        window = parse_window(name)
        preceding = np.array([window.preceding(step) for step in range(longest)], dtype=np.int64)
        shares = [_share(record, preceding) for record in known if name in record.sums]
        defined = [share for share in shares if not math.isnan(share)]
        found[name] = math.fsum(defined) / len(defined) if defined else math.nan
    return found


def _share(record: StepSums, preceding: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    tokens = np.array(record.tokens, dtype=np.int64)
    step = np.arange(len(tokens))
    before = np.concatenate([[0], np.cumsum(tokens)])
    has = (tokens > 0) & (before[:-1] > 0)
    if not has.any():
        return math.nan
    whole = before[:-1][has]
    unseen = before[step - preceding[: len(tokens)]][has]
    return float(((whole - unseen) / whole).mean())
