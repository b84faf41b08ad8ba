"""How a score goes with a plain count, over all responses and inside each prompt.

Shapes: R responses with a defined value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lnat_plugins.ranking.cells import Cells, Floats, Ints
from lnat_plugins.ranking.correlation import spearman


@dataclass(frozen=True)
class ControlCorrelation:
    """Spearman's correlation of the score with a control, by the metric's direction.

    Positive = more of the control goes with a better score, whether that is a higher one or not.

    Attributes:
        control: its name.
        overall: over all responses with a defined score, matched prompts or not.
        responses: how many those are.
        within_prompt: mean of the correlations inside each prompt.
        prompts: prompts that have one: two responses or more, neither figure constant.
        spare: responses beyond two of each prompt that has one (beyond two of all where no prompt
            has): two responses always go together or against each other.
    """

    control: str
    overall: float
    responses: int
    within_prompt: float
    prompts: int
    spare: int


def control_correlation(
    name: str, control_R: Floats, cells: Cells, higher: bool
) -> ControlCorrelation:
    """The correlation of the cells' responses with the control's values of the same."""
    better_R = cells.response_values if higher else -cells.response_values
    inside = [
        (spearman(better_R[one], control_R[one]), len(one))
        for one in _by_prompt(cells.response_prompt)
    ]
    known = [(value, count) for value, count in inside if not math.isnan(value)]
    return ControlCorrelation(
        control=name,
        overall=spearman(better_R, control_R),
        responses=len(control_R),
        within_prompt=math.fsum(value for value, _ in known) / len(known) if known else math.nan,
        prompts=len(known),
        spare=sum(count - 2 for _, count in known) if known else max(0, len(control_R) - 2),
    )


def _by_prompt(prompt_R: Ints) -> list[Ints]:
    """The responses of each prompt, as indices."""
    order = np.argsort(prompt_R, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(prompt_R[order])) + 1)
