"""Windows: how much of what went before each step may see, and the runs that show it.

Knows steps only by their number; nothing of text, tokens or models.

A *window* turns a step's index into the number of preceding steps in its context. A
*pair* ``(start, step)`` is one conditional: step ``step`` given the prompt and the steps
``start … step - 1``. A *run* is the prompt followed by the consecutive steps
``start … stop - 1``, read once: step ``start`` sees none before it, ``start + 1`` sees
one, and so on, so a run answers every pair with its start. Pairs are therefore grouped
by start, and several windows cost little more than the widest of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from lnat_plugins.errors import ConfigError, nearest

GLOBAL = "global"
_REMEDY = "a window is a whole number of preceding steps (4), a share of them ('10%') or 'global'"


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
    """How many preceding steps a step may see.

    Args:
        name: as written in settings and results: "4", "10%" or "global".
        count: a fixed number of steps, else None.
        share: a share of the preceding steps, else None. Both None: all of them.
    """

    name: str
    count: int | None = None
    share: Fraction | None = None

    def preceding(self, step: int) -> int:
        """Number of steps in the context of the step with the 0-based index `step`.

        A count is clipped at the start of the response. A share is rounded up,
        ``ceil(share * step)``, so that the second step always sees the first (the papers
        leave the rounding open; arXiv 2510.03988 v2 gives shares only).
        """
        if self.count is not None:
            return min(self.count, step)
        if self.share is not None:
            return math.ceil(self.share * step)
        return step

    def pairs(self, n_steps: int) -> list[Pair]:
        """The conditional of each of `n_steps` steps under this window."""
        return [Pair(step - self.preceding(step), step) for step in range(n_steps)]


def parse_window(spec: object, where: str = "") -> Window:
    """Reads one window. Raises ConfigError with what is allowed; `where` is for its message."""
    text = str(spec).strip() if isinstance(spec, (int, str)) and not isinstance(spec, bool) else ""
    if text == GLOBAL:
        return Window(GLOBAL)
    if re.fullmatch(r"\d+", text):
        return Window(str(int(text)), count=int(text))
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text):
        share = Fraction(match[1]) / 100
        if 0 < share <= 1:
            return Window(f"{float(match[1]):g}%", share=share)
    remedy = nearest(text, [GLOBAL]) + _REMEDY
    raise ConfigError("unknown window", where=where, found=spec, remedy=remedy)


def parse_windows(specs: Iterable[object], where: str = "") -> tuple[Window, ...]:
    """Reads a list of windows; refuses an empty list and a window named twice."""
    if isinstance(specs, (str, int)):
        specs = [specs]
    windows = tuple(parse_window(spec, where) for spec in specs)
    names = [window.name for window in windows]
    if not windows:
        raise ConfigError("no window is asked for", where=where, remedy=_REMEDY)
    if len(set(names)) < len(names):
        raise ConfigError(
            "a window is named twice", where=where, found=names, remedy="name each window once"
        )
    return windows


def plan_runs(pairs: Iterable[Pair]) -> tuple[Run, ...]:
    """The fewest runs that answer all `pairs`: one for each start, in order of start."""
    steps_by_start: dict[int, set[int]] = {}
    for start, step in pairs:
        steps_by_start.setdefault(start, set()).add(step)
    return tuple(
        Run(start, max(steps) + 1, tuple(sorted(steps)))
        for start, steps in sorted(steps_by_start.items())
    )


def body_tokens(runs: Iterable[Run], tokens_per_step: Sequence[int]) -> int:
    """Tokens after the prompt that the runs read: Σ over runs of |s_start … s_stop-1|."""
    return sum(sum(tokens_per_step[run.start : run.stop]) for run in runs)


def projected_tokens(runs: Iterable[Run], tokens_per_step: Sequence[int]) -> int:
    """Tokens whose log-probability the runs ask for, each a row of the vocabulary."""
    return sum(tokens_per_step[step] for run in runs for step in run.scored)
