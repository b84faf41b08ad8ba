"""Scores by position in the trace: how natural the first, second, ... tenth of a response is.

Knows nothing of drawing. The paper finds that what a step gains from the whole trace over a local
window grows with its position (arXiv 2510.03988).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.metrics import GLOBAL, Scored
from lnat_plugins.metrics.base import step_means
from lnat_plugins.record import StepSums

BINS: Final = 10

Floats = NDArray[np.float64]


class Positions(NamedTuple):
    """Means of step scores in ten parts of the trace, over the same responses for all windows.

    Attributes:
        means: window -> ten means over responses; NaN where no response has a step.
        gains: teacher -> ten means of global minus the window asked for; empty where one of the
            two is not among the windows, or they are one.
        responses: how many are behind the means.
        left_out: how many lack one of the windows.
    """

    means: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, tuple[float, ...]]
    responses: int
    left_out: int


def positions(rows: Sequence[Scored], windows: Sequence[str], window: str) -> Positions:
    """A response's value in a bin is the mean of its steps there; then the mean over responses.

    Step i of p (both counted without steps that hold no token, i from 0) lies in bin ⌊10 i / p⌋.
    A response with fewer than ten steps says nothing of the bins that it leaves empty.

    Args:
        rows: scored responses.
        windows: those scored; one that no response has throughout is left out.
        window: what global is compared with.
    """
    profiles = [{name: _profile(row.record, name) for name in windows} for row in rows]
    used = [name for name in windows if any(each[name] is not None for each in profiles)]
    whole = [
        (row.teacher, {name: each[name] for name in used})
        for row, each in zip(rows, profiles, strict=True)
        if used and all(each[name] is not None for name in used)
    ]
    means = {name: _mean([each[name] for _, each in whole]) for name in used} if whole else {}
    gains: dict[str, tuple[float, ...]] = {}
    if window != GLOBAL and {window, GLOBAL} <= means.keys():
        for teacher in dict.fromkeys(teacher for teacher, _ in whole):
            own = [each for name, each in whole if name == teacher]
            both = zip(
                _mean([e[GLOBAL] for e in own]), _mean([e[window] for e in own]), strict=True
            )
            gains[teacher] = tuple(one - other for one, other in both)
    return Positions(means, gains, len(whole), len(rows) - len(whole))


def _profile(record: StepSums, window: str) -> Floats | None:
    """The mean score in each bin, NaN where no step lies; None unless every step has a score."""
    scores = step_means(record, window)
    if not scores or any(map(math.isnan, scores)):
        return None
    bins = BINS * np.arange(len(scores)) // len(scores)
    counts = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, weights=scores, minlength=BINS)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _mean(profiles: Sequence[Floats | None]) -> tuple[float, ...]:
    table_RB = np.array(profiles, dtype=np.float64)
    known_RB = ~np.isnan(table_RB)
    counts_B = known_RB.sum(axis=0)
    sums_B = np.where(known_RB, table_RB, 0.0).sum(axis=0)
    means_B = np.where(counts_B > 0, sums_B / np.maximum(counts_B, 1), np.nan)
    return tuple(float(value) for value in means_B)
