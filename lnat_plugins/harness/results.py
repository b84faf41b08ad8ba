"""From the scored responses to one prompt to the figures that lm-eval averages.

A figure's name is `<metric>/<teacher>`, so that lm-eval's table, which sorts by name, reads
metric by metric. A teacher without a score for a prompt gives None; its coverage says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np
from lm_eval.api.metrics import mean

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking.winners import winners
from lnat_plugins.record import StepSums

SCORES = ("local_naturalness", "global_naturalness")
WIN_RATE = "win_rate"
COVERAGE = "coverage"


def figure(metric: str, teacher: str) -> str:
    """The figure's name. lm-eval cuts names at a comma, so a teacher's become semicolons."""
    return f"{metric}/{teacher.replace(',', ';')}"


def directions(teachers: Iterable[str]) -> dict[str, bool | None]:
    """Higher is better, lower is better, or neither, for every figure."""
    by_metric: dict[str, bool | None] = {name: get_metric(name).higher_is_better for name in SCORES}
    by_metric |= {WIN_RATE: True, COVERAGE: None}
    return {figure(name, t): up for t in teachers for name, up in by_metric.items()}


class MeanOfScored:
    """The mean over the prompts that have a value; NaN if none has.

    On several ranks lm-eval gathers the figures that the first rank has from all ranks, and
    fails where one lacks a figure. So every prompt gives every figure, None where it has no
    value. After the call lm-eval counts the list's values and takes the standard error that
    goes with its own `mean`: hence the Nones are removed from the list itself, and this
    equals `mean`.
    """

    def __call__(self, values: list[float | None]) -> float:
        """Removes the Nones and gives the mean of the rest."""
        known = [value for value in values if value is not None]
        values[:] = known
        return float(mean(known)) if known else math.nan

    def __eq__(self, other: object) -> bool:
        return other is mean or isinstance(other, MeanOfScored)

    def __hash__(self) -> int:
        return hash(mean)


def figures(
    records: Sequence[StepSums], teachers: Sequence[str], window: str
) -> dict[str, float | None]:
    """The figures of one prompt, the same ones for every prompt; None = no value here.

    A teacher's score is the mean over its samples that have one. The win goes to the best
    local score; of equal ones to the first row's. One teacher alone has nothing to win.

    Args:
        records: the prompt's responses in row order.
        teachers: of the whole set, each of which gets a coverage of 0 or 1.
        window: the window of the local score.
    """
    scored = records[0].sums
    names = [name for name in SCORES if get_metric(name).window_read(window) in scored]
    out: dict[str, float | None]
    out = {figure(name, teacher): None for teacher in teachers for name in (*names, WIN_RATE)}
    local: dict[str, float] = {}
    by_teacher: dict[str, list[StepSums]] = {}
    for record in records:
        by_teacher.setdefault(record.teacher, []).append(record)
    for teacher, own in by_teacher.items():
        for name in names:
            values = [get_metric(name).of(record, window) for record in own]
            if finite := [value for value in values if math.isfinite(value)]:
                score = out[figure(name, teacher)] = statistics.fmean(finite)
                if name == SCORES[0]:
                    local[teacher] = score
    if len(local) > 1:
        values_1T = np.array([list(local.values())])
        order_1T = np.arange(len(local))[None]
        (best,), _ = winners(values_1T, order_1T, bool(get_metric(SCORES[0]).higher_is_better))
        out |= {figure(WIN_RATE, teacher): float(i == best) for i, teacher in enumerate(local)}
    return out | {figure(COVERAGE, teacher): float(teacher in local) for teacher in teachers}


def summary(record: StepSums, window: str) -> str:
    """One line for the samples file's `filtered_resps`."""
    parts = [f"{name}={get_metric(name).of(record, window):.6g}" for name in SCORES]
    return f"{record.teacher}: {', '.join(parts)}, {record.n_steps} steps, {record.n_tokens} tokens"
