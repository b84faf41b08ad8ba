"""Made-up studies, small and with known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np

from lnat_plugins.ranking.table import Floats
from lnat_plugins.study import MetricScores, Outcomes


def outcomes(
    values: Floats, *, kinds: str | None = None, names: str | None = None, **more: object
) -> Outcomes:
    """One letter an arm; kinds n, t and s; teachers unless said otherwise."""
    size = len(values)
    kind_of = {"n": "none", "t": "teacher", "s": "selection"}
    return Outcomes(
        tuple(names or "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:size]),
        tuple(kind_of[letter] for letter in kinds or "t" * size),  # type: ignore[arg-type]
        np.asarray(values, dtype=np.float64),
        **more,  # type: ignore[arg-type]
    )


def scores(values: Floats, *, teachers: str | None = None, **more: object) -> MetricScores:
    """The first metric is global_naturalness, the others m1, m2, …"""
    metrics = ("global_naturalness", *(f"m{i}" for i in range(1, len(values))))
    names = tuple(teachers or "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: values.shape[1]])
    return MetricScores(metrics, names, np.asarray(values, dtype=np.float64), **more)  # type: ignore[arg-type]


def simulated(
    generator: np.random.Generator,
    true_A: Floats,
    seeds: int,
    items: int,
    *,
    seed_noise: float = 0.05,
    item_noise: float = 0.2,
    missing: float = 0.0,
    shared: bool = False,
    **more: object,
) -> tuple[Outcomes, Floats]:
    """Right or wrong answers, and the arms' expected accuracies.

    An arm with a true value of 0 or below is never right. The probability of an answer is the true
    value plus noise of seed and item, cut to 0 … 1.
    """
    size = len(true_A)
    seed_AS1 = seed_noise * generator.normal(size=(1 if shared else size, seeds, 1))
    item_I = item_noise * generator.normal(size=items)
    right = np.clip(true_A[:, None, None] + seed_AS1 + item_I, 0, 1) * (true_A > 0)[:, None, None]
    values_ASI = (generator.random((size, seeds, items)) < right).astype(np.float64)
    if missing:
        absent = generator.random((size, seeds)) < missing
        absent[:, 0] = False
        values_ASI[absent] = np.nan
    spread = math.hypot(seed_noise, item_noise)
    points = np.array([np.sqrt(2) * _erfinv(q) for q in np.linspace(-0.999, 0.999, 401)])
    expected_A = np.clip(true_A[:, None] + spread * points, 0, 1).mean(axis=1) * (true_A > 0)
    return outcomes(values_ASI, shared_seeds=shared, **more), expected_A  # type: ignore[arg-type]


def _erfinv(value: float) -> float:
    from scipy import special

    return float(special.erfinv(value))


def study(
    generator: np.random.Generator,
    *,
    teachers: int,
    metrics: int,
    correlation: float | list[float],
    in_common: float = 0.3,
    spread: float = 0.12,
    floor: bool = False,
    missing: float = 0.0,
    seeds: int = 3,
    items: int = 100,
    prompts: int = 40,
) -> tuple[Outcomes, MetricScores]:
    """Teachers drawn at random, and metrics that know their usefulness equally well, or as told.

    Args:
        in_common: the share of the metrics' error that all of them make.
        floor: 62 % of the teachers leave the student without a right answer, and metrics round.
    """
    useful_T = generator.normal(size=teachers)
    error_MT = math.sqrt(in_common) * generator.normal(size=teachers) + math.sqrt(
        1 - in_common
    ) * generator.normal(size=(metrics, teachers))
    known_M1 = np.broadcast_to(np.atleast_1d(correlation), metrics)[:, None]
    metric_MT = known_M1 * useful_T + np.sqrt(1 - known_M1**2) * error_MT
    if floor:
        metric_MT = np.round(metric_MT)
    true_T = 0.4 + spread * useful_T
    if floor:
        true_T[useful_T < 0.3] = 0.0
    found, _ = simulated(generator, true_T, seeds, items, missing=missing)
    noise = generator.normal(size=prompts) + 0.7 * generator.normal(
        size=(metrics, teachers, prompts)
    )
    return found, scores(metric_MT[:, :, None] + (0 if floor else 1) * noise)


def pairs(size: int) -> list[tuple[int, int]]:
    """All pairs of so many."""
    return list(itertools.combinations(range(size), 2))
