"""Prompts left out that would join but for Unicode form, line ends or blanks."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import DataError
from tests.teacher_set.conftest import Load, jsonl, row, two


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("Caf\u00e9?", "Cafe\u0301?", r"'Caf\xe9?' (rows.jsonl row 3) and 'Cafe\u0301?'"),
        ("\uff11+1", "1+1", r"'\uff11+1' (rows.jsonl row 3) and '1+1'"),
        ("a\nb", "a\r\nb", r"'a\nb' (rows.jsonl row 3) and 'a\r\nb'"),
        ("a", "a ", "'a' (rows.jsonl row 3) and 'a '"),
        ("a  b", "a\u00a0b", r"'a  b' (rows.jsonl row 3) and 'a\xa0b'"),
    ],
)
def test_a_pair_is_counted_once_and_shown(load: Load, one: str, other: str, shown: str) -> None:
    found = load([*two(), row(one, "A"), row(other, "B")])
    assert len(found.prompts) == 1
    assert found.near_equal is not None
    assert found.near_equal.in_words() == (
        "1 prompt left out equals another up to Unicode form, line ends or blanks: "
        f"{shown} (rows.jsonl row 4). Rows are joined by exactly the same prompt, so write them "
        "alike."
    )


def test_a_long_prompt_is_shown_around_the_difference(load: Load) -> None:
    rows = [*two(), row("x" * 99 + "\nb" * 99, "A"), row("x" * 99 + "\r\nb" + "\nb" * 98, "B")]
    near = load(rows).near_equal
    assert near is not None and "'xxxxxx\\nb\\nb\\n' (rows" not in near.example
    assert near.example.startswith(
        "'xxxxxx\\nb\\nb\\nb' (rows.jsonl row 3) and 'xxxxxx\\r\\nb\\nb\\n'"
    )


def test_every_prompt_left_out_that_would_join_counts(load: Load) -> None:
    rows = [
        *two("p"),
        row("p ", "C"),
        row(" p", "D"),
        row("q", "A"),
        row("q\n", "B"),
        row("z", "A"),
    ]
    near = load(rows).near_equal
    assert near is not None and near.prompts == 3
    assert near.in_words().startswith("3 prompts left out equal another up to")


@pytest.mark.parametrize(
    "more",
    [
        [],
        [row("q", "A"), row("Q", "B")],
        [row("q", "A"), row("q ", "A")],  # no other teacher would join
        [row("p1 ", "A")],
        [*two("p1 ")],  # nothing is left out
    ],
)
def test_nothing_is_said_where_nothing_would_join(load: Load, more: list[dict[str, str]]) -> None:
    assert load([*two(), *more]).near_equal is None


def test_prompts_joined_by_ids_may_have_any_text(load: Load) -> None:
    rows = [*two(prompt_id=1), row("q", "A", prompt_id=2), row("q ", "B", prompt_id=3)]
    assert load(rows).near_equal is None


def test_a_set_of_which_nothing_joins_is_told_why(load: Load) -> None:
    files: dict[str, str | bytes] = {
        "a.jsonl": jsonl({"prompt": "p\n", "response": "r"}),
        "b.jsonl": jsonl({"prompt": "p\r\n", "response": "r"}),
    }
    with pytest.raises(DataError, match="fewer than 2 teachers.*1 prompt left out equals another"):
        load(files, {"A": "a.jsonl", "B": "b.jsonl"})
