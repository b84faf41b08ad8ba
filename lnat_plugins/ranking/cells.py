"""Responses to cells: one value per prompt and teacher, and what is missing or undefined.

Knows nothing of statistics. Shapes: P prompts, T teachers, R responses with a defined value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.metrics import METRICS, Metric, Scored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONTROLS: Final = ("n_tokens", "mean_step_tokens", "first_token_ratio")


@dataclass(frozen=True)
class Cells:
    """One metric over a set of responses.

    Attributes:
        teachers: T names; the order of the columns.
        values: (P, T) mean over the cell's samples that have a defined value; NaN if none has.
        first_row: (P, T) index of the cell's first such row; decides ties.
        controls: name -> (P, T) mean over the same samples.
        response_values, response_tokens, response_prompt: (R,) value, n_tokens, prompt's index.
        responses: T counts of rows, undefined ones included.
        undefined: T times reason -> rows without a defined value.
    """

    teachers: tuple[str, ...]
    values: Floats
    first_row: Ints
    controls: Mapping[str, Floats]
    response_values: Floats
    response_tokens: Floats
    response_prompt: Ints
    responses: tuple[int, ...]
    undefined: tuple[Mapping[str, int], ...]

    @property
    def matched(self) -> NDArray[np.bool_]:
        """(P,) whether the prompt has a defined value for every teacher."""
        defined = np.isfinite(self.values)
        return np.asarray(defined.all(axis=1))


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
    count_PT = np.zeros(shape)
    sum_PT = np.zeros(shape)
    first_row_PT = np.full(shape, len(rows), dtype=np.int64)
    control_sum_PT = {name: np.zeros(shape) for name in CONTROLS}
    responses = [0] * len(teachers)
    undefined: list[Counter[str]] = [Counter() for _ in teachers]
    defined: list[tuple[float, int, int]] = []

    ratings = metric.rate(rows, window)
    for index, (row, value, reason) in enumerate(zip(rows, *ratings, strict=True)):
        cell = prompt_index[row.prompt_id], teacher_index[row.teacher]
        responses[cell[1]] += 1
        if math.isnan(value):
            undefined[cell[1]][reason] += 1
            continue
        defined.append((value, row.record.n_tokens, cell[0]))
        count_PT[cell] += 1
        sum_PT[cell] += value
        first_row_PT[cell] = min(first_row_PT[cell], index)
        for name, total_PT in control_sum_PT.items():
            total_PT[cell] += METRICS[name].of(row.record, window)

    some_PT = np.where(count_PT > 0, count_PT, np.nan)
    return Cells(
        teachers=tuple(teachers),
        values=sum_PT / some_PT,
        first_row=first_row_PT,
        controls={name: total_PT / some_PT for name, total_PT in control_sum_PT.items()},
        response_values=np.array([value for value, _, _ in defined], dtype=np.float64),
        response_tokens=np.array([tokens for _, tokens, _ in defined], dtype=np.float64),
        response_prompt=np.array([prompt for _, _, prompt in defined], dtype=np.int64),
        responses=tuple(responses),
        undefined=tuple(dict(reasons) for reasons in undefined),
    )
