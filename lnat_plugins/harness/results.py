"""From the scored responses to one prompt to the figures that lm-eval averages.

A figure's name is `<metric>/<teacher>`, so that lm-eval's table, which sorts by name, reads
metric by metric. A teacher without a score for a prompt gives none; its coverage says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np

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


def figures(records: Sequence[StepSums], teachers: Sequence[str], window: str) -> dict[str, float]:
    """The figures of one prompt.

    A teacher's score is the mean over its samples that have one. The win goes to the best
    local score; of equal ones to the first row's.

    Args:
        records: the prompt's responses in row order.
        teachers: of the whole set, each of which gets a coverage of 0 or 1.
        window: the window of the local score.
    """
    out: dict[str, float] = {}
    local: dict[str, float] = {}
    by_teacher: dict[str, list[StepSums]] = {}
    for record in records:
        by_teacher.setdefault(record.teacher, []).append(record)
    for teacher, own in by_teacher.items():
        for name in SCORES:
            values = [get_metric(name).compute(record, window) for record in own]
            if finite := [value for value in values if math.isfinite(value)]:
                out[figure(name, teacher)] = statistics.fmean(finite)
                if name == SCORES[0]:
                    local[teacher] = out[figure(name, teacher)]
    if local:
        values_1T = np.array([list(local.values())])
        order_1T = np.arange(len(local))[None]
        (best,), _ = winners(values_1T, order_1T, bool(get_metric(SCORES[0]).higher_is_better))
        out |= {figure(WIN_RATE, teacher): float(i == best) for i, teacher in enumerate(local)}
    return out | {figure(COVERAGE, teacher): float(teacher in local) for teacher in teachers}


def summary(record: StepSums, window: str) -> str:
    """One line for the samples file's `filtered_resps`."""
    parts = [f"{name}={get_metric(name).compute(record, window):.6g}" for name in SCORES]
    return f"{record.teacher}: {', '.join(parts)}, {record.n_steps} steps, {record.n_tokens} tokens"
