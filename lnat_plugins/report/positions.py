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
    """Means of step scores at ten places of the trace, over the same responses for all windows.

    Attributes:
        means: window -> ten means over responses, all of them in each.
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
    """The mean of a response's steps in each tenth of it; then the mean over responses.

    Step i of p takes the stretch [i/p, (i + 1)/p) of the response (counted from 0, without steps
    that hold no token), and weighs in a tenth as much as it takes of it. So every response counts
    once in every tenth, however short. Were steps counted whole, short responses would be missing
    from some tenths, and the line would tell who is there and not how scores change.

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
    """The mean score of each tenth; None unless every step has one."""
    scores = step_means(record, window)
    if not scores or any(map(math.isnan, scores)):
        return None
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    edges = np.arange(BINS + 1) * len(scores) / BINS
    means: Floats = np.diff(np.interp(edges, np.arange(len(sums)), sums)) * BINS / len(scores)
    return means


def _mean(profiles: Sequence[Floats | None]) -> tuple[float, ...]:
    means_B = np.array(profiles, dtype=np.float64).mean(axis=0)
    return tuple(float(value) for value in means_B)
