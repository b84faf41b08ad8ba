"""Resampled means and simultaneous intervals of differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.study.resample import arm_draws, contrasts, counts, seed_noise, stream
from tests.study.builders import outcomes, simulated

NAN = math.nan


def crossed(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    draw = np.random.default_rng(seed)
    arms, seeds, items = shape
    return (
        0.05 * draw.normal(size=(arms, seeds, 1))
        + 0.3 * draw.normal(size=(1, 1, items))
        + 0.2 * draw.normal(size=shape)
    )


def variances(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(A, A) covariances of the arms' means by items, and (A,) variances of a unit."""
    arms, _, items = values.shape
    by_item = np.cov(values.mean(axis=1)).reshape(arms, arms) / items
    return by_item, values.mean(axis=2).var(axis=1, ddof=1)


def moderated(own: Sequence[float], units: Sequence[int], room: Sequence[float]) -> list[float]:
    """Every trained arm's variance of a unit: its own with n − 1 degrees of freedom, and the mean
    of all with four, or as many as the others have."""
    freedom = [n - 1 for n in units]
    scale = sum(f * v for f, v in zip(freedom, own, strict=True)) / sum(
        f * r for f, r in zip(freedom, room, strict=True)
    )
    found = []
    for f, v, r in zip(freedom, own, room, strict=True):
        prior = min(4, sum(freedom) - f)
        found.append((f * v + prior * scale * r) / (f + prior))
    return found


def test_draws_have_the_variance_of_both_sources() -> None:
    values = crossed(0, (3, 4, 30))
    found = outcomes(values, bounds=None)
    drawn = arm_draws(found, 40_000, 1)
    assert drawn.mean(axis=0) == pytest.approx(values.mean(axis=(1, 2)), abs=0.002)
    by_item, own = variances(values)
    by_seed = moderated(own, [4, 4, 4], [1, 1, 1])
    assert seed_noise(found).variance == pytest.approx(by_seed)
    assert seed_noise(found).freedom.tolist() == [7, 7, 7]
    expected = by_item + np.diag(by_seed) / 4
    assert np.cov(drawn.T) == pytest.approx(expected, rel=0.05, abs=1e-4)


def test_one_arm_alone_keeps_its_own_noise() -> None:
    values = crossed(0, (1, 4, 30))
    noise = seed_noise(outcomes(values, bounds=None))
    assert noise.variance == pytest.approx(noise.own)
    assert noise.freedom.tolist() == [3]


def test_noise_is_lent_in_proportion_to_the_room_that_is_left() -> None:
    draw = np.random.default_rng(10)
    values = draw.random((3, 3, 40)) * np.array([0.0, 1.0, 0.2])[:, None, None]
    found = outcomes(values)
    means = values.mean(axis=(1, 2))
    own = values.mean(axis=2).var(axis=1, ddof=1)
    expected = moderated(own, [3, 3, 3], list(means * (1 - means)))
    assert seed_noise(found).variance == pytest.approx(expected)
    assert seed_noise(found).variance[0] == 0


def test_shared_seeds_move_arms_together() -> None:
    values = crossed(1, (3, 4, 30)) + 0.2 * np.random.default_rng(2).normal(size=(1, 4, 1))
    drawn = arm_draws(outcomes(values, bounds=None, shared_seeds=True), 40_000, 1)
    by_item, _ = variances(values)
    by_seed = np.cov(values.mean(axis=2)) / 4
    assert np.cov(drawn.T) == pytest.approx(by_item + by_seed, rel=0.05, abs=2e-4)


@pytest.mark.parametrize("shared", [False, True])
def test_missing_units_leave_the_variance_of_the_others(shared: bool) -> None:
    values = crossed(3, (2, 5, 20))
    values[0, 2:] = NAN
    found = outcomes(values, bounds=None, shared_seeds=shared)
    drawn = arm_draws(found, 40_000, 1)
    parts = [variances(values[arm : arm + 1, :units]) for arm, units in ((0, 2), (1, 5))]
    own = [of[1][0] for of in parts]
    by_seed = own if shared else moderated(own, [2, 5], [1, 1])
    assert seed_noise(found).variance == pytest.approx(by_seed)
    for arm, units in ((0, 2), (1, 5)):
        expected = parts[arm][0][0, 0] + by_seed[arm] / units
        assert drawn[:, arm].var() == pytest.approx(expected, rel=0.05)


def test_one_seed_takes_the_noise_of_the_others_unless_untrained() -> None:
    values = crossed(4, (4, 3, 50))
    values[0, 1:] = values[3, 1:] = NAN
    found = outcomes(values, bounds=None, kinds="nttt")
    noise = seed_noise(found)
    own = [*values[1:3].mean(axis=2).var(axis=1, ddof=1), 0.0]
    by_seed = [0.0, *moderated(own, [3, 3, 1], [1, 1, 1])]
    assert noise.variance == pytest.approx(by_seed)
    assert noise.freedom.tolist() == [0, 4, 4, 4]
    assert noise.borrowed.tolist() == [False, False, False, True]
    drawn = arm_draws(found, 40_000, 2)
    by_item = values[:, 0].var(axis=1, ddof=1) / 50
    for arm in (0, 3):
        assert drawn[:, arm].var() == pytest.approx(by_item[arm] + by_seed[arm], rel=0.05)


def test_one_value_shows_no_noise() -> None:
    found = outcomes(np.full((2, 1, 1), 0.5))
    assert (arm_draws(found, 10, 0) == 0.5).all()
    (one,) = contrasts(found, np.array([[1.0, -1.0]]), 10, 0)
    assert one.value == 0
    assert math.isnan(one.low) and math.isnan(one.high)


def test_many_seeds_of_one_arm_give_student_s_interval() -> None:
    values = np.random.default_rng(5).normal(size=(1, 12, 1))
    (found,) = contrasts(outcomes(values, bounds=None), np.eye(1), 20_000, 0)
    half = stats.t.ppf(0.975, 11) * values.std(ddof=1) / math.sqrt(12)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.03)
    assert found.value - found.low == pytest.approx(half, rel=0.03)


def test_a_paired_difference_of_items_has_no_noise_of_items() -> None:
    item = np.random.default_rng(6).normal(size=40)
    values = np.stack([np.tile(item, (3, 1)), np.tile(item + 0.2, (3, 1))])
    (found,) = contrasts(outcomes(values, bounds=None), np.array([[-1.0, 1.0]]), 500, 0)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2), nan_ok=True)


def test_more_contrasts_are_wider() -> None:
    found = outcomes(crossed(7, (8, 4, 30)), bounds=None)
    (alone,) = contrasts(found, np.eye(8)[:1], 4000, 0)
    together = contrasts(found, np.eye(8), 4000, 0)[0]
    assert together.high > alone.high


def test_what_has_one_name_is_drawn_alike() -> None:
    first, again, other = (stream(1, "items", name).random() for name in ("a", "a", "b"))
    assert first == again != other
    assert stream(2, "items", "a").random() != first
    assert counts(stream(1, "x"), 5, 7).sum(axis=1).tolist() == [5] * 7
    values = crossed(8, (2, 1, 30))
    values[1] = values[0]
    drawn = [
        arm_draws(outcomes(values, bounds=None, label=label), 50, 1) for label in ("one", "two")
    ]
    assert (drawn[0] == drawn[1]).all()  # one seed: items alone


@pytest.mark.parametrize(
    ("seeds", "shared", "missing"), [(3, False, 0.0), (5, True, 0.0), (4, False, 0.3)]
)
def test_intervals_of_all_arms_hold_together(seeds: int, shared: bool, missing: float) -> None:
    draw, hits, tries = np.random.default_rng(9), 0, 80
    for seed in range(tries):
        true = np.array([0.0, 0.2, 0.4, 0.4, 0.6])
        found, expected = simulated(draw, true, seeds, 80, shared=shared, missing=missing)
        spans = contrasts(found, np.eye(5), 400, seed)
        hits += all(
            one.low - 1e-9 <= at <= one.high + 1e-9
            for one, at in zip(spans, expected, strict=True)
        )  # fmt: skip
    assert hits / tries >= 0.88
