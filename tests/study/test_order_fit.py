"""The statistics of an order, with copies of teachers and without, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.study.order_fit import STATISTICS, fit
from tests.study import oracle


def rows(seed: int, teachers: int, values: int, count: int = 40) -> tuple[np.ndarray, ...]:
    """Whole numbers below `values`, so that few values make many ties; and copies."""
    draw = np.random.default_rng(seed)
    scores, accuracy = draw.integers(0, values, size=(2, count, teachers)).astype(float)
    copies = draw.multinomial(teachers, np.full(teachers, 1 / teachers), size=count)
    return scores, accuracy, copies


@pytest.mark.parametrize("values", [2, 4, 1000])
@pytest.mark.parametrize("teachers", [1, 2, 3, 7])
@pytest.mark.parametrize("drawn", [False, True])
def test_against_the_definitions(teachers: int, values: int, drawn: bool) -> None:
    scores, accuracy, copies = rows(teachers + values, teachers, values)
    found = fit(scores, accuracy, copies if drawn else None)
    for b in range(len(scores)):
        known = oracle.fit(scores[b], accuracy[b], copies[b] if drawn else None)
        for name in STATISTICS:
            assert found[name][b] == pytest.approx(known[name], nan_ok=True), (name, b)


def test_without_copies_they_are_those_of_scipy() -> None:
    scores, accuracy, _ = rows(3, 8, 5)
    found = fit(scores, accuracy)
    for b in range(len(scores)):
        assert found["tau"][b] == pytest.approx(stats.kendalltau(scores[b], accuracy[b]).statistic)
        rho = stats.spearmanr(scores[b], accuracy[b]).statistic
        assert found["spearman"][b] == pytest.approx(rho)


def test_copies_of_a_teacher_neither_agree_nor_tie() -> None:
    scores, accuracy = np.array([[1.0, 2.0, 3.0]]), np.array([[0.2, 0.1, 0.3]])
    twice = fit(scores, accuracy, np.array([[0, 5, 1]]))
    assert [twice[name][0] for name in ("tau", "pairs", "regret")] == pytest.approx([1, 1, 0])
    # three of four pairs of A and B against one of each with C
    assert fit(scores, accuracy, np.array([[2, 2, 1]]))["tau"][0] == pytest.approx(0.0)
    alone = fit(scores, accuracy, np.array([[0, 3, 0]]))
    assert [alone[name][0] for name in ("regret", "first")] == [0.0, 1.0]
    assert all(math.isnan(alone[name][0]) for name in ("tau", "spearman", "pairs"))


def test_rounding_makes_no_order() -> None:
    scores = np.array([[0.1 + 0.2, 0.3, 1.0]])
    found = fit(scores, np.array([[1.0, 2.0, 3.0]]))
    assert found["tau"][0] == pytest.approx(2 / math.sqrt(2 * 3))


def test_a_row_without_a_score_has_no_figure() -> None:
    scores = np.array([[1.0, np.nan], [1.0, 2.0]])
    found = fit(scores, np.array([[1.0, 2.0]]))
    for name in STATISTICS:
        assert math.isnan(found[name][0])
        assert not math.isnan(found[name][1])
