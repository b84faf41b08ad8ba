"""Who is best, by the metric's own direction. Ties: the first row wins, and the tie is counted.

Knows nothing of prompts' contents and of intervals. Shapes: P prompts, T teachers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

TIE: Final = 1e-12
"""Values this near each other, relative to their size (absolutely below 1), are equal: far
below any difference between scores, above the rounding of a mean."""


def best_mask(values: NDArray[np.float64], higher_is_better: bool) -> NDArray[np.bool_]:
    """Where each row's best value stands; several columns in a tie. Shape as `values`."""
    oriented = values if higher_is_better else -values
    best = oriented.max(axis=1, keepdims=True)
    mask: NDArray[np.bool_] = oriented >= best - TIE * np.maximum(1.0, np.abs(best))
    return mask


def winners(
    values_PT: NDArray[np.float64], first_row_PT: NDArray[np.int64], higher_is_better: bool
) -> tuple[NDArray[np.int64], int]:
    """The column that wins each prompt, and the number of prompts with a tie."""
    best_PT = best_mask(values_PT, higher_is_better)
    last = np.iinfo(np.int64).max
    winner_P: NDArray[np.int64] = np.where(best_PT, first_row_PT, last).argmin(axis=1)
    return winner_P, int((best_PT.sum(axis=1) > 1).sum())
