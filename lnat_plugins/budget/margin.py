"""Which responses to a prompt may be its best by exact scores, when stride scores are known.

A stride score lets steps see more than their window (`Window.stride`), so it differs from the exact
score, by about as much for all responses to a prompt. How far that can mislead is measured: a pilot
of prompts is scored in both ways. The *shortfall* of a prompt is how far its best response by exact
scores lies below its best stride score. The *margin* is the largest shortfall of the pilot, and the
candidates of a further prompt are the responses within it.

The pilot is a random sample. So a further prompt is as likely as each of the pilot's n to have the
largest shortfall of the n + 1: it exceeds the margin with probability 1 / (n + 1) at most, whatever
the law of shortfalls is. That is over pilots and prompts together; one pilot's margin may be worse.
Source: the rank argument of conformal prediction, Vovk, Gammerman and Shafer (2005), "Algorithmic
Learning in a Random World". Shapes: R responses to one prompt; NaN = not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TIE: Final = 1e-12


@dataclass(frozen=True)
class Pilot:
    """What the prompts that were scored in both ways show.

    Attributes:
        prompts: n, those with two responses or more that have an exact score.
        same: of these, how many have the same best response by stride scores alone.
        margin: nats per token; infinite for n = 0.
    """

    prompts: int
    same: int
    margin: float

    @property
    def error(self) -> float:
        """The probability, at most, that a further prompt's best response is no candidate."""
        return 1 / (self.prompts + 1)


def prompts_for(error: float) -> int:
    """How many prompts a pilot needs for a probability of at most `error`."""
    return max(1, math.ceil(1 / error - 1e-9) - 1)


def best_of(scores_R: Sequence[float]) -> list[int]:
    """Those that are best, equal but for rounding; none if no score is known."""
    best = max(filter(math.isfinite, scores_R), default=math.nan)
    return [i for i, score in enumerate(scores_R) if score >= best - _TIE * max(1.0, abs(best))]


def near_best(stride_R: Sequence[float], margin: float) -> list[int]:
    """The candidates: those within the margin of the best, and those without a stride score."""
    best = max(filter(math.isfinite, stride_R), default=math.nan)
    return [i for i, score in enumerate(stride_R) if not best - score > margin]


def shortfall(stride_R: Sequence[float], exact_R: Sequence[float]) -> float | None:
    """How far the best response by exact scores lies below the best stride score, 0 or more.

    None if fewer than two have an exact score; 0 if the best has no stride score, which makes it
    a candidate whatever the margin is. Of equal exact scores the nearest counts.
    """
    if sum(map(math.isfinite, exact_R)) < 2:
        return None
    equal = [stride_R[i] for i in best_of(exact_R)]
    if not all(map(math.isfinite, equal)):
        return 0.0
    return max(filter(math.isfinite, stride_R)) - max(equal)


def calibrate(shortfalls: Sequence[float], same: int) -> Pilot:
    """The pilot's margin, from the shortfalls of its prompts."""
    return Pilot(len(shortfalls), same, max(shortfalls, default=math.inf))
