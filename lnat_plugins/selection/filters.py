"""Filters before any strategy: each takes rows away and writes down why.

Every filter returns the rows that it keeps, in order, and adds the others to `reasons`
(index -> reason). Knows nothing of metrics: `goodness` is higher where a row is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError
from lnat_plugins.ranking.winners import TIE
from lnat_plugins.selection.pool import PoolRow

Reasons = MutableMapping[int, str]


def drop_incorrect(rows: Sequence[PoolRow], reasons: Reasons, source: str) -> list[PoolRow]:
    """Keeps rows known to be correct. ConfigError if no row says whether it is."""
    if all(row.response.correct is None for row in rows):
        raise ConfigError(
            "`require_correct` needs a column that says which rows are correct, and none does",
            where=source,
            remedy="name it under `columns: {correct: ...}`, or remove `require_correct`",
        )
    kept = []
    for row in rows:
        if row.response.correct:
            kept.append(row)
        elif row.response.correct is None:
            reasons[row.index] = "`correct` is not given"
        else:
            reasons[row.index] = "`correct` is false"
    return kept


def drop_duplicates(rows: Sequence[PoolRow], reasons: Reasons) -> list[PoolRow]:
    """Keeps the first of equal responses (character by character) to one prompt."""
    first: dict[tuple[str, str], PoolRow] = {}
    for row in rows:
        kept = first.setdefault((row.prompt_id, row.text), row)
        if kept is not row:
            reasons[row.index] = f"duplicate: {kept.teacher} gave the same response before"
    return list(first.values())


def drop_long(
    rows: Sequence[PoolRow], tokens: Sequence[int], max_length: int, reasons: Reasons
) -> list[PoolRow]:
    """Keeps rows of at most `max_length` tokens, as training would read them."""
    kept = []
    for row, length in zip(rows, tokens, strict=True):
        if length <= max_length:
            kept.append(row)
        else:
            reasons[row.index] = f"longer than max_length: {length} tokens"
    return kept


def drop_undefined(rows: Sequence[PoolRow], reasons: Mapping[int, str]) -> list[PoolRow]:
    """Keeps rows that have no reason against them yet."""
    return [row for row in rows if row.index not in reasons]


def drop_narrow(
    rows: Sequence[PoolRow], goodness_N: NDArray[np.float64], margin: float, reasons: Reasons
) -> list[PoolRow]:
    """Keeps prompts whose best row leads the second best by at least `margin`.

    A prompt with one row has no rival and is kept. Rounding (`TIE`) does not take a lead away:
    -1.0 leads -1.2 by 0.2.
    """
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row.prompt_id, []).append(float(goodness_N[row.index]))
    narrow = {}
    for prompt_id, found in values.items():
        best, *others = sorted(found, reverse=True)
        lead = best - others[0] if others else math.inf
        if lead < margin - TIE * max(1.0, abs(best)):
            narrow[prompt_id] = f"below min_margin: the best row leads by {lead:.4g}"
    reasons.update({row.index: narrow[row.prompt_id] for row in rows if row.prompt_id in narrow})
    return [row for row in rows if row.prompt_id not in narrow]
