"""Places and ties against scipy's ranks, and P(rank) against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking.orders import places, rank_shares
from lnat_plugins.ranking.table import TIE


def random_values(seed: int, rows: int = 30, teachers: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 4, size=(rows, teachers)).astype(float)


def test_by_hand() -> None:
    found = places(np.array([[-1.0, -3.0, -1.0, -2.0]]), True)
    assert found.before.tolist() == [[0, 3, 0, 2]]
    assert found.sharing.tolist() == [[2, 1, 2, 1]]
    assert found.middle.tolist() == [[1.5, 4, 1.5, 3]]
    lower = places(np.array([[-1.0, -3.0, -1.0, -2.0]]), False)
    assert lower.before.tolist() == [[2, 0, 2, 1]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("higher", [True, False])
def test_the_middle_rank_is_scipys(seed: int, higher: bool) -> None:
    values_BT = random_values(seed)
    expected = stats.rankdata(-values_BT if higher else values_BT, axis=1)
    assert places(values_BT, higher).middle == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_rounding_makes_no_order(scale: float) -> None:
    near = np.array([[1.0, 1.0 + TIE / 2, 1.0 + 1e-9]]) * scale
    assert places(near, True).before.tolist() == [[1, 1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_ranks_by_loops(seed: int) -> None:
    values_BT = random_values(seed)
    expected = np.zeros((5, 5))
    for row in values_BT:
        for teacher, value in enumerate(row):
            before, sharing = sum(row > value), sum(row == value)
            for rank in range(before, before + sharing):
                expected[teacher, rank] += 1 / sharing / len(values_BT)
    shares_TT = rank_shares(places(values_BT, True))
    assert shares_TT == pytest.approx(expected)
    assert shares_TT.sum(axis=0) == pytest.approx(np.ones(5))
    assert shares_TT.sum(axis=1) == pytest.approx(np.ones(5))
