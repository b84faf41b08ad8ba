"""The part of a response that is read, where a run has a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lnat_plugins.steps.windows import GLOBAL, Window, parse_window


class Part(NamedTuple):
    """Which steps are scored, and under which windows.

    Args:
        steps: 0-based, in order; these are scored under the first window.
        whole: whether every step is scored under the whole context too. Then the steps whose
            window reaches the start are known under the first window as well.
        stride: the name of a window with a stride under which every step is scored too, such as
            "4/8"; "" for none.
    """

    steps: tuple[int, ...]
    whole: bool
    stride: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As `StepSums.part` writes it."""
        found: dict[str, Any] = {"steps": list(self.steps), "whole": self.whole}
        return found | ({"stride": self.stride} if self.stride else {})

    def windows(self, first: Window) -> tuple[Window, ...]:
        """Those that are recorded."""
        more = [Window(GLOBAL)] if self.whole else []
        more += [parse_window(self.stride)] if self.stride else []
        return (first, *more)

    def scored(self, first: Window, n_steps: int) -> dict[Window, Sequence[int]]:
        """Window -> the steps that are scored under it."""
        every = range(n_steps)
        found: dict[Window, Sequence[int]] = dict.fromkeys(self.windows(first), every)
        known = [step for step in every if self.whole and first.preceding(step) == step]
        return found | {first: sorted({*known, *self.steps})}
