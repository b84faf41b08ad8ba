"""Scores by position in the trace: how natural a step in the first, second, ... tenth is.

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
    """The step that stands at 5, 15, … 95 % of a response's steps; then the mean over responses.

    In tenth j = 0 … 9 that is step ⌊(j + 0.5) p / 10⌋ of p (both counted without steps that hold
    no token, from 0). So every response counts once in every tenth; a short one repeats a step.
    Were tenths averages of the steps inside them, short responses would be missing from some, and
    the line would tell who is there and not how scores change.

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
    """The score of the step in the middle of each tenth; None unless every step has one."""
    scores = step_means(record, window)
    if not scores or any(map(math.isnan, scores)):
        return None
    # In whole numbers: a rounded (j + 0.5) / 10 could fall short of a step.
    middles = (2 * np.arange(BINS) + 1) * len(scores) // (2 * BINS)
    return np.array(scores, dtype=np.float64)[middles]


def _mean(profiles: Sequence[Floats | None]) -> tuple[float, ...]:
    means_B = np.array(profiles, dtype=np.float64).mean(axis=0)
    return tuple(float(value) for value in means_B)
