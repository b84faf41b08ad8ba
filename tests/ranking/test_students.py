"""Several students: whether the best teacher differs from one to another beyond noise."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking import Ranking
from lnat_plugins.ranking.students import StudentComparison, compare_students
from tests.ranking.builders import LOWER, rank_rows, table


def ranking(n_prompts: int = 40, **means: float) -> Ranking:
    """Teachers whose scores differ by the same on every prompt."""
    noise = np.random.default_rng(0).normal(size=n_prompts) / 100
    return rank_rows(table({name: list(noise + mean) for name, mean in means.items()}))


def close(*first: str, **means: float) -> Ranking:
    """The teachers in `first` cannot be told apart, the others are clearly worse."""
    draw = np.random.default_rng(1)
    scores = {}
    for name, mean in means.items():
        noise = draw.normal(size=40)
        noise -= noise.mean()
        scores[name] = list((noise if name in first else noise / 100) + mean)
    found = rank_rows(table(scores))
    assert set(found.verdict.may_be_best) == set(first)
    return found


def of(*rankings: Ranking) -> StudentComparison:
    names = ["student-a", "student-b", "student-c"][: len(rankings)]
    return compare_students("my_teachers", names, rankings)


def test_each_student_has_a_best_teacher_of_its_own() -> None:
    found = of(ranking(A=-1.0, B=-2.0), ranking(A=-2.0, B=-1.0))
    assert found.common == ()
    assert found.text == (
        "The best teacher differs beyond noise: no teacher may be best for both students (90% for "
        "all together)."
    )


@pytest.mark.parametrize(("n_students", "level"), [(2, "90%"), (3, "85%"), (20, "0%"), (21, "0%")])
def test_together_all_sets_hold_less_often(n_students: int, level: str) -> None:
    one, other = ranking(A=-1.0, B=-2.0), ranking(A=-2.0, B=-1.0)
    names = [f"student-{i}" for i in range(n_students)]
    found = compare_students("my_teachers", names, [one, *[other] * (n_students - 1)])
    assert found.text.endswith(f" ({level} for all together).")


A_FIRST = {"A": [-1.0] * 20, "B": [-2.0] * 20}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (rank_rows(table(A_FIRST), get_metric("global_step_naturalness")), "metrics and windows"),
        (rank_rows(table(A_FIRST), replace(LOWER, name="another")), "metrics"),
        (replace(rank_rows(table(A_FIRST)), window="1"), "windows"),
        (rank_rows(table({**A_FIRST, "C": [-3.0] * 20})), "teachers"),
        (rank_rows(table({"A": [-1.0] * 9, "C": [-3.0] * 9})), "teachers"),
    ],
    ids=["metric and window", "metric", "window", "a teacher more", "another, and no verdict"],
)
def test_students_ranked_on_other_things_are_not_compared(other: Ranking, what: str) -> None:
    same = rank_rows(table(A_FIRST))
    for rankings in ((same, other), (other, same), (same, same, other)):
        found = of(*rankings)
        assert found.common == ()
        assert found.text == f"Not compared: the students were ranked on different {what}."
    backwards = rank_rows(table(dict(reversed(A_FIRST.items()))))
    assert of(same, backwards).common == ("A",)


def test_students_scored_by_other_steps_are_not_compared() -> None:
    same = [rank_rows(table(A_FIRST))] * 2
    found = compare_students(
        "t", ["one", "other"], same, ["sentence (sentence@2)", "line (line@1)"]
    )
    assert found.common == ()
    assert found.text == "Not compared: the students were ranked on different steps."
    assert compare_students("t", ["one", "other"], same, ["line (line@1)"] * 2).common == ("A",)


def test_other_numbers_of_prompts_are_named() -> None:
    found = of(rank_rows(table(A_FIRST)), ranking(A=-1.0, B=-2.0))
    assert found.common == ("A",)
    assert found.text.endswith("may be best for both students. They rest on 20 and 40 prompts.")


def test_a_teacher_that_may_be_best_for_all() -> None:
    found = of(
        close("A", "B", A=-1.0, B=-1.02, C=-4.0),
        ranking(A=-2.0, B=-1.0, C=-3.0),
        close("C", "B", A=-6.0, B=-1.02, C=-1.0),
    )
    assert found.common == ("B",)
    assert found.text == "No difference beyond noise: B may be best for all 3 students."


def test_those_in_common_stand_in_the_first_student_s_order() -> None:
    found = of(close("B", "A", A=-1.02, B=-1.0), close("A", "B", A=-1.0, B=-1.02))
    assert found.common == ("B", "A")
    assert found.text == "No difference beyond noise: B or A may be best for both students."


@pytest.mark.parametrize("first", [True, False])
def test_without_a_verdict_nothing_is_known(first: bool) -> None:
    both = [ranking(A=-1.0, B=-2.0), ranking(n_prompts=9, A=-2.0, B=-1.0)]
    found = of(*(both if first else both[::-1]))
    assert found.common == ()
    assert found.text == "Whether the best teacher differs is not known: a student has no verdict."


def test_the_table() -> None:
    """A row a teacher, in the first student's order; a teacher that one lacks is N/A there."""
    found = of(ranking(A=-2.0, B=-1.0), ranking(A=-1.0, B=-1.5, C=-3.0))
    headers, rows = found.table()
    assert headers == ["Mean (rank)", "student-a", "student-b"]
    assert [row[0] for row in rows] == ["B", "A", "C"]
    assert [row[2][-4:] for row in rows] == [" (2)", " (1)", " (3)"]
    assert rows[2][1] == "N/A"
    for row in rows[:2]:
        line = next(line for line in found.rankings[0].teachers if line.teacher == row[0])
        assert row[1] == f"{line.mean:.4f} ({line.rank})"
    spread = of(close("A", "B", A=-1.0, B=-1.02), ranking(A=-1.0, B=-2.0)).table()[1]
    assert [row[1][-6:] for row in spread] == [" (1–2)"] * 2


def test_as_text() -> None:
    found = of(ranking(A=-1.0, B=-2.0), ranking(A=-2.0, B=-1.0))
    lines = found.to_markdown().splitlines()
    assert lines[0] == found.text
    assert lines[1:4] == [
        "- student-a: By local_naturalness A is best for this student (95%, 2 teachers, 40 "
        "prompts).",
        "- student-b: By local_naturalness B is best for this student (95%, 2 teachers, 40 "
        "prompts).",
        "",
    ]
    assert lines[4].startswith("|Mean (rank)|") and len(lines) == 8
    assert len({len(line) for line in lines[4:]}) == 1


def test_warnings_stand_under_the_student_they_are_of() -> None:
    one, other = ranking(A=-1.0, B=-2.0), ranking(A=-2.0, B=-1.0)
    lines = of(replace(one, warnings=("Look.", "Beware.")), other).to_markdown().splitlines()
    assert [line[:35] for line in lines[1:5]] == [
        "- student-a: By local_naturalness A", "  - Look.", "  - Beware.",
        "- student-b: By local_naturalness B",
    ]  # fmt: skip


def test_as_json() -> None:
    found = of(close("A", "B", A=-1.0, B=-1.02), ranking(A=-2.0, B=-1.0))
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == {
        "task": "my_teachers",
        "students": ["student-a", "student-b"],
        "common": ["B"],
        "text": "No difference beyond noise: B may be best for both students.",
    }
