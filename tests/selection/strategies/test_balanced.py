"""`balanced`: parts of teachers, by hand; who is refused; why rows were left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Candidates
from tests.selection.builders import (
    LOWER,
    FakeStudent,
    names,
    pool_of,
    row,
    run,
    select,
    table,
)

# A is better everywhere, by 5, 1, 3 and 2.
LEADS = table({"A": [-1.0, -1.0, -1.0, -1.0], "B": [-6.0, -2.0, -4.0, -3.0]})


def chosen(pool: Candidates, **options: Any) -> list[str]:
    return names(pool, run(pool, "balanced", **options).positions)


def test_a_teacher_keeps_the_prompts_where_it_leads_by_most() -> None:
    assert chosen(LEADS) == ["p0 A", "p1 B", "p2 A", "p3 B"]
    assert chosen(LEADS, quota=3) == ["p0 A", "p1 B", "p2 A", "p3 A"]
    assert chosen(LEADS, quota={"A": 1}) == ["p0 A", "p1 B", "p2 B", "p3 B"]
    assert chosen(LEADS, teacher_mix={"A": 3, "B": 1}) == ["p0 A", "p1 B", "p2 A", "p3 A"]


def test_greedy_choices_would_lose() -> None:
    # Prompt by prompt p0 takes A (-1) and leaves p1 with B (-9); together -3 is possible.
    pool = table({"A": [-1.0, -1.0], "B": [-2.0, -9.0]})
    assert chosen(pool, quota=1) == ["p0 B", "p1 A"]


def test_rows_move_over_a_third_teacher_too() -> None:
    pool = table({"A": [0.0, 0.0, None], "B": [-1.0, None, 0.0], "C": [None, None, -1.0]})
    assert chosen(pool, quota=1) == ["p0 B", "p1 A", "p2 C"]


def test_more_prompts_come_before_a_better_total() -> None:
    pool = table({"A": [0.0, 0.0], "B": [-1000.0, None]})
    assert chosen(pool, quota=1) == ["p0 B", "p1 A"]


def test_under_a_quota_prompts_may_get_nobody() -> None:
    pool = table({"A": [-1.0, -5.0, -1.0, -2.0], "B": [None, -1.0, None, None]})
    selection = select(pool, strategy="balanced", quota=2)
    assert names(pool, selection.indices) == ["p0 A", "p1 B", "p2 A"]
    assert selection.reasons == {
        1: "another response to the prompt scored better",
        4: "its prompt got no row: the quotas of its teachers are used up",
    }


def test_a_quota_beyond_all_rows_is_none() -> None:
    assert chosen(LEADS, quota=10**30) == ["p0 A", "p1 A", "p2 A", "p3 A"]


def test_a_quota_of_nothing_leaves_a_teacher_out() -> None:
    assert chosen(LEADS, quota={"A": 0}) == ["p0 B", "p1 B", "p2 B", "p3 B"]


@pytest.mark.parametrize(
    ("mix", "rows", "counts"),
    [
        ({"A": 1, "B": 1}, 10, {"A": 5, "B": 5}),
        ({"A": 0.2, "B": 0.6}, 8, {"A": 2, "B": 6}),
        ({"A": 1, "B": 2, "C": 3}, 12, {"A": 2, "B": 4, "C": 6}),
        ({"A": 1, "B": 2, "C": 3}, 10, {"A": 2, "B": 3, "C": 5}),  # 1.67, 3.33, 5
        ({"A": 10, "B": 1}, 5, {"A": 5}),  # 4.55 and 0.45
        ({"B": 1}, 4, {"B": 4}),
    ],
)
def test_shares_become_whole_numbers_by_largest_remainder(
    mix: dict[str, float], rows: int, counts: dict[str, int]
) -> None:
    pool = table({"A": [-3.0] * rows, "B": [-1.0] * rows, "C": [-2.0] * rows})
    positions = run(pool, "balanced", teacher_mix=mix).positions
    assert Counter(pool.rows[i].teacher for i in positions) == counts


def test_equal_remainders_go_where_they_gain_more() -> None:
    pool = table({"A": [-1.0, -1.0, -1.0], "B": [-2.0, -1.5, -1.5]})
    assert chosen(pool) == ["p0 A", "p1 A", "p2 B"]
    pool = table({"A": [-2.0, -1.5, -1.5], "B": [-1.0, -1.0, -1.0]})
    assert chosen(pool) == ["p0 B", "p1 A", "p2 B"]


def test_as_many_rows_as_the_mix_allows() -> None:
    # B has two rows: with equal shares, five rows at most (three and two).
    pool = table({"A": [-1.0] * 8, "B": [-2.0, -2.0, *[None] * 6]})
    selection = select(pool, strategy="balanced")
    assert selection.chosen_by_teacher == {"A": 3, "B": 2}
    assert selection.left_out == {
        "its prompt got no row": {"A": 3},
        "its teacher's part is used up": {"A": 2},
    }
    assert "its prompt got no row: with more rows the shares of teachers could not be kept" in (
        selection.reasons.values()
    )


def test_why_rows_were_left_out() -> None:
    pool = pool_of(
        *(row("p0", "A", -1), row("p0", "B", -2), row("p0", "A", -1.5, sample=1)),
        *(row("p1", "A", -1), row("p1", "B", -1.5), row("p1", "A", -1, sample=1)),
        *(row("p2", "C", -0.5), row("p2", "B", -3), row("p2", "A", -1)),
    )
    selection = select(pool, strategy="balanced", teacher_mix={"A": 2, "B": 1})
    assert names(pool, selection.indices) == ["p0 A", "p1 B", "p2 A"]
    used_up = "its teacher's part is used up: A gives 2 to prompts that need it more"
    assert selection.reasons == {
        1: "another response to the prompt scored better",
        2: "another response to the prompt scored better",
        3: used_up,
        5: used_up,
        6: "its teacher is not in teacher_mix",
        7: "another response to the prompt scored better",
    }


def test_ties_prefer_rows_at_the_front_and_are_counted() -> None:
    pool = table({"A": [-1.0] * 4, "B": [-1.0] * 4})
    choice = run(pool, "balanced")
    assert names(pool, choice.positions) == ["p0 A", "p1 A", "p2 B", "p3 B"]
    assert choice.ties == 4
    assert choice.reasons[1] == "an equally good row comes first"
    assert choice.reasons[4].startswith("its teacher's part is used up: A gives 2 ")


@pytest.mark.parametrize(
    ("pool", "ties"),
    [
        (LEADS, 0),
        # p0 and p1 could change places; p2 could not.
        (table({"A": [-1.0, -2.0, -1.0, -9.0], "B": [-3.0, -4.0, -9.0, -1.0]}), 2),
        # The same over three teachers: nothing is equal in any one prompt.
        (table({"A": [0.0, -3.0, -1.0], "B": [-1.0, 0.0, -3.0], "C": [-3.0, -1.0, 0.0]}), 0),
        (table({"A": [0.0, -3.0, -1.0], "B": [0.0, 0.0, -3.0], "C": [-3.0, 0.0, 1.0]}), 0),
        (table({"A": [0.0, -3.0, 0.0], "B": [0.0, 0.0, -3.0], "C": [-3.0, 0.0, 0.0]}), 3),
    ],
)
def test_a_tie_is_an_exchange_that_costs_nothing(pool: Candidates, ties: int) -> None:
    assert run(pool, "balanced").ties == ties


def test_equal_rows_of_one_teacher_are_a_tie_if_one_of_them_is_chosen() -> None:
    pool = pool_of(
        *(row("p0", "A", -1), row("p0", "A", -1, sample=1), row("p0", "B", -5)),
        *(row("p1", "A", -5), row("p1", "A", -5, sample=1), row("p1", "B", -1)),
    )
    choice = run(pool, "balanced")
    assert names(pool, choice.positions) == ["p0 A", "p1 B"]
    assert choice.ties == 1
    assert choice.reasons[1] == "an equally good row comes first"


def test_lower_is_better() -> None:
    selection = select(LEADS, strategy="balanced", metric=LOWER.name)
    assert names(LEADS, selection.indices) == ["p0 A", "p1 B", "p2 A", "p3 B"]


NO_SUCH = "no row is by this teacher (found 'Qwq'). Did you mean 'QwQ'? known: QwQ, R1."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quota": {"Qwq": 1}}, f"quota: {NO_SUCH}"),
        ({"teacher_mix": {"R1": 1, "Qwq": 1}}, f"teacher_mix: {NO_SUCH}"),
        (
            {"quota": 1, "teacher_mix": {"QwQ": 1}},
            "`quota` and `teacher_mix` exclude each other. Keep one of them.",
        ),
    ],
)
def test_options_that_cannot_hold_are_refused_before_scoring(
    options: dict[str, Any], message: str
) -> None:
    student = FakeStudent()
    with pytest.raises(ConfigError) as caught:
        select(table({"QwQ": [-1.0], "R1": [-2.0]}), student, strategy="balanced", **options)
    assert str(caught.value) == f"sft.yaml: selection: {message}"
    assert student == FakeStudent()


def test_a_teacher_of_the_mix_that_no_filter_lets_through_is_an_error() -> None:
    pool = pool_of(row("p0", "A", correct=True), row("p0", "B", correct=False))
    mix = {"A": 1, "B": 1}
    with pytest.raises(DataError) as caught:
        select(pool, strategy="balanced", require_correct=True, teacher_mix=mix)
    assert str(caught.value) == (
        "strategy 'balanced': no row of a teacher in `teacher_mix` passed the filters (found 'B'). "
        "Loosen the filters, or leave the teacher out of the mix."
    )
    quota = {"A": 1, "B": 1}
    assert select(pool, strategy="balanced", require_correct=True, quota=quota).indices == (0,)


def test_quotas_of_nothing_for_all_leave_an_empty_selection() -> None:
    with pytest.raises(DataError, match="8 rows: its prompt got no row"):
        select(LEADS, strategy="balanced", quota={"A": 0, "B": 0})
