"""`top_k`, `top_fraction` and `threshold`: cuts through the whole pool."""

from __future__ import annotations

import pytest

from tests.selection.builders import LOWER, names, run, select, table

POOL = table({"A": [-1.0, -1.1, -5.0], "B": [-4.0, -1.2, -6.0]})  # p0 A, p0 B, p1 A, ...


@pytest.mark.parametrize(
    ("k", "chosen"),
    [
        (1, ["p0 A"]),
        (3, ["p0 A", "p1 A", "p1 B"]),  # two of one prompt, none of another
        (5, ["p0 A", "p0 B", "p1 A", "p1 B", "p2 A"]),
        (99, ["p0 A", "p0 B", "p1 A", "p1 B", "p2 A", "p2 B"]),
    ],
)
def test_the_k_best_of_all(k: int, chosen: list[str]) -> None:
    choice = run(POOL, "top_k", k=k)
    assert names(POOL, choice.positions) == chosen
    assert choice.ties == 0


@pytest.mark.parametrize(
    ("k", "chosen", "ties", "tied"),
    [
        (1, [2], 0, []),
        (2, [0, 2], 1, [3, 5]),
        (3, [0, 2, 3], 1, [5]),
        (4, [0, 2, 3, 5], 0, []),  # the tie is not at the cut
    ],
)
def test_a_tie_at_the_cut_goes_to_the_first_rows(
    k: int, chosen: list[int], ties: int, tied: list[int]
) -> None:
    pool = table({"A": [-2.0, -1.0, -3.0], "B": [-3.0, -2.0, -2.0]})
    choice = run(pool, "top_k", k=k)
    assert (sorted(choice.positions), choice.ties) == (chosen, ties)
    assert choice.reasons == dict.fromkeys(tied, "an equally good row comes first")


@pytest.mark.parametrize(
    ("fraction", "count"), [(1, 6), (1.0, 6), (0.5, 3), (0.51, 4), (1 / 3, 2), (0.01, 1)]
)
def test_a_fraction_is_rounded_up(fraction: float, count: int) -> None:
    assert len(run(POOL, "top_fraction", fraction=fraction).positions) == count


def test_a_fraction_is_taken_as_written() -> None:
    # 0.07 · 100 is 7.000000000000001 in floating point, whose ceiling is 8.
    pool = table({"A": [-float(i) for i in range(100)]})
    assert sorted(run(pool, "top_fraction", fraction=0.07).positions) == list(range(7))


def test_a_fraction_is_one_of_the_rows_that_passed_the_filters() -> None:
    pool = table({"A": [-1.0, -2.0, float("nan"), float("nan")]})
    assert select(pool, strategy="top_fraction", fraction=0.5).indices == (0,)


@pytest.mark.parametrize(
    ("threshold", "chosen"),
    [(-1.1, ["p0 A", "p1 A"]), (-1.15, ["p0 A", "p1 A"]), (-1.2, ["p0 A", "p1 A", "p1 B"])],
)
def test_at_least_the_threshold_where_higher_is_better(threshold: float, chosen: list[str]) -> None:
    selection = select(POOL, strategy="threshold", threshold=threshold)
    assert names(POOL, selection.indices) == chosen
    assert set(selection.reasons.values()) == {"short of the threshold"}


def test_at_most_the_threshold_where_lower_is_better() -> None:
    selection = select(POOL, strategy="threshold", threshold=1.1, metric=LOWER.name)
    assert names(POOL, selection.indices) == ["p0 A", "p1 A"]
    assert selection.scores[:2] == pytest.approx((1.0, 4.0))


def test_rounding_does_not_keep_a_row_from_the_threshold() -> None:
    pool = table({"A": [-(0.1 + 0.2), -0.3]})
    assert pool.rows[0].response.extra["score"] < -0.3
    assert run(pool, "threshold", threshold=-0.3).positions == (0, 1)


def test_who_lost_and_why() -> None:
    assert select(POOL, strategy="top_k", k=5).reasons == {5: "not among the k best rows"}
    reasons = select(POOL, strategy="top_fraction", fraction=0.8).reasons
    assert reasons == {5: "not among the best fraction of the rows"}
