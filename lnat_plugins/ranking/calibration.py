"""How well the student's probabilities fit the teachers' tokens, on the sample of the prompts.

A student that is sure where it should not be scores long certain phrases too well. One fitted
temperature corrects that on average; if the order of the teachers changes with it, the order
rests on the student's overconfidence (calibrated student, arXiv 2302.11472).

Shapes: R responses, M temperatures (1 and those of `engine.types.TEMPERATURES`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lnat_plugins.engine.types import TEMPERATURES
from lnat_plugins.formatting import plural
from lnat_plugins.metrics import Scored
from lnat_plugins.ranking.table import Floats


@dataclass(frozen=True)
class Calibration:
    """Of the student under the whole context, over the scored tokens of the sample.

    Attributes:
        error: expected calibration error over 15 bins of the top-1 probability: the mean distance
            of that probability from the share of tokens that it is right on, 0 … 1.
        brier: mean of 1 − 2 p_y + Σ p², 0 … 2.
        nll: mean −log p, nats per token.
        temperature: the one that fits best, by the mean −log p on every second prompt, between
            0.5 and 2.
        nll_held_out: mean −log p on the other prompts, at temperature 1.
        nll_fitted: the same at the grid's temperature nearest to the fitted one.
        order, order_fitted: teachers by mean step score under the whole context, best first, at
            temperature 1 and at the grid's nearest to the fitted one; empty if no prompt was read
            for every teacher.
        prompts, tokens: how many this rests on.
    """

    error: float
    brier: float
    nll: float
    temperature: float
    nll_held_out: float
    nll_fitted: float
    order: tuple[str, ...]
    order_fitted: tuple[str, ...]
    prompts: int
    tokens: int

    def in_words(self) -> str:
        """One sentence."""
        change = "the same order" if self.order == self.order_fitted else "another order"
        if self.order[:1] != self.order_fitted[:1]:
            change = f"another first teacher, {self.order_fitted[0]}"
        gives = f", which gives {change}" if len(self.order) > 1 else ""
        return (
            f"Calibration of the student on {plural(self.prompts, 'prompt')}: expected calibration "
            f"error {self.error:.3f}, Brier {self.brier:.3f}, fitted temperature "
            f"{self.temperature:.2f} (held-out mean −log p {self.nll_held_out:.3f} → "
            f"{self.nll_fitted:.3f}){gives}."
        )


def calibration(
    rows: Sequence[Scored], teachers: Sequence[str], prompts: Sequence[str]
) -> Calibration | None:
    """The panel, or None where fewer than two prompts were read for it (`sensitivity: full`)."""
    known = [row for row in rows if row.record.calibration]
    if len({row.prompt_id for row in known}) < 2:
        return None
    order_of_prompt = {prompt: i for i, prompt in enumerate(prompts)}
    read = sorted({row.prompt_id for row in known}, key=order_of_prompt.__getitem__)
    held_out = np.array([read.index(row.prompt_id) % 2 == 1 for row in known])
    records = [row.record for row in known]
    tokens_R = np.array([record.n_tokens for record in records], dtype=np.float64)
    count, confidence, right = (
        np.sum([record.calibration[name] for record in records], axis=0)
        for name in ("count", "confidence", "right")
    )
    nll_RM = np.array([record.calibration["nll"] for record in records])
    fitted_on, tested_on = ~held_out, held_out
    grid_M = np.array([1.0, *TEMPERATURES])
    nll_M = nll_RM[fitted_on].sum(axis=0) / tokens_R[fitted_on].sum()
    temperature = _minimum(grid_M, nll_M)
    nearest = int(np.argmin(abs(np.log(grid_M / temperature))))
    tested_M = nll_RM[tested_on].sum(axis=0) / tokens_R[tested_on].sum()
    return Calibration(
        error=float(abs(confidence - right).sum() / count.sum()),
        brier=float(sum(record.calibration["brier"][0] for record in records) / tokens_R.sum()),
        nll=float(nll_RM[:, 0].sum() / tokens_R.sum()),
        temperature=temperature,
        nll_held_out=float(tested_M[0]),
        nll_fitted=float(tested_M[nearest]),
        order=_order(known, teachers, 0),
        order_fitted=_order(known, teachers, nearest),
        prompts=len(read),
        tokens=int(tokens_R.sum()),
    )


def _minimum(grid_M: Floats, nll_M: Floats) -> float:
    """Where the parabola through the lowest point and its neighbours, by log T, is lowest."""
    order = np.argsort(grid_M)
    x, y = np.log(grid_M[order]), nll_M[order]
    lowest = int(np.argmin(y))
    if lowest in (0, len(x) - 1):
        return float(np.exp(x[lowest]))
    a, b, _ = np.polyfit(x[lowest - 1 : lowest + 2], y[lowest - 1 : lowest + 2], 2)
    return float(math.exp(-b / (2 * a))) if a > 0 else float(np.exp(x[lowest]))


def _order(rows: Sequence[Scored], teachers: Sequence[str], index: int) -> tuple[str, ...]:
    """By the mean over prompts, on those that were read for every teacher."""
    by_prompt: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = row.record.calibration["step_mean"][index]
        by_prompt.setdefault(row.prompt_id, {}).setdefault(row.teacher, []).append(value)
    matched = [of for of in by_prompt.values() if len(of) == len(teachers)]
    if not matched:
        return ()
    means = {
        teacher: statistics.fmean([statistics.fmean(of[teacher]) for of in matched])
        for teacher in teachers
    }
    return tuple(sorted(teachers, key=lambda teacher: -means[teacher]))
