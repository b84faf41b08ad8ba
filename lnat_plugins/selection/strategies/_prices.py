"""A price for each column under which prompts go where they should, nearly.

Knows nothing of what columns are. A good price saves time and changes nothing else.
Shapes: P prompts, C columns.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDS: Final = 40


def prices(values_PC: Floats, least_C: Ints, most_C: Ints) -> Floats:
    """(C,) prices: above 0 where too many prompts would go otherwise, below 0 where too few.

    One price after the other is set so that its column's count fits, given the other prices, and
    this a few times around.
    """
    price_C = np.zeros(values_PC.shape[1])
    for _ in range(_ROUNDS):
        before_C = price_C.copy()
        for column, (least, most) in enumerate(zip(least_C, most_C, strict=True)):
            gain_PC = values_PC - price_C
            gain_PC[:, column] = -np.inf
            lead_P = np.sort(values_PC[:, column] - gain_PC.max(axis=1))[::-1]
            price_C[column] = _price(lead_P[np.isfinite(lead_P)], least, most)
        if np.array_equal(price_C, before_C):
            break
    return price_C


def _price(lead_P: Floats, least: int, most: int) -> float:
    """Between the last prompt to come and the first to stay away; `lead_P` falls."""
    coming = int((lead_P > 0).sum())
    count = min(max(coming, least), most)
    if count == coming or not len(lead_P):
        return 0.0
    return float(lead_P[max(0, count - 1) : count + 1].mean())
