"""What the engine's speed is measured by: bounds on ratios, and whether they are met.

Knows nothing of models. The bounds are for a student of the shape of Qwen2.5-0.5B in float32 on
two CPU cores; with toy sizes they mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from _report import Comparison, Line

ABOVE_FLOOR: Final = 1.25
HOST_SHARE: Final = 0.05
EXPONENT: Final = 1.1
MEMORY_GIB: Final = 1.5
FLAT: Final = 0.1
ONE_WINDOW: Final = "4"
MANY_WINDOWS: Final = "0,1,2,3,4,global"
FASTER: Final = {
    ("short_prompt", ONE_WINDOW): 3,
    ("long_prompt", ONE_WINDOW): 10,
    ("short_prompt", MANY_WINDOWS): 7,
    ("long_prompt", MANY_WINDOWS): 30,
}
"""How much faster than lm-eval, by workload and windows."""


class Target(NamedTuple):
    """A bound, and what was found."""

    what: str
    where: str
    sign: str
    bound: float
    found: float

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.found <= self.bound if self.sign == "≤" else self.found >= self.bound


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The b of y = a·x**b, by least squares on the logarithms; NaN for fewer than two x."""
    log_x, log_y = ([math.log(value) for value in values] for values in (xs, ys))
    mean_x, mean_y = (sum(values) / max(1, len(values)) for values in (log_x, log_y))
    spread = sum((x - mean_x) ** 2 for x in log_x)
    together = sum((x - mean_x) * (y - mean_y) for x, y in zip(log_x, log_y, strict=True))
    return together / spread if spread else math.nan


def targets(comparisons: Sequence[Comparison]) -> list[Target]:
    """The targets that these figures can tell of; all of them are of the fast path."""
    found: list[Target] = []
    for comparison in comparisons:
        fast = comparison.line("fast")
        if fast is None:
            continue
        where = f"{fast.workload}, windows {fast.windows}"
        bound = FASTER.get((comparison.kind, fast.windows))
        if bound and comparison.line("lm_eval"):
            found.append(
                Target("seconds, lm-eval / fast", where, "≥", bound, comparison.faster(fast))
            )
        if comparison.line("floor"):
            ratio = comparison.above(fast)
            found.append(Target("seconds, fast / floor", where, "≤", ABOVE_FLOOR, ratio))
        if fast.host_share is not None:
            found.append(Target("host side / wall", where, "≤", HOST_SHARE, fast.host_share))
    return found + _by_length([one for one in comparisons if one.kind == "lengths"])


def _by_length(comparisons: Sequence[Comparison]) -> list[Target]:
    """What is asked of one window set at several trace lengths."""
    found: list[Target] = []
    for windows in dict.fromkeys(one.lines[0].windows for one in comparisons):
        lines = [
            line
            for one in comparisons
            if one.lines[0].windows == windows and (line := one.line("fast"))
        ]
        lines.sort(key=lambda line: line.trace_tokens)
        if len(lines) < 2:
            continue
        where = f"{lines[0].trace_tokens:,} to {lines[-1].trace_tokens:,} tokens, windows {windows}"
        sizes = [line.trace_tokens for line in lines]
        for what, values in _growing(lines).items():
            slope = exponent(sizes, values)
            found.append(Target(f"exponent of {what} in trace length", where, "≤", EXPONENT, slope))
        if all(line.memory for line in lines):
            peaks = [float(line.memory or math.nan) for line in lines]
            most, slope = max(peaks) / 2**30, exponent(sizes, peaks)
            found.append(Target("peak GiB beyond the weights", where, "≤", MEMORY_GIB, most))
            found.append(Target("exponent of peak memory in trace length", where, "≤", FLAT, slope))
    return found


def _growing(lines: Sequence[Line]) -> dict[str, list[float]]:
    return {
        "seconds": [line.seconds for line in lines],
        "CPU seconds": [line.cpu_seconds for line in lines],
        "body tokens": [line.body_tokens for line in lines],
    }
