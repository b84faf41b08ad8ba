"""Responses to cells: one value per prompt and teacher, and what is missing or undefined.

Knows nothing of statistics. Shapes: P prompts, T teachers, K parts of a value (1, or 2 for a ratio
of means), R responses with a defined value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.metrics import Metric, Scored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """One metric over a set of responses.

    Attributes:
        teachers: T names; the order of the columns.
        parts: (K, P, T) means over the cell's samples that have a defined value; NaN if none has.
            K = 1: of the values. K = 2: of the numerators, and of the denominators.
        first_row: (P, T) index of the cell's first such row; decides ties.
        defined: (R,) indices of the rows with a defined value.
        response_values: (R,) their values.
        response_prompt, response_teacher: (R,) their prompt's and teacher's index.
        responses: T counts of rows, undefined ones included.
        undefined: T times reason -> rows without a defined value.
    """

    teachers: tuple[str, ...]
    parts: Floats
    first_row: Ints
    defined: Ints
    response_values: Floats
    response_prompt: Ints
    response_teacher: Ints
    responses: tuple[int, ...]
    undefined: tuple[Mapping[str, int], ...]

    @property
    def values(self) -> Floats:
        """(P, T) the value of each cell; of a ratio of means, the cell's own ratio, NaN by 0."""
        return self.parts[0] if len(self.parts) == 1 else _ratio(self.parts[0], self.parts[1])

    @property
    def matched(self) -> NDArray[np.bool_]:
        """(P,) whether the prompt has a defined value for every teacher."""
        defined = np.isfinite(self.values)
        return np.asarray(defined.all(axis=1))

    def columns(self, used_P: NDArray[np.bool_]) -> Floats:
        """(prompts used, K·T): what is averaged over prompts, part after part."""
        return np.concatenate(list(self.parts[:, used_P]), axis=1)

    def figures(self, means: Floats) -> Floats:
        """The teachers' figures from means of `columns`: (…, K·T) -> (…, T), NaN by 0."""
        if len(self.parts) == 1:
            return means
        n_teachers = len(self.teachers)
        return _ratio(means[..., :n_teachers], means[..., n_teachers:])

    def mean(self, values_R: Floats) -> Floats:
        """(P, T): each cell's mean of a number that every defined response has."""
        shape = self.parts.shape[1:]
        cell_R = self.response_prompt * shape[1] + self.response_teacher
        size = shape[0] * shape[1]
        counts = np.bincount(cell_R, minlength=size).astype(np.float64)
        sums = np.bincount(cell_R, weights=values_R, minlength=size)
        return np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0).reshape(shape)


def build_cells(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    teachers: Sequence[str],
    metric: Metric,
    window: str,
) -> Cells:
    """Compute the metric for every row and average the samples of each prompt and teacher."""
    prompt_index = {prompt: index for index, prompt in enumerate(prompts)}
    teacher_index = {teacher: index for index, teacher in enumerate(teachers)}
    shape = (len(prompts), len(teachers))
    first_row_PT = np.full(shape, len(rows), dtype=np.int64)
    responses = [0] * len(teachers)
    undefined: list[Counter[str]] = [Counter() for _ in teachers]
    defined: list[tuple[int, int, int]] = []
    values: list[float] = []
    parts: list[tuple[float, ...]] = []

    for index, (row, value, reason) in enumerate(
        zip(rows, *metric.rate(rows, window), strict=True)
    ):
        cell = prompt_index[row.prompt_id], teacher_index[row.teacher]
        responses[cell[1]] += 1
        of_row = _parts(metric, row, window, value)
        if not all(map(math.isfinite, (value, *of_row))):
            undefined[cell[1]][reason or "the value is not finite"] += 1
            continue
        if metric.parts is not None and of_row[1] == 0:
            undefined[cell[1]]["the denominator is 0"] += 1
            continue
        defined.append((index, *cell))
        values.append(value)
        parts.append(of_row)
        first_row_PT[cell] = min(first_row_PT[cell], index)

    places_R3 = np.array(defined, dtype=np.int64).reshape(-1, 3)
    n_parts = 1 if metric.parts is None else 2
    parts_RK = np.array(parts, dtype=np.float64).reshape(-1, n_parts)
    bare = Cells(
        teachers=tuple(teachers),
        parts=np.empty((n_parts, *shape)),
        first_row=first_row_PT,
        defined=places_R3[:, 0],
        response_values=np.array(values, dtype=np.float64),
        response_prompt=places_R3[:, 1],
        response_teacher=places_R3[:, 2],
        responses=tuple(responses),
        undefined=tuple(dict(reasons) for reasons in undefined),
    )
    for part_PT, values_R in zip(bare.parts, parts_RK.T, strict=True):
        part_PT[:] = bare.mean(values_R)
    return bare


def _ratio(numerators: Floats, denominators: Floats) -> Floats:
    nothing = np.full(numerators.shape, np.nan)
    found: Floats = np.divide(numerators, denominators, out=nothing, where=denominators != 0)
    return found


def _parts(metric: Metric, row: Scored, window: str, value: float) -> tuple[float, ...]:
    """What is averaged: the value, or its numerator and denominator."""
    if metric.parts is None or not math.isfinite(value):
        return (value,)
    return metric.parts(row.record, window)
