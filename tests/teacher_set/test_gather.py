"""Rows joined into prompts, filters, and counts of what was left out."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import ConfigError, DataError
from tests.teacher_set.conftest import Load, row, two


def test_rows_are_joined_by_the_exact_prompt(load: Load) -> None:
    prompts = load([*two("p"), *two("p ")]).prompts
    assert [p.messages[0]["content"] for p in prompts] == ["p", "p "]
    assert len({p.prompt_id for p in prompts}) == 2
    assert prompts[0].prompt_id.startswith("prompt-")


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


def test_a_second_response_under_one_sample_names_both_rows(load: Load) -> None:
    rows = [row(response="one"), row(teacher="B"), row(response="two")]
    with pytest.raises(DataError) as caught:
        load(rows)
    text = str(caught.value)
    assert text.startswith("rows.jsonl row 3: a second response of teacher 'A', sample 0")
    assert "the first is in rows.jsonl row 1" in text
    assert "`sample` column" in text


def test_two_prompts_under_one_id_are_refused(load: Load) -> None:
    rows = [row("one", prompt_id="x"), row("two", "B", prompt_id="x")]
    with pytest.raises(DataError, match=r"row 2: two different prompts share the id 'x'.*row 1"):
        load(rows)


def test_ids_on_some_rows_only_are_refused(load: Load) -> None:
    with pytest.raises(DataError, match=r"row 2: a row without a prompt id.*an id in rows"):
        load([row(prompt_id="x"), row(teacher="B")])


# filters


def test_prompts_with_one_teacher_are_left_out_and_counted(load: Load) -> None:
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
    with pytest.raises(ConfigError, match=r"no such teacher \(found 'a'\).*Known: A, B, C"):
        load(rows, teachers=["a"])


def test_only_correct_responses_are_kept_on_request(load: Load) -> None:
    rows = [*two("p1", correct=1), row("p1", "C", correct=False), row("p1", "D", correct=None)]
    teacher_set = load(rows, require_correct=True)
    assert teacher_set.teachers == ("A", "B")
    assert teacher_set.dropped == {"`correct` is false": 1, "`correct` is not given": 1}
    assert load(rows).dropped == {}


def test_require_correct_needs_a_verdict(load: Load) -> None:
    with pytest.raises(ConfigError, match="needs a column that says which responses are correct"):
        load(two(), require_correct=True)


def test_a_filter_that_leaves_nothing_is_named_with_its_counts(load: Load) -> None:
    rows = [row(correct=False), row(teacher="B", correct=True)]
    with pytest.raises(DataError, match="`min_teachers: 2` leaves no response") as caught:
        load(rows, require_correct=True)
    counts = (
        "left out: 1 because `correct` is false, 1 because the prompt has fewer than 2 teachers"
    )
    assert counts in str(caught.value)
    with pytest.raises(DataError, match=r"`require_correct: true` leaves no response.*2 because"):
        load(two(correct=0), require_correct=True)


# steps


def test_supplied_steps_must_be_there_when_asked_for(load: Load) -> None:
    rows = [row(response="a. b.", steps=["a. ", "b."]), row(teacher="B")]
    assert load(rows, steps="supplied_or_sentence").prompts[0].responses[0].steps == ("a. ", "b.")
    with pytest.raises(DataError, match=r"row 2: `steps: supplied` is set, but"):
        load(rows, steps="supplied")


def test_an_unknown_splitter_is_refused_before_the_data_is_read(load: Load) -> None:
    with pytest.raises(ConfigError, match="sentence"):
        load({}, "gone.jsonl", steps="sentense")


# fingerprint


def test_the_fingerprint_covers_what_is_scored_and_nothing_else(load: Load) -> None:
    base = load(two()).fingerprint
    assert len(base) == 12
    assert load(two(correct=True, note="x"), windows=[1]).fingerprint == base
    changed = [
        [*two()[:1], row(teacher="B", response="b. ")],
        [*two()[:1], row(teacher="C", response="b.")],
        [*two()[:1], row(teacher="B", response="b.", sample=1)],
        [*two()[:1], row(teacher="B", response="b.", steps=["b", "."])],
        two("p1 "),
        two()[::-1],
    ]
    prints = {load(rows).fingerprint for rows in changed}
    assert len(prints) == len(changed) and base not in prints
