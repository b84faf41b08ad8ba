"""What a random order reaches, against all orders."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.ranking.random_order import random_order
from tests.study import oracle


@pytest.mark.parametrize("teachers", [2, 3, 4, 5])
def test_without_ties_it_is_exact(teachers: int) -> None:
    accuracy = np.arange(teachers) / 10
    tries = 3 if teachers < 5 else 2
    expected, largest = oracle.random_tau(accuracy, tries)
    found = random_order(accuracy, tries)
    assert (found.expected, found.largest) == pytest.approx((expected, largest))
    assert found.orders == tries


def test_with_ties_it_is_near() -> None:
    accuracy = np.array([0.0, 0.0, 0.0, 0.1, 0.2])
    expected, largest = oracle.random_tau(accuracy, 2)
    found = random_order(accuracy, 2)
    assert (found.expected, found.largest) == pytest.approx((expected, largest), abs=0.01)


def test_the_permutations_are_those_of_its_seed() -> None:
    accuracy = np.array([0.0, 0.0, 0.1, 0.1, 0.1, 0.2, 0.3])
    found = random_order(accuracy, 2)
    assert found == random_order(accuracy, 2, seed=1234) != random_order(accuracy, 2, seed=1235)


def test_the_quantile_and_the_mean_of_many_teachers() -> None:
    found = random_order(np.arange(16.0), 1)
    deviation = math.sqrt(2 * (2 * 16 + 5) / (9 * 16 * 15))
    assert found.expected == pytest.approx(deviation * math.sqrt(2 / math.pi), rel=0.02)
    assert found.quantile == pytest.approx(1.96 * deviation, abs=0.02)
    assert found.largest == pytest.approx(found.expected)


@pytest.mark.parametrize("accuracy", [[0.3], [0.3, 0.3, 0.3]])
def test_where_there_is_no_order_there_is_no_figure(accuracy: list[float]) -> None:
    assert math.isnan(random_order(np.array(accuracy), 2).expected)
