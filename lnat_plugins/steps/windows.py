"""Context windows: how many preceding steps each step sees, and the runs that score them.

A *window* turns a step's index into the number of preceding steps in its context. A *pair*
``(start, step)`` is one conditional: a step given the prompt and the steps ``start … step - 1``. A
*run* is the prompt followed by the steps ``start … stop - 1``, read in one forward pass: step
``start`` sees no step before it, ``start + 1`` sees one, and so on. One run serves every pair with
its start, so several windows cost little more than the widest of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from lnat_plugins.errors import ConfigError, nearest

GLOBAL = "global"
_REMEDY = (
    "a window is a whole number of preceding steps (4), a share of them ('10%'), 'global', or "
    "such a number and a stride of 2 or more ('4/8')"
)


class Pair(NamedTuple):
    """One conditional: step `step` (0-based) after the steps `start … step - 1`."""

    start: int
    step: int


class Run(NamedTuple):
    """The steps `start … stop - 1` after the prompt, and those of them that are scored."""

    start: int
    stop: int
    scored: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """How many preceding steps a step may see: `count`, or a `share` of them, or all.

    name: as written in settings and results: "4", "10%", "global", or "4/8" with a stride.
    stride: with it steps are cut into blocks of so many, and all of a block are scored in one run
        that begins `count` steps before it; so they see `count` to `count + stride - 1` steps.
    """

    name: str
    count: int | None = None
    share: Fraction | None = None
    stride: int | None = None

    def preceding(self, step: int) -> int:
        """Number of steps in the context of the step with the 0-based index `step`.

        A count is clipped at the start of the response. A share is rounded up, so that the second
        step always sees the first (arXiv 2510.03988 v2 gives shares, not how to round).
        """
        if self.count is not None:
            return min(self.count + (step % self.stride if self.stride else 0), step)
        if self.share is not None:
            return math.ceil(self.share * step)
        return step

    def pairs(self, n_steps: int) -> list[Pair]:
        """The conditional of each of `n_steps` steps under this window."""
        return [Pair(step - self.preceding(step), step) for step in range(n_steps)]


def parse_window(spec: object, where: str = "") -> Window:
    """Read one window: a whole number, one with a stride ("4/8"), a share ("10%"), or "global".

    Raises ConfigError for none of these, or a share outside (0, 100] percent.
    """
    text = str(spec).strip()
    if text == GLOBAL:
        return Window(GLOBAL)
    if re.fullmatch(r"\d{1,18}", text):
        return Window(str(int(text)), count=int(text))
    if match := re.fullmatch(r"(\d{1,18})\s*/\s*(\d{1,18})", text):
        count, stride = int(match[1]), int(match[2])
        if stride >= 2:
            return Window(f"{count}/{stride}", count=count, stride=stride)
    if match := re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*%", text):
        share = Fraction(match[1]) / 100  # exact: 0.07 * 100 steps in floating point gives 8
        if 0 < share <= 1:
            return Window(f"{float(match[1]):g}%", share=share)
    remedy = nearest(text, [GLOBAL]) + _REMEDY
    raise ConfigError("unknown window", where=where, found=spec, remedy=remedy)


def width(name: str) -> tuple[int, float, str]:
    """For an order of windows by name, narrow first: counts, then shares, then the whole trace."""
    window = parse_window(name)
    if window.count is not None:
        return 0, window.count, name
    return (1, float(window.share), name) if window.share else (2, 0.0, name)


def parse_windows(specs: Iterable[object], where: str = "") -> tuple[Window, ...]:
    """Read a list of windows, or one.

    Raises ConfigError for an unknown window, an empty list, or the same window twice.
    """
    if isinstance(specs, (str, int)):
        specs = [specs]
    windows = tuple(parse_window(spec, where) for spec in specs)
    names = [window.name for window in windows]
    if not windows:
        raise ConfigError("no window given", where=where, remedy=_REMEDY)
    if len(set(names)) < len(names):
        remedy = "name each window once"
        raise ConfigError("duplicate window", where=where, found=names, remedy=remedy)
    return windows


def plan_runs(pairs: Iterable[Pair]) -> tuple[Run, ...]:
    """The fewest runs that cover all `pairs`: one for each start, in order of start."""
    steps_by_start: dict[int, set[int]] = {}
    for start, step in pairs:
        steps_by_start.setdefault(start, set()).add(step)
    return tuple(
        Run(start, max(steps) + 1, tuple(sorted(steps)))
        for start, steps in sorted(steps_by_start.items())
    )
