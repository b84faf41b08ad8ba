"""Slow and obvious: what `balanced` must choose, found by trying everything."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

from lnat_plugins.teacher_set import Candidates
from tests.selection.builders import total


def best_under_quotas(pool: Candidates, quota: int | Mapping[str, int]) -> tuple[int, float]:
    """Most prompts with a row, then the largest total, when no teacher exceeds its quota."""
    return max(
        (len(chosen), total(pool, chosen))
        for chosen in _choices(pool)
        if all(
            count <= (quota if isinstance(quota, int) else quota.get(teacher, count))
            for teacher, count in _by_teacher(pool, chosen).items()
        )
    )


def best_in_shares(pool: Candidates, mix: Mapping[str, Fraction]) -> tuple[int, float]:
    """The same when the chosen rows have the shares of `mix`, by largest remainder."""
    return max(
        (len(chosen), total(pool, chosen))
        for chosen in _choices(pool)
        if keeps_shares(_by_teacher(pool, chosen), mix)
    )


def keeps_shares(counts: Mapping[str, int], mix: Mapping[str, Fraction]) -> bool:
    """Whether every teacher has its exact part rounded, up where more is cut off than elsewhere."""
    if not set(counts) <= set(mix):
        return False
    whole, rows = sum(mix.values()), sum(counts.values())
    up, down = [Fraction(1)], [Fraction(0)]
    for teacher, share in mix.items():
        exact = rows * share / whole
        floor = math.floor(exact)
        if counts.get(teacher, 0) not in (floor, floor + 1):
            return False
        (down if counts.get(teacher, 0) == floor else up).append(exact - floor)
    return min(up) >= max(down)


def _choices(pool: Candidates) -> Iterator[tuple[int, ...]]:
    """Every way to take at most one row of each prompt."""
    prompts: dict[str, list[int | None]] = {}
    for row in pool.rows:
        prompts.setdefault(row.prompt_id, [None]).append(row.index)
    for taken in itertools.product(*prompts.values()):
        yield tuple(index for index in taken if index is not None)


def _by_teacher(pool: Candidates, chosen: tuple[int, ...]) -> Counter[str]:
    return Counter(pool.rows[index].teacher for index in chosen)
