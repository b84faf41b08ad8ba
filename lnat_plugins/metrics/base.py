"""What a metric declares, so that nothing downstream has to guess it.

Knows nothing of teachers, prompts and files: a metric sees one scored response at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from lnat_plugins.record import StepSums

GLOBAL: Final = "global"
"""The window that sees the whole trace before the step."""


@dataclass(frozen=True)
class Metric:
    """A named number for one response, with all that a table needs to print and rank by it.

    Attributes:
        name: as written on the command line and in results.
        higher_is_better: the direction; None = descriptive, nothing may be ranked by it.
        scope: what `compute` looks at: one response.
        unit: "nats per token", "tokens", ...
        source: paper and section, and where this package deviates.
        aggregate: how responses become a teacher's figure: the mean.
        compute: (record, window) -> the value; NaN if undefined, never a stand-in number.
        reads: "window" = the sums of the window asked for, "global" = those of the global
            window whatever is asked for, "counts" = no log-probability at all.
    """

    name: str
    higher_is_better: bool | None
    scope: Literal["response"]
    unit: str
    source: str
    aggregate: Literal["mean"]
    compute: Callable[[StepSums, str], float]
    reads: Literal["window", "global", "counts"]

    def window_read(self, window: str) -> str | None:
        """The window whose sums the metric reads when `window` is asked for; None = none."""
        return {"window": window, "global": GLOBAL, "counts": None}[self.reads]

    def why_undefined(self, record: StepSums, window: str) -> str:
        """The reason behind a NaN of `compute(record, window)`; "" if the value is defined."""
        if not math.isnan(self.compute(record, window)):
            return ""
        if not record.n_tokens:
            return "the response holds no token"
        read = self.window_read(window)
        if read is None:
            return "no reason was recorded"
        if read in record.undefined:
            return record.undefined[read]
        if read not in record.sums:
            return f"window {read!r} was not scored"
        return "the back end gives only the total, not the steps"


def step_means(record: StepSums, window: str) -> list[float] | None:
    """Σ log p / tokens of each step that holds a token, in nats per token.

    None if the window was not scored, or if only its total is known. A step without a token
    (its characters all lie in a token begun earlier) has no mean and is left out.
    """
    sums = record.sums.get(window)
    if sums is None:
        return None
    return [total / count for total, count in zip(sums, record.tokens, strict=True) if count]


def mean(values: list[float] | None) -> float:
    """The plain mean; NaN for none, and NaN as soon as one value is NaN."""
    return math.fsum(values) / len(values) if values else math.nan
