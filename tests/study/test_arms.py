"""Arms with intervals, and the warnings of floor, ceiling and missing units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.study import arm_table
from tests.study.builders import outcomes, simulated

NAN = math.nan


def test_floor_ceiling_and_what_is_no_better_than_no_training() -> None:
    draw = np.random.default_rng(0)
    item = draw.random(100)
    values = np.zeros((5, 3, 100))
    values[0] = item < 0.3  # no training
    values[2] = item < 0.31
    values[3] = item < 0.7
    values[4] = 1
    values[2:4, 0, :5] = 0.5
    found = arm_table(outcomes(values, kinds="ntttt"), iters=500)
    one = {arm.name: arm for arm in found.arms}
    assert [arm.name for arm in found.arms if arm.floor] == ["B"]
    assert [arm.name for arm in found.arms if arm.ceiling] == ["E"]
    assert math.isnan(one["A"].gain.value)
    assert one["D"].gain.above and one["E"].gain.above and one["B"].gain.below
    assert found.warnings == (
        "1 of 4 trained arms is at the floor (B): below it nothing separates arms.",
        "1 of 4 trained arms is at the ceiling (E): above it nothing separates arms.",
        "2 of 4 trained arms cannot be told from no training, or are worse (B, C).",
    )
    assert found.as_dict()["arms"][0]["gain"] == {"value": None, "low": None, "high": None}


def test_one_arm_and_several_are_named_in_grammar() -> None:
    draw = np.random.default_rng(0)
    item = draw.random(100)
    values = np.zeros((3, 3, 100))
    values[0] = item < 0.3
    values[1] = item < 0.31
    values[1, 0, :5] = 0.5
    values[2] = item < 0.9
    (one,) = arm_table(outcomes(values, kinds="ntt"), iters=500).warnings
    assert one == "1 of 2 trained arms cannot be told from no training, or is worse (B)."
    values[2] = 0
    floor, both = arm_table(outcomes(values, kinds="ntt"), iters=500).warnings
    assert floor.startswith("1 of 2 trained arms is at the floor (C)")
    assert both == "2 of 2 trained arms cannot be told from no training, or are worse (B, C)."


def test_nothing_right_is_no_certainty() -> None:
    values = np.stack([np.zeros((3, 50)), np.ones((3, 50))])
    floor, ceiling = arm_table(outcomes(values), iters=100).arms
    furthest = 1 - 0.025 ** (1 / 50)
    assert (floor.mean.low, floor.mean.high) == pytest.approx((0, furthest))
    assert (ceiling.mean.low, ceiling.mean.high) == pytest.approx((1 - furthest, 1))


def test_figures_without_bounds_have_no_floor() -> None:
    values = -np.random.default_rng(1).random((2, 3, 20))
    found = arm_table(outcomes(values, bounds=None), iters=100)
    assert not any(arm.floor or arm.ceiling for arm in found.arms)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("missing", "warning"),
    [
        ([(1, 1), (1, 2)], "2 units of the trained arms are missing."),
        ([(1, 1), (1, 2)], "One seed only (B): the seed noise of the other arms is taken."),
        (
            [(a, s) for a in (1, 2) for s in (1, 2)],
            "One seed for every arm: the intervals leave out the noise of training.",
        ),
    ],
)
def test_warnings_of_missing_units(missing: list[tuple[int, int]], warning: str) -> None:
    values = np.random.default_rng(2).random((3, 3, 20))
    for arm, seed in missing:
        values[arm, seed] = NAN
    assert warning in arm_table(outcomes(values, kinds="ntt"), iters=100).warnings


@pytest.mark.parametrize(("missing", "seed_noise"), [(0.0, 0.05), (0.3, 0.05), (0.0, 0.1)])
def test_intervals_hold_together_with_floor_and_missing_units(
    missing: float, seed_noise: float
) -> None:
    draw, hits, tries = np.random.default_rng(3), 0, 80
    for seed in range(tries):
        true = np.array([0.3, 0.0, 0.0, 0.4, 0.5, 0.5, 0.45, 0.45])
        found, expected = simulated(
            draw, true, 3, 80, missing=missing, seed_noise=seed_noise, kinds="nttttttt"
        )
        arms = arm_table(found, iters=400, seed=seed).arms
        hits += all(
            one.mean.low - 1e-9 <= at <= one.mean.high + 1e-9
            for one, at in zip(arms, expected, strict=True)
        )  # fmt: skip
    assert hits / tries >= 0.88
