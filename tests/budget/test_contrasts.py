"""Paired differences, and what their balance by kind of response is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.budget import contrasts, unusual_lengths

from .helpers import modes, rare

NONE = np.zeros((30, 3), dtype=bool)


def test_without_unusual_rows_it_is_the_paired_t_test() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3)) ** 2
    found = contrasts(values, NONE, np.zeros(3), 300)
    for i in range(3):
        for j in set(range(3)) - {i}:
            difference = values[:, i] - values[:, j]
            assert found.mean[i, j] == pytest.approx(difference.mean())
            assert found.error[i, j] == pytest.approx(stats.sem(difference))
            assert found.t[i, j] == pytest.approx(stats.ttest_1samp(difference, 0).statistic)
            assert found.skewness[i, j] == pytest.approx(stats.skew(difference, bias=False))
    assert found.ready.all() and found.n == 30


def test_a_mean_is_weighted_by_the_shares_in_the_whole_set() -> None:
    values = np.array([[-1.0, 0.0]] * 5 + [[-9.0, 0.0]] * 5 + [[-2.0, 0.0]] * 2)
    unusual = np.array([[False, False]] * 5 + [[True, False]] * 5 + [[False, False]] * 2)
    found = contrasts(values, unusual, np.array([0.1, 0.0]), 50)
    assert found.mean[0, 1] == pytest.approx(0.9 * -9 / 7 + 0.1 * -9)


def test_its_error_is_that_of_double_sampling() -> None:
    """Over many samples of a set, itself sampled: the spread of the estimates is what is stated."""
    generator = np.random.default_rng(3)
    estimates, variances = [], []
    for _ in range(1500):
        values = np.stack([modes(generator, (120,), 0.2), generator.normal(size=120)], axis=1)
        unusual = np.stack([rare(values[:, 0], 0.2), np.zeros(120, dtype=bool)], axis=1)
        found = contrasts(values[:40], unusual[:40], unusual.mean(axis=0), 120)
        estimates.append(found.mean[0, 1])
        variances.append(found.error[0, 1] ** 2)
    assert np.mean(estimates) == pytest.approx(0, abs=0.05)
    assert np.mean(variances) == pytest.approx(np.var(estimates), rel=0.1)
    assert np.mean(variances) < 0.6 * np.var(values[:, 0] - values[:, 1]) / 40


def test_a_teacher_whose_unusual_rows_are_unread_is_not_ready() -> None:
    values = np.random.default_rng(1).normal(size=(30, 3))
    unusual = NONE.copy()
    unusual[:2, 0] = unusual[:3, 1] = True
    found = contrasts(values, unusual, np.array([0.2, 0.2, 0.02]), 300)
    assert found.ready.tolist() == [False, True, True]


def test_a_difference_that_is_the_same_everywhere_is_certain_and_a_tie_is_no_lead() -> None:
    values = np.random.default_rng(1).normal(size=(30, 1)) + np.array([0.5, 0.0, 0.0])
    found = contrasts(values, NONE, np.zeros(3), 300)
    assert found.t[0, 1] == math.inf and found.t[1, 0] == -math.inf
    assert found.t[1, 2] == found.t[2, 1] == -math.inf
    assert not found.error.any() and not found.skewness.any()


def test_lengths_ten_times_from_the_median_are_unusual() -> None:
    lengths = np.array([[100.0, 5.0], [9.0, 5.0], [10.0, 51.0], [1001.0, 50.0], [100.0, np.nan]])
    assert unusual_lengths(lengths).tolist() == [
        [False, False], [True, False], [False, False], [True, False], [False, False],
    ]  # fmt: skip
