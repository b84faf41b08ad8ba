"""`weighted`: LARK's weights, by hand."""

from __future__ import annotations

import pytest

from lnat_plugins.ranking.table import TIE
from tests.selection.builders import LOWER, run, select, table


def weights(budget: int, *scores: float) -> dict[int, float]:
    pool = table({f"T{i}": [score] for i, score in enumerate(scores)})
    choice = run(pool, "weighted", budget=budget)
    assert choice.weights is not None
    assert set(choice.positions) == set(choice.weights)
    return {place: choice.weights[place] for place in sorted(choice.weights)}


@pytest.mark.parametrize(
    ("budget", "scores", "expected"),
    [
        (2, (-1.0, -2.0, -4.0), {0: 3 / 5, 1: 2 / 5}),
        (2, (-4.0, -2.0, -1.0, -9.0), {1: 2 / 5, 2: 3 / 5}),
        (3, (-1.0, -2.0, -4.0, -5.0), {0: 4 / 8, 1: 3 / 8, 2: 1 / 8}),
        (1, (-1.0, -2.0), {0: 1.0}),
        (3, (-1.0, -2.0, -4.0), {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}),  # exactly B: nobody gets 0
        (5, (-1.0, -2.0), {0: 1 / 2, 1: 1 / 2}),  # fewer than B
        (2, (-1.0, -1.0, -1.0), {0: 1 / 2, 1: 1 / 2}),  # no differences
        (2, (-2.0, -1.0, -2.0), {0: 0.0, 1: 1.0}),  # no lead over the next one
        (2, (-1.0 - TIE / 2, -1.0, -1.0), {0: 1 / 2, 1: 1 / 2}),  # none but rounding
    ],
)
def test_by_hand(budget: int, scores: tuple[float, ...], expected: dict[int, float]) -> None:
    assert weights(budget, *scores) == pytest.approx(expected, abs=1e-12)


def test_each_prompt_has_weights_of_its_own() -> None:
    pool = table({"A": [-1.0, -10.0], "B": [-2.0, -30.0], "C": [-4.0, None]})
    selection = select(pool, strategy="weighted", budget=2)
    assert selection.indices == (0, 1, 3, 4)
    assert selection.weights == pytest.approx((3 / 5, 2 / 5, 1 / 2, 1 / 2))
    assert selection.weighted
    assert selection.reasons == {2: "not among the best `budget` rows of its prompt"}


def test_lower_is_better_has_the_same_weights() -> None:
    pool = table({"A": [-1.0], "B": [-2.0], "C": [-4.0]})
    selection = select(pool, strategy="weighted", budget=2, metric=LOWER.name)
    assert selection.weights == pytest.approx((3 / 5, 2 / 5))


def test_a_tie_at_the_cut_is_counted() -> None:
    pool = table({"A": [-2.0, -1.0], "B": [-1.0, -2.0], "C": [-2.0, -3.0]})
    choice = run(pool, "weighted", budget=2)
    assert (sorted(choice.positions), choice.ties) == ([0, 1, 3, 4], 1)
    assert choice.reasons == {2: "an equally good row comes first"}
