"""Conditions on prompts: how they are written, what they compare, and which rows drop out."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.selection.conditions import Condition
from tests.selection.builders import FakeStudent, pool_of, row, select, spec_of


def says(prompt: str, teacher: str, answer: str, correct: bool | None = None, score: float = 0.0):  # type: ignore[no-untyped-def]
    return row(prompt, teacher, score, text=f"{teacher}: so #1\n#### {answer}", correct=correct)


POOL = pool_of(
    says("p0", "A", "1", True, -1.0), says("p0", "B", "1", True, -1.1),
    says("p1", "A", "1", True, -1.0), says("p1", "B", "2", False, -3.0),
    says("p2", "A", "1", None, -1.0), row("p2", "B", -9.0, text="no idea"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("disagreement >= 0.5", ["p1"]), ("disagreement<1", ["p0"]),
        ("disagreement <= 1.0", ["p0", "p1"]),
        ("share_correct < 1", ["p1"]), ("share_correct >= .5", ["p0", "p1"]),
        ("score_spread > 1", ["p1", "p2"]), ("score_spread <= 2", ["p0", "p1"]),
        (["share_correct > 0", "score_spread >= 0.1"], ["p0", "p1"]),
        (("disagreement > -1", "share_correct >= 1"), ["p0"]),
    ],
)  # fmt: skip
def test_prompts_that_meet_all_are_kept(where: object, kept: list[str]) -> None:
    selection = select(POOL, where=where)
    assert [selection.prompts[i] for i in selection.indices] == kept
    assert selection.settings["where"] == [str(one) for one in spec_of(where=where).where]


def test_the_figures_are_of_all_rows_and_the_reason_says_so() -> None:
    selection = select(POOL, where="share_correct < 1", require_correct=True)
    assert [selection.prompts[i] for i in selection.indices] == ["p1"]
    said = "its prompt does not meet `where`: share_correct is"
    assert selection.reasons == {
        0: f"{said} 1, not < 1", 1: f"{said} 1, not < 1", 3: "`correct` is false",
        4: f"{said} not known", 5: f"{said} not known",
    }  # fmt: skip
    assert set(selection.eligible) == {2}


def test_the_spread_is_of_the_rows_that_are_left() -> None:
    selection = select(POOL, where="score_spread < 1", require_correct=True)
    assert [selection.prompts[i] for i in selection.indices] == ["p0", "p1"]


def test_only_a_condition_on_scores_asks_for_them() -> None:
    student = FakeStudent()
    select(POOL, student, strategy="random", where="disagreement >= 0")
    assert not student.scored
    select(POOL, student, strategy="random", where="score_spread >= 0")
    assert student.scored == [[0, 1, 2, 3, 4, 5]]


def test_rounding_meets_a_bound_that_includes_it() -> None:
    assert Condition("share_correct", ">=", 0.3).unmet(0.1 + 0.2) == ""
    assert Condition("share_correct", "<=", 0.3).unmet(0.1 + 0.2) == ""
    assert Condition("share_correct", ">", 0.3).unmet(0.1 + 0.2)
    assert Condition("share_correct", "<", 0.3).unmet(0.3)


def test_none_left_is_an_error_that_says_why() -> None:
    with pytest.raises(DataError, match=r"6 rows: its prompt does not meet `where`"):
        select(POOL, where="disagreement > 1", require_correct=True)


def test_without_conditions_nothing_is_written() -> None:
    assert "where" not in spec_of().written
