"""Rank correlations against scipy, value by value and many at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking.orders import interval, mean_known, places, spearman, tau_b


def test_spearman_is_scipys() -> None:
    generator = np.random.default_rng(0)
    for size in (2, 3, 10, 50):
        one = generator.integers(0, 6, size).astype(float) + np.arange(size) / size
        other = generator.integers(0, 6, size).astype(float)
        other[0] += 10
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_spearman_of_a_constant_is_undefined() -> None:
    assert math.isnan(spearman(np.array([1.0, 1.0]), np.array([1.0, 2.0])))
    assert math.isnan(spearman(np.array([1.0]), np.array([1.0])))


@pytest.mark.parametrize("n_teachers", [2, 3, 4, 8])
def test_tau_b_is_scipys_ties_and_all(n_teachers: int) -> None:
    generator = np.random.default_rng(n_teachers)
    ours_BT = generator.integers(0, 5, size=(60, n_teachers)).astype(float)
    theirs_BT = generator.integers(0, 5, size=(60, n_teachers)).astype(float)
    found = tau_b(places(ours_BT, True).before, places(theirs_BT, True).before)
    to_first = tau_b(places(ours_BT, True).before, places(theirs_BT[:1], True).before)
    for row, (ours, theirs) in enumerate(zip(ours_BT, theirs_BT, strict=True)):
        expected = stats.kendalltau(ours, theirs, variant="b").statistic
        assert found[row] == pytest.approx(expected, nan_ok=True)
        expected = stats.kendalltau(ours, theirs_BT[0], variant="b").statistic
        assert to_first[row] == pytest.approx(expected, nan_ok=True)


def test_a_lower_is_better_side_is_turned_round() -> None:
    ours, theirs = np.array([[1.0, 2.0, 3.0]]), np.array([[9.0, 8.0, 7.0]])
    assert tau_b(places(ours, False).before, places(theirs, True).before).tolist() == [1.0]
    assert tau_b(places(ours, True).before, places(theirs, True).before).tolist() == [-1.0]


def test_one_teacher_has_no_tau() -> None:
    one = places(np.array([[1.0]]), True).before
    assert math.isnan(tau_b(one, one)[0])


def test_what_is_undefined_is_left_out_of_means_and_intervals() -> None:
    values = np.array([math.nan, 1.0, 3.0])
    assert mean_known(values) == 2.0
    assert interval(values) == pytest.approx((1.0, 3.0))
    taus = np.array([-1.0] * 3 + [1.0] * 97)
    assert interval(taus) == (-1.0, 1.0)
    nothing = np.array([math.nan])
    assert math.isnan(mean_known(nothing))
    assert all(map(math.isnan, interval(nothing)))
