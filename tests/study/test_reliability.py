"""Variance components, reliability and what it allows, against loops, formulas and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.errors import DataError
from lnat_plugins.study import reliability
from tests.study import oracle
from tests.study.builders import outcomes

NAN = math.nan


def made(draw: np.random.Generator, *, teachers: int = 14, seeds: int = 3, items: int = 60,
         teacher: float = 0.1, seed: float = 0.05, item: float = 0.2, rest: float = 0.3,
         in_common: float = 0.0) -> np.ndarray:  # fmt: skip
    """Normal effects with these deviations; items have a main effect too, and seeds may."""
    return (
        teacher * draw.normal(size=(teachers, 1, 1))
        + 0.3 * draw.normal(size=(1, 1, items))
        + in_common * draw.normal(size=(1, seeds, 1))
        + item * draw.normal(size=(teachers, 1, items))
        + seed * draw.normal(size=(teachers, seeds, 1))
        + rest * draw.normal(size=(teachers, seeds, items))
    )


@pytest.mark.parametrize("shape", [(2, 2, 2), (4, 3, 5), (6, 2, 9)])
def test_components_are_those_of_the_mean_squares(shape: tuple[int, int, int]) -> None:
    teachers, seeds, items = shape
    values = made(np.random.default_rng(teachers), teachers=teachers, seeds=seeds, items=items)
    found = reliability(outcomes(values, bounds=None))
    ms = oracle.mean_squares(values)
    noise = ms["seed"] / seeds + ms["item"] / items - ms["rest"] / (seeds * items)
    noise = max(0.0, noise)
    assert found.components.rest == pytest.approx(ms["rest"])
    assert found.components.seed == pytest.approx(max(0, ms["seed"] - ms["rest"] / items))
    assert found.components.item == pytest.approx(max(0, ms["item"] - ms["rest"] / seeds))
    assert found.components.noise == pytest.approx(noise)
    assert found.components.teacher == pytest.approx(max(0, ms["means"] - noise))
    assert found.share.value == pytest.approx(max(0, 1 - noise / ms["means"]))


def test_of_one_item_it_is_the_intraclass_correlation_of_a_mean() -> None:
    """ICC(1, k) = (MSB − MSW) / MSB, with its F interval (Shrout and Fleiss 1979)."""
    values = made(np.random.default_rng(1), teachers=8, seeds=4, items=1, teacher=0.6)
    found = reliability(outcomes(values, bounds=None)).share
    between = 4 * values.mean(axis=(1, 2)).var(ddof=1)
    within = values[:, :, 0].var(axis=1, ddof=1).mean()
    assert found.value == pytest.approx((between - within) / between)
    low = 1 - stats.f.ppf(0.975, 7, 24) * within / between
    high = 1 - stats.f.ppf(0.025, 7, 24) * within / between
    assert (found.low, found.high) == pytest.approx((max(0, low), high))


def test_what_teachers_have_in_common_at_a_seed_is_no_noise() -> None:
    values = made(np.random.default_rng(2), in_common=0.0)
    moved = values + np.array([0.0, 0.5, -0.3])[None, :, None]
    plain, same = (
        reliability(outcomes(each, bounds=None, shared_seeds=True)) for each in (values, moved)
    )
    assert same.share.value == pytest.approx(plain.share.value)
    assert same.components.noise == pytest.approx(plain.components.noise)
    assert reliability(outcomes(moved, bounds=None)).share.value < plain.share.value - 0.1


def test_single_seeds_agree_as_kendall_says_on_teachers_that_have_both() -> None:
    values = made(np.random.default_rng(3), teachers=6)
    values[2, 1] = NAN
    unit = values.mean(axis=2)
    taus = [
        stats.kendalltau(unit[both, one], unit[both, other]).statistic
        for one, other in ((0, 1), (0, 2), (1, 2))
        for both in [~np.isnan(unit[:, one] + unit[:, other])]
    ]
    found = reliability(outcomes(values, bounds=None))
    assert found.single_seeds == pytest.approx(np.mean(taus))


@pytest.mark.parametrize("shared", [False, True])
def test_one_seed_tells_nothing_of_seeds(shared: bool) -> None:
    values = made(np.random.default_rng(4), seeds=1)
    found = reliability(outcomes(values, bounds=None, shared_seeds=shared))
    assert math.isnan(found.share.value)
    assert math.isnan(found.largest_tau)
    assert found.as_dict()["components"]["teacher"] is None


def test_without_noise_and_without_differences() -> None:
    values = np.tile(np.array([0.1, 0.2, 0.3])[:, None, None], (1, 3, 4))
    exact = reliability(outcomes(values))
    assert (exact.share.value, exact.largest_tau) == (1.0, 1.0)
    level = reliability(outcomes(np.full((3, 3, 4), 0.5)))
    assert (level.share.value, level.largest_tau) == (0.0, 0.0)


def test_one_teacher_is_refused() -> None:
    with pytest.raises(DataError, match="fewer than two teachers"):
        reliability(outcomes(np.zeros((2, 2, 2)), kinds="nt"))


@pytest.mark.parametrize(
    ("more", "shared", "missing"),
    [
        ({}, False, 0.0),
        ({"teacher": 0.05, "seed": 0.08}, False, 0.0),
        ({"in_common": 0.1}, True, 0.0),
        ({"seeds": 4}, False, 0.3),
    ],
)
def test_its_interval_holds_and_the_largest_tau_is_what_the_truth_reaches(
    more: dict[str, float], shared: bool, missing: float
) -> None:
    draw, hits, tries = np.random.default_rng(5), 0, 60
    reached, promised = [], []
    deviation = {"teacher": 0.1, "seed": 0.05, "item": 0.2, "rest": 0.3, "seeds": 3, **more}
    for seed in range(tries):
        true = deviation["teacher"] * draw.normal(size=14)
        values = made(draw, **{**deviation, "teacher": 0.0}) + true[:, None, None]  # type: ignore[arg-type]
        if missing:
            values[:, 1:][draw.random((14, values.shape[1] - 1)) < missing] = NAN
        known = outcomes(values, bounds=None, shared_seeds=shared)
        found = reliability(known, seed=seed)
        per_seed = (deviation["seed"] ** 2 + deviation["rest"] ** 2 / 60) * (
            1 / known.known.sum(axis=1)
        ).mean()
        noise = per_seed + deviation["item"] ** 2 / 60
        share = deviation["teacher"] ** 2 / (deviation["teacher"] ** 2 + noise)
        hits += found.share.low <= share <= found.share.high
        reached.append(stats.kendalltau(true, known.means).statistic)
        promised.append(found.largest_tau)
    assert hits / tries >= 0.88
    assert np.mean(promised) == pytest.approx(np.mean(reached), abs=0.08)
