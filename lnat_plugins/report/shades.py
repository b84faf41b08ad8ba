"""From a step's score to one of seven shades, with the legend that says which is which.

Knows nothing of texts. The shades are blue for natural and orange for unnatural, which every
kind of colour vision tells apart; each has an underline of its own for print and greyscale.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from lnat_plugins.metrics.base import step_means
from lnat_plugins.record import StepSums
from lnat_plugins.report.markup import Markup, join, number, tag

QUANTILES: Final = (0.05, 0.15, 0.30, 0.70, 0.85, 0.95)
"""Shares of all steps at which the shades change; the middle one holds 40 %."""

_WORDS: Final = (
    "least natural 5 %", "next 10 %", "next 15 %", "middle 40 %",
    "next 15 %", "next 10 %", "most natural 5 %",
)  # fmt: skip


class Shades(NamedTuple):
    """Where the shades change.

    Attributes:
        window: whose step scores are shaded.
        edges: six scores, rising, in nats per token; empty if no step has a score.
    """

    window: str
    edges: tuple[float, ...]

    def shade(self, score: float) -> str:
        """The class of a step's shade; "u" for an undefined score."""
        if math.isnan(score) or not self.edges:
            return "u"
        return f"s{bisect.bisect_right(self.edges, score)}"

    def legend(self) -> Markup:
        """The seven shades with their scores, and the marks of steps that have none."""
        keys = []
        if self.edges:
            ends = [number(edge, 2) for edge in self.edges]
            ranges = [
                f"below {ends[0]}",
                *(f"{low} to {high}" for low, high in itertools.pairwise(ends)),
                f"{ends[-1]} or more",
            ]
            keys = [
                tag("li", tag("span", words, class_=f"s{place}"), f" {range_}")
                for place, (words, range_) in enumerate(zip(_WORDS, ranges, strict=True))
            ]
        keys.append(tag("li", tag("span", "no score", class_="u"), " undefined, or no token"))
        return tag("ul", join(keys, " "), class_="legend")


def shades_of(records: Iterable[StepSums], window: str) -> Shades:
    """Edges at the quantiles of all steps' scores under the window."""
    scores = [score for record in records for score in step_means(record, window) or ()]
    known = [score for score in scores if not math.isnan(score)]
    if not known:
        return Shades(window, ())
    return Shades(window, tuple(float(edge) for edge in np.quantile(known, QUANTILES)))
