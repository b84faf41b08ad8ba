"""Rows joined into prompts, filters, and counts of what is dropped."""

from __future__ import annotations

import hashlib
import json

from tests.teacher_set.conftest import Load, row, two


def test_rows_are_joined_by_the_exact_prompt(load: Load) -> None:
    prompts = load([*two("p"), *two("p ")]).prompts
    assert [p.messages[0]["content"] for p in prompts] == ["p", "p "]
    assert len({p.prompt_id for p in prompts}) == 2
    turns = json.dumps([["user", "p"]]).encode()
    assert prompts[0].prompt_id == f"prompt-{hashlib.sha256(turns).hexdigest()[:12]}"


def test_ids_join_rows_and_stay_apart_where_the_text_is_equal(load: Load) -> None:
    rows = [*two(prompt_id=1), *two(prompt_id=2)]
    assert [p.prompt_id for p in load(rows).prompts] == ["1", "2"]


def test_order_is_that_of_first_appearance(load: Load) -> None:
    rows = [row("p2", "B"), row("p1", "A"), row("p2", "A"), row("p1", "B")]
    teacher_set = load(rows)
    assert teacher_set.teachers == ("B", "A")
    assert [p.text for p in teacher_set.prompts] == ["p2", "p1"]


def test_a_teacher_may_answer_several_times(load: Load) -> None:
    rows = [row(sample=k, response=f"r{k}") for k in (0, 1, "x")] + [row(teacher="B")]
    assert [r.sample for r in load(rows).prompts[0].responses] == [0, 1, "x", 0]


# filters


def test_prompts_with_one_teacher_are_dropped_and_counted(load: Load) -> None:
    rows = [*two("p1"), row("p2"), row("p2", sample=1)]
    teacher_set = load(rows)
    assert [p.text for p in teacher_set.prompts] == ["p1"]
    assert teacher_set.dropped == {"the prompt has fewer than 2 teachers": 2}
    assert load(rows, min_teachers=1).dropped == {}


def test_named_teachers_are_kept_and_the_rest_counted(load: Load) -> None:
    rows = [*two("p1"), row("p1", "C")]
    teacher_set = load(rows, teachers=["C", "A"])
    assert teacher_set.teachers == ("A", "C")
    assert teacher_set.dropped == {"not in `teachers`": 1}


def test_only_correct_responses_are_kept_on_request(load: Load) -> None:
    rows = [*two("p1", correct=1), row("p1", "C", correct=False), row("p1", "D", correct=None)]
    teacher_set = load(rows, require_correct=True)
    assert teacher_set.teachers == ("A", "B")
    assert teacher_set.dropped == {"`correct` is false": 1, "`correct` is not given": 1}
    assert load(rows).dropped == {}


def test_what_each_filter_drops_is_counted_before_the_next_one_looks(load: Load) -> None:
    rows = [*two("p1", correct=1), row("p2", "A", correct=1), row("p2", "B", correct=0)]
    teacher_set = load(rows, require_correct=True)
    assert [p.text for p in teacher_set.prompts] == ["p1"]
    reasons = {"`correct` is false": 1, "the prompt has fewer than 2 teachers": 1}
    assert teacher_set.dropped == reasons
