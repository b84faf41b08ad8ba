"""The teachers of a race: where each was left, and what it was compared with."""

from __future__ import annotations

from typing import Any

import pytest

from lnat_plugins.budget.run import Raced, Row
from lnat_plugins.ranking.raced import RacedTeacher, _teachers
from tests.budget.test_run import CLEAR, Student


def ended(means: dict[str, float], **budget: Any) -> tuple[Raced, tuple[RacedTeacher, ...]]:
    """A race to its end, and its teachers as they are printed."""
    student = Student(means)
    records, found = student.run(**budget)
    rows = [
        Row(row.prompt_id, 300, record) for row, record in zip(student.rows, records, strict=True)
    ]
    return found, _teachers(rows, found)


def test_who_was_dropped_says_when_and_against_whom() -> None:
    found, teachers = ended(CLEAR)
    prompts = {one.teacher: one.prompts for one in found.outcome.placed}
    assert [(one.teacher, one.left) for one in teachers] == [
        ("a", "best"), ("b", f"dropped after {prompts['b']} prompts"),
        ("c", f"dropped after {prompts['c']} prompts"),
    ]  # fmt: skip
    against = {one.teacher: one.against for one in found.outcome.placed}
    assert [one.against for one in teachers] == [(), against["b"], against["c"]]
    assert against["b"] and against["c"]
    assert [one.prompts for one in teachers] == [found.prompts[one.teacher] for one in teachers]


@pytest.mark.parametrize(("goal", "left"), [("order", "placed"), (2, "top 2")])
def test_who_was_chosen_says_for_what(goal: Any, left: str) -> None:
    found, teachers = ended(CLEAR, goal=goal)
    assert found.outcome.chosen[:2] == ("a", "b")
    assert [one.left for one in teachers][:2] == [left] * 2


def test_what_remains_is_not_settled() -> None:
    found, teachers = ended({"a": -2.0, "b": -2.001, "c": -4.0})
    assert {*found.outcome.remaining} == {"a", "b"}
    assert {one.teacher: one.left for one in teachers if one.teacher != "c"} == {
        "a": "not settled", "b": "not settled",
    }  # fmt: skip
