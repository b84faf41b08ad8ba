"""Teachers by their gradients: the table, its notes, and plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lnat_plugins.formatting import duration, join_blocks, markdown_table, number, plain, plural
from lnat_plugins.gradients.parameters import Parameters
from lnat_plugins.gradients.projection import Kind
from lnat_plugins.ranking.bootstrap import INTERVAL
from lnat_plugins.ranking.orders import ranks

_NOT: Final = (
    "Not a verdict: the interval and `first in` draw the prompts anew and keep folds, spectra, "
    "projection and student. Values compare within this table alone."
)
_SIGNIFICANT: Final = 4


@dataclass(frozen=True)
class TeacherGradients:
    """One teacher's figures.

    Attributes:
        teacher: the name.
        grace: GRACE; lower is better. NaN with a `reason` where it is not defined.
        low, high: its percentile bootstrap interval over prompts, paired over teachers, folds and
            spectra kept.
        first_in: the share of resamples in which its GRACE is the lowest, ties shared.
        variance, bias: of GRACE, as the paper splits it; lower is better.
        g_norm: the mean squared length of the rescaled projected gradients; lower is better.
        g_vendi: the entropy of their directions, in nats; higher is better, says the paper.
        responses, tokens: on which these rest; tokens are the scored ones.
        reason: why GRACE is undefined, "" if it is not.
    """

    teacher: str
    grace: float
    low: float
    high: float
    first_in: float
    variance: float
    bias: float
    g_norm: float
    g_vendi: float
    responses: int
    tokens: int
    reason: str = ""


@dataclass(frozen=True)
class GradientScores:
    """Teachers by the student's gradients; see `gradient_scores`.

    Attributes:
        task, student: names.
        teachers: in the order of the set.
        parameters, size: by which parameters, and how many numbers that is.
        projection, dimension: the map, and d.
        folds, smoothing, seed: C, ν, and the seed of all draws.
        prompts: ids of those that count, the same for every teacher.
        left_out: reason -> how many responses, or prompts, were passed over.
        tokens: read forward; read backward too unless `parameters` is "last_layer".
        seconds: of that.
    """

    task: str
    student: str
    teachers: tuple[TeacherGradients, ...]
    parameters: Parameters
    size: int
    projection: Kind
    dimension: int
    folds: int
    smoothing: float
    seed: int
    prompts: tuple[str, ...]
    left_out: Mapping[str, int]
    tokens: int
    seconds: float

    def __repr__(self) -> str:
        return (
            f"<GradientScores of {len(self.prompts)} prompts, {self.parameters}, "
            f"{self.order or 'GRACE undefined'}>"
        )

    @property
    def order(self) -> str:
        """Teachers by GRACE, best first: "A>B=C"; "" where it is undefined or there is one."""
        known = [one for one in self.teachers if not one.reason]
        if len(known) < 2:
            return ""
        better = ranks(-np.array([[one.grace for one in known]])).better[0]
        places: dict[int, list[str]] = {}
        for place, one in sorted(zip(better.tolist(), known, strict=True), key=lambda it: it[0]):
            places.setdefault(place, []).append(one.teacher)
        return ">".join("=".join(names) for names in places.values())

    def to_markdown(self) -> str:
        """A line a teacher, best first, and what the figures rest on and are not."""
        headers = [
            "Teacher", "GRACE ↓", INTERVAL, "First in", "Variance ↓", "Bias ↓", "G-Norm ↓",
            "G-Vendi ↑", "Responses", "Tokens",
        ]  # fmt: skip
        rows = [
            [
                one.teacher, _digits(one.grace), _span(one.low, one.high), number(one.first_in, 2),
                _digits(one.variance), _digits(one.bias), _digits(one.g_norm),
                number(one.g_vendi, 3), str(one.responses), str(one.tokens),
            ]
            for one in sorted(self.teachers, key=lambda one: (bool(one.reason), one.grace))
        ]  # fmt: skip
        return join_blocks(
            [f"task: {self.task}, student: {self.student}", *self._settings()],
            markdown_table(headers, rows, left=1),
            self._notes(),
        )

    def _settings(self) -> list[str]:
        responses = sum(one.responses for one in self.teachers)
        passes = "forward" if self.parameters == "last_layer" else "forward and backward"
        return [
            f"gradients by {self.parameters} ({self.size:,} numbers), projected to "
            f"{self.dimension} ({self.projection}), {self.folds} folds, smoothing "
            f"{self.smoothing:g}, seed {self.seed}",
            f"{plural(len(self.prompts), 'prompt', separator=',')}, the same for every teacher, "
            f"{plural(responses, 'response', separator=',')}; {self.tokens:,} tokens read "
            f"{passes}, {duration(self.seconds)}",
        ]

    def _notes(self) -> list[str]:
        notes = [f"{one.teacher}: GRACE is undefined: {one.reason}." for one in self.teachers
                 if one.reason]  # fmt: skip
        notes += [f"{count} left out: {reason}." for reason, count in self.left_out.items()]
        smallest = min(one.responses for one in self.teachers)
        if smallest - -(-smallest // self.folds) < self.dimension:
            notes.append(
                f"The other folds hold fewer responses than {self.dimension} dimensions: what of a "
                "gradient is in no direction of theirs weighs "
                f"{self.dimension / self.smoothing:,.0f} (d/ν), more than all else."
            )
        return [*notes, _NOT]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        values = {name: plain(value) for name, value in vars(self).items()}
        return {**values, "grace_order": self.order}


def _digits(value: float) -> str:
    """Of any size: the scale is the student's."""
    return "N/A" if np.isnan(value) else f"{value:.{_SIGNIFICANT}g}"


def _span(low: float, high: float) -> str:
    return "N/A" if np.isnan(low) else f"[{_digits(low)}, {_digits(high)}]"
