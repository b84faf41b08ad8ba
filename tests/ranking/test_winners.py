"""Who is best, in both directions and in ties."""

from __future__ import annotations

import numpy as np
import pytest

from lnat_plugins.ranking.table import best_mask, winners

ROWS = np.arange(6, dtype=np.int64).reshape(2, 3)


def test_both_directions() -> None:
    values_PT = np.array([[-1.0, -2.0, -3.0], [-3.0, -1.0, -2.0]])
    assert winners(values_PT, ROWS, True)[0].tolist() == [0, 1]
    assert winners(values_PT, ROWS, False)[0].tolist() == [2, 0]


def test_the_first_row_of_a_prompt_wins_its_tie_whatever_the_column() -> None:
    values_PT = np.array([[-1.0, -1.0, -3.0], [-1.0, -1.0, -1.0]])
    first_row_PT = np.array([[1, 0, 2], [5, 4, 3]], dtype=np.int64)
    winner_P, ties = winners(values_PT, first_row_PT, True)
    assert winner_P.tolist() == [1, 2]
    assert ties == 2


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_only_the_rounding_of_a_mean_makes_a_tie(size: float) -> None:
    for higher in (True, False):
        rounded = np.array([[-size, -size * (1 + 2e-16)]])
        assert best_mask(rounded, higher).tolist() == [[True, True]]
        apart = np.array([[-size, -size - 1e-9 * max(size, 1)]])
        assert best_mask(apart, higher).tolist() == [[higher, not higher]]
