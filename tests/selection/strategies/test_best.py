"""`best`: one row a prompt, the first in a tie."""

from __future__ import annotations

import pytest

from lnat_plugins.ranking.table import TIE
from tests.selection.builders import names, pool_of, row, run, select, table


def test_the_best_row_of_each_prompt() -> None:
    pool = table({"A": [-1.0, -3.0, -2.0], "B": [-2.0, -1.0, None], "C": [-1.5, -2.0, -4.0]})
    choice = run(pool, "best")
    assert names(pool, choice.positions) == ["p0 A", "p1 B", "p2 A"]
    assert (choice.ties, choice.weights, choice.reasons) == (0, None, {})


def test_in_a_tie_the_first_row_wins_and_the_others_know_why() -> None:
    pool = table({"A": [-1.0, -3.0], "B": [-1.0, -1.0], "C": [-1.0 - TIE / 2, -1.0]})
    choice = run(pool, "best")
    assert names(pool, choice.positions) == ["p0 A", "p1 B"]
    assert choice.ties == 2
    assert choice.reasons == dict.fromkeys((1, 2, 5), "an equally good row comes first")


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_only_rounding_makes_a_tie(size: float) -> None:
    apart = run(table({"A": [-size - 1e-9 * max(size, 1)], "B": [-size]}), "best")
    assert (apart.positions, apart.ties) == ((1,), 0)
    rounded = run(table({"A": [-size * (1 + 2e-16)], "B": [-size]}), "best")
    assert (rounded.positions, rounded.ties) == ((0,), 1)


def test_rows_of_a_prompt_need_not_stand_together() -> None:
    pool = pool_of(row("p0", "A", -2), row("p1", "A", -1), row("p0", "B", -1), row("p1", "B", -2))
    assert names(pool, run(pool, "best").positions) == ["p1 A", "p0 B"]


def test_samples_of_one_teacher_are_rivals_too() -> None:
    pool = pool_of(row("p0", "A", -2), row("p0", "A", -1, sample=1), row("p0", "B", -1.5))
    assert run(pool, "best").positions == (1,)


def test_who_lost_and_why() -> None:
    selection = select(table({"A": [-1.0, -3.0], "B": [-2.0, -1.0]}))
    assert selection.reasons == dict.fromkeys(
        (1, 2), "another response to the prompt scored better"
    )
    assert selection.weights == (1.0, 1.0)
