"""Many responses rated together: the same numbers as one by one, and the same reasons."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.metrics import METRICS, Metric
from lnat_plugins.metrics.naturalness import local_naturalness
from lnat_plugins.metrics.steps import Steps, many_of, together
from lnat_plugins.ranking import sensitivity
from lnat_plugins.scoring.record import StepSums
from tests.metrics.rows import Row, record_with, row

WITH_MANY = [name for name, one in METRICS.items() if many_of(one.compute)]
WAYS = (
    sensitivity._without_short_steps, sensitivity._without_lowest_steps, sensitivity._by_tokens,
    sensitivity._without_ends,
)  # fmt: skip
N = 400


def drawn(seed: int, n: int = N) -> list[StepSums]:
    """Records of 1 to 40 steps; of some a window is not scored, undefined, or lacks a step."""
    generator = random.Random(seed)
    found = []
    for _ in range(n):
        length = generator.choice([1, 2, 3, 5, 5, 5, 12, generator.randint(1, 40)])
        tokens = [generator.choice([1, 2, 3, 7, 30]) for _ in range(length)]
        sums = [-count * generator.expovariate(0.5) for count in tokens]
        firsts = [value / (1 + count) for value, count in zip(sums, tokens, strict=True)]
        record = record_with(sums, tokens, first_token=firsts, first_two_tokens=firsts)
        found.append(_changed(record, generator))
    return found


def _changed(record: StepSums, generator: random.Random) -> StepSums:
    kind = generator.choice(["", "", "", "", "packed", "packed", "nan", "lacks", "total", "bare"])
    sums, totals = dict(record.sums), dict(record.totals)
    if kind in ("nan", "packed"):
        sums["4"] = (*(sums["4"] or ())[:-1], math.nan) if kind == "nan" else sums["4"]
        totals["4"] = math.nan if kind == "nan" else totals["4"]
        changed = replace(
            record, sums=sums, totals=totals, undefined={"4": "too long"} if kind == "nan" else {}
        )
        return StepSums.from_json(changed.to_json())
    if kind == "lacks":
        del sums["4"], totals["4"]
        return replace(record, sums=sums, totals=totals)
    if kind == "total":
        return replace(record, sums={**sums, "4": None})
    if kind == "bare":
        undefined = {"first_token": "the back end gives none"}
        return replace(record, step_statistics={}, undefined=undefined)
    return record


def one_by_one(metric: Metric, rows: Sequence[Row]) -> tuple[list[float], list[str]]:
    values, reasons = zip(*(metric._rate_one(each.record, "4") for each in rows), strict=True)
    return list(values), list(reasons)


def same(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Bit for bit."""
    return [one.hex() for one in ours] == [float(one).hex() for one in theirs]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WITH_MANY)
def test_together_as_one_by_one(name: str, seed: int) -> None:
    rows = [row(record) for record in drawn(seed)]
    found = METRICS[name].rate(rows, "4")
    values, reasons = one_by_one(METRICS[name], rows)
    assert same(found.values, values)
    assert list(found.reasons) == reasons


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS)
def test_another_way_of_scoring_together_as_one_by_one(
    way: Callable[[StepSums, str], float], seed: int
) -> None:
    records = drawn(seed)
    many = many_of(way)
    assert many is not None
    with np.errstate(all="ignore"):
        found = many(Steps(records), "4")
    expected = np.array([way(record, "4") for record in records])
    defined = np.isfinite(found)
    assert defined.sum() > N / 2
    assert same(found[defined], expected[defined])
    assert np.isnan(expected[~defined]).all()


@pytest.mark.parametrize("name", WITH_MANY)
def test_one_by_one_only_where_it_is_needed(name: str) -> None:
    whole = [record for record in drawn(1) if not record.undefined and record.sums.get("4")]
    rows = [row(record) for record in whole]
    asked: list[StepSums] = []
    metric = METRICS[name]
    many = many_of(metric.compute)
    assert many is not None
    counted = replace(metric, compute=together(many)(lambda one, _: asked.append(one) or math.nan))
    found = counted.rate(rows, "4")
    undefined = sum(math.isnan(value) for value in metric.rate(rows, "4").values)
    assert len(asked) == undefined < len(rows) / 2
    assert sum(map(math.isnan, found.values)) == undefined


def test_sums_of_very_long_and_of_many_equal_responses() -> None:
    generator = random.Random(5)
    lengths = [2_000, 1, *[300] * 150]
    records = [
        record_with([-(generator.expovariate(1e-9) ** 3) for _ in range(n)], [1] * n)
        for n in lengths
    ]
    steps = Steps(records)
    expected = [METRICS["local_naturalness"].of(record, "4") for record in records]
    assert same(steps.mean(steps.means("4")).tolist(), expected)


def test_of_no_responses() -> None:
    steps = Steps([])
    assert steps.mean(steps.means("4")).shape == steps.n_tokens.shape == (0,)


def test_a_score_of_ones_own_is_the_one_that_is_computed() -> None:
    """Made from a built-in metric, or around its function."""

    @functools.wraps(local_naturalness)
    def doubled(record: StepSums, window: str) -> float:
        return 2 * local_naturalness(record, window)

    rows = [row(record) for record in drawn(2)]
    metric = replace(METRICS["local_naturalness"], compute=doubled)
    assert same(metric.rate(rows, "4").values, one_by_one(metric, rows)[0])
