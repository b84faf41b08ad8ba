"""Every statistic once more, slowly, as its definition says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def _sign(value: float) -> int:
    return int(value > 0) - int(value < 0)


def fit(
    scores: Sequence[float], accuracy: Sequence[float], copies: Sequence[int] | None = None
) -> dict[str, float]:
    """The five statistics of one row, from a list of teachers with their copies written out."""
    copies = [1] * len(scores) if copies is None else copies
    row = [t for t, count in enumerate(copies) for _ in range(count)]
    both = [
        (_sign(scores[i] - scores[j]), _sign(accuracy[i] - accuracy[j]))
        for i, j in itertools.combinations(row, 2)
        if i != j
    ]
    untied = math.sqrt(sum(s * s for s, _ in both) * sum(t * t for _, t in both))
    apart = [(s, t) for s, t in both if t]
    present = sorted(set(row))
    highest = max(accuracy[t] for t in present)
    first = [t for t in present if scores[t] == max(scores[each] for each in present)]
    return {
        "tau": sum(s * t for s, t in both) / untied if untied else math.nan,
        "spearman": _pearson(*([_rank(t, of, row) for t in row] for of in (scores, accuracy))),
        "pairs": sum(1.0 if s == t else 0.5 if s == 0 else 0.0 for s, t in apart) / len(apart)
        if apart
        else math.nan,
        "regret": highest - sum(accuracy[t] for t in first) / len(first),
        "first": sum(accuracy[t] == highest for t in first) / len(first),
    }  # fmt: skip


def _rank(teacher: int, values: Sequence[float], row: Sequence[int]) -> float:
    """The share of the other teachers in the row that are worse, ties half."""
    others = [t for t in row if t != teacher]
    if not others:
        return 0.5
    return sum(
        1.0 if values[t] < values[teacher] else 0.5 if values[t] == values[teacher] else 0.0
        for t in others
    ) / len(others)


def _pearson(one: Sequence[float], other: Sequence[float]) -> float:
    one, other = np.array(one) - np.mean(one), np.array(other) - np.mean(other)
    below = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / below if below > 1e-9 else math.nan


def mean_squares(values: Any) -> dict[str, float]:
    """Of y[teacher][seed][item], nothing missing, seeds of each teacher its own."""
    teachers, seeds, items = values.shape
    of_teacher = [np.mean(values[a]) for a in range(teachers)]
    grand = np.mean(of_teacher)
    seed = sum(
        (np.mean(values[a, s]) - of_teacher[a]) ** 2 for a in range(teachers) for s in range(seeds)
    ) / (teachers * (seeds - 1))
    item = rest = 0.0
    for a in range(teachers):
        for i in range(items):
            of_item = np.mean(values[a, :, i])
            item += (of_item - of_teacher[a] - np.mean(values[:, :, i]) + grand) ** 2
            for s in range(seeds):
                rest += (values[a, s, i] - of_item - np.mean(values[a, s]) + of_teacher[a]) ** 2
    return {
        "means": sum((each - grand) ** 2 for each in of_teacher) / (teachers - 1),
        "seed": float(seed),
        "item": item / ((teachers - 1) * (items - 1)),
        "rest": rest / (teachers * (seeds - 1) * (items - 1)),
    }


def random_tau(accuracy: Sequence[float], tries: int) -> tuple[float, float]:
    """Mean |tau-b| over all orders, and mean of the largest of so many; all are enumerated."""
    orders = itertools.permutations(range(len(accuracy)))
    taus = [abs(fit(order, accuracy)["tau"]) for order in orders]
    largest = [max(group) for group in itertools.product(taus, repeat=tries)]
    return float(np.mean(taus)), float(np.mean(largest))


def best_teacher(values: Any) -> list[list[float]]:
    """(seed, item) of the teacher chosen on the other seeds and other items, each item alone."""
    teachers, seeds, items = values.shape
    found = []
    for s in range(seeds):
        found.append([])
        for i in range(items):
            known = {}
            for a in range(teachers):
                others = [
                    values[a, other, j]
                    for other in range(seeds)
                    for j in range(items)
                    if other != s and j != i and not math.isnan(values[a, other, j])
                ]
                if others and not math.isnan(values[a, s, i]):
                    known[a] = float(np.mean(others))
            best = [a for a in known if abs(known[a] - max(known.values())) < 1e-12]
            found[-1].append(float(np.mean([values[a, s, i] for a in best])) if best else math.nan)
    return found
