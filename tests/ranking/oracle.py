"""The same figures by plain loops over dictionaries, slow and obvious."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from lnat_plugins.metrics import Metric
from tests.ranking.builders import Row

TAILS = (0.025, 0.975)
"""Quantiles of a 95% interval; written here once more, so that the product's level is tested."""


def cells(rows: Sequence[Row], metric: Metric) -> dict[str, dict[str, float]]:
    """prompt -> teacher -> mean of the defined samples."""
    found: dict[str, dict[str, list[float]]] = {}
    for each in rows:
        value = metric.of(each.record, "4")
        samples = found.setdefault(each.prompt_id, {}).setdefault(each.teacher, [])
        if not math.isnan(value):
            samples.append(value)
    return {
        prompt: {teacher: statistics.fmean(v) for teacher, v in by_teacher.items() if v}
        for prompt, by_teacher in found.items()
    }


def ranking(rows: Sequence[Row], metric: Metric, iters: int, seed: int) -> dict[str, Any]:
    """teacher -> figures, for the prompts that every teacher has."""
    teachers = list(dict.fromkeys(each.teacher for each in rows))
    by_prompt = cells(rows, metric)
    used = [p for p in by_prompt.values() if all(t in p for t in teachers)]
    sign = 1 if metric.higher_is_better else -1

    resampled: dict[str, list[float]] = {t: [] for t in teachers}
    first_in = dict.fromkeys(teachers, 0.0)
    generator = np.random.default_rng(seed)
    for draw in generator.integers(0, len(used), size=(iters, len(used))):
        means = {t: statistics.fmean(used[i][t] for i in draw) for t in teachers}
        best = max(sign * mean for mean in means.values())
        tied = [t for t in teachers if math.isclose(sign * means[t], best, rel_tol=1e-12)]
        for t in teachers:
            resampled[t].append(means[t])
            first_in[t] += (t in tied) / len(tied) / iters

    wins = dict.fromkeys(teachers, 0.0)
    for values in used:
        best = max(sign * values[t] for t in teachers)
        tied = [t for t in teachers if math.isclose(sign * values[t], best, rel_tol=1e-12)]
        for t in tied:
            wins[t] += 1 / len(tied)
    return {
        t: {
            "mean": statistics.fmean(values[t] for values in used),
            "median": statistics.median(values[t] for values in used),
            "low": np.quantile(resampled[t], TAILS[0]),
            "high": np.quantile(resampled[t], TAILS[1]),
            "first_in": first_in[t],
            "win_rate": wins[t] / len(used),
            "coverage": sum(t in values for values in by_prompt.values()) / len(by_prompt),
        }
        for t in teachers
    }


def deepest_cut(draws: Sequence[Any]) -> list[tuple[float, float]]:
    """Ends of the draws of each statistic, so many cut off on either side of every one.

    The most that leaves 95% of the draws inside all of them; draws with a NaN are left out. Each
    is at least as wide as its own quantiles of 2.5% and 97.5%, the least draws that reach them.
    """
    known = [one for one in zip(*draws, strict=True) if not any(map(math.isnan, one))]
    columns = [sorted(column) for column in zip(*known, strict=True)]
    for cut in reversed(range((len(known) + 1) // 2)):
        ends = [(column[cut], column[-1 - cut]) for column in columns]
        inside = sum(
            all(low <= value <= high for value, (low, high) in zip(one, ends, strict=True))
            for one in known
        )
        if 100 * inside >= 95 * len(known):
            alone = [-(-share * len(known) // 1000) - 1 for share in (25, 975)]
            return [
                (min(low, column[alone[0]]), max(high, column[alone[1]]))
                for column, (low, high) in zip(columns, ends, strict=True)
            ]
    raise AssertionError("all draws are inside when nothing is cut")


def within_prompts(rows: Sequence[Row], metric: Metric, control: Metric) -> tuple[float, int]:
    """Mean of scipy's Spearman inside each prompt that has one, and their number."""
    found = []
    sign = 1 if metric.higher_is_better else -1
    for prompt in dict.fromkeys(each.prompt_id for each in rows):
        inside = [
            (sign * value, control.of(each.record, "4"))
            for each in rows
            if each.prompt_id == prompt and not math.isnan(value := metric.of(each.record, "4"))
        ]
        values, controls = [v for v, _ in inside], [n for _, n in inside]
        if len(set(values)) > 1 and len(set(controls)) > 1:
            found.append(stats.spearmanr(values, controls).statistic)
    return (statistics.fmean(found) if found else math.nan), len(found)
