"""A whole set loaded: its steps, and the fingerprint of what is scored."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.teacher_set import Response
from tests.teacher_set.conftest import Load, row, two


def test_supplied_steps_are_kept_and_may_be_missing_with_a_splitter(load: Load) -> None:
    rows = [row(response="a. b.", steps=["a. ", "b."]), row(teacher="B")]
    assert load(rows, steps="supplied_or_sentence").prompts[0].responses[0].steps == ("a. ", "b.")
    assert load([rows[0], row(teacher="B", steps=["r"])], steps="supplied").n_responses == 2


def test_an_unknown_splitter_is_refused_before_the_data_is_read(load: Load) -> None:
    with pytest.raises(ConfigError, match="sentence"):
        load({}, "gone.jsonl", steps="sentense")


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


def test_a_set_shows_its_name_counts_and_teachers(load: Load) -> None:
    shown = "<TeacherSet t: 1 prompts, 2 responses, teachers A, B>"
    assert repr(load(two())) == shown


def test_a_response_needs_no_more_than_teacher_and_text() -> None:
    own = Response("A", "text")
    assert (own.sample, own.correct, own.steps, own.extra, own.where) == (0, None, None, {}, "")
