"""Candidates: rows in order, teachers in order, a fingerprint of the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lnat_plugins.teacher_set import Candidate, Candidates, Prompt, Response
from tests.selection.builders import pool_of, row

MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"})


def prompts() -> tuple[Prompt, ...]:
    return (
        Prompt("p0", MESSAGES, (Response("B", "Two.", where="x.jsonl line 1"), Response("A", "2"))),
        Prompt("p1", MESSAGES, (Response("A", "2", 1),)),
    )


def test_a_teacher_set_becomes_candidates_prompt_by_prompt() -> None:
    candidates = Candidates.of_prompts(prompts())
    assert [(row.index, row.prompt_id, row.teacher, row.text) for row in candidates.rows] == [
        (0, "p0", "B", "Two."),
        (1, "p0", "A", "2"),
        (2, "p1", "A", "2"),
    ]
    assert all(row.messages == MESSAGES for row in candidates.rows)
    assert candidates.rows[0].where == "x.jsonl line 1, teacher 'B'"
    assert candidates.teachers == ("B", "A")
    assert not candidates.plain


def test_plain_candidates_hold_the_prompt_as_it_is_read() -> None:
    candidates = Candidates.of_prompts(prompts(), plain=True, delimiter="\n\n")
    assert candidates.plain
    assert candidates.rows[0].messages == ({"role": "user", "content": "Be brief.\n\n1 + 1?\n\n"},)


def test_the_fingerprint_is_that_of_the_rows() -> None:
    candidates = Candidates.of_prompts(prompts())
    assert candidates.fingerprint == Candidates.of_prompts(prompts()).fingerprint
    assert len(candidates.fingerprint) == 12
    assert int(candidates.fingerprint, 16) >= 0


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "Two"},
        {"teacher": "C"},
        {"sample": "0"},
        {"correct": False},
        {"steps": ("T", "wo.")},
    ],
)
def test_a_change_of_a_row_changes_the_fingerprint(changed: dict[str, object]) -> None:
    candidates = Candidates.of_prompts(prompts())
    first = candidates.rows[0]
    other = replace(first, response=replace(first.response, **changed))
    assert Candidates((other, *candidates.rows[1:])).fingerprint != candidates.fingerprint


def test_what_is_not_chosen_from_plays_no_part_in_the_fingerprint() -> None:
    one = pool_of(row("p0", "A", -1.0))
    assert one.fingerprint == pool_of(row("p0", "A", -2.0)).fingerprint


def test_order_prompts_and_form_change_the_fingerprint() -> None:
    rows = Candidates.of_prompts(prompts()).rows
    renamed = Candidate(2, "p2", rows[2].messages, rows[2].response)
    shorter_prompt = Candidate(2, "p1", rows[2].messages[1:], rows[2].response)
    variants = [
        Candidates(rows),
        Candidates(rows, plain=True),
        Candidates(rows[::-1]),
        Candidates(rows[:2]),
        Candidates((*rows[:2], renamed)),
        Candidates((*rows[:2], shorter_prompt)),
    ]
    assert len({one.fingerprint for one in variants}) == len(variants)


@pytest.mark.parametrize(
    "changed",
    [
        {"extra": {"tools": [{"name": "add"}]}},
        {"extra": {"chat_template_kwargs": {"hint": "x"}}},
        {"turn": {"content": "Two.", "reasoning_content": "So."}},
    ],
)
def test_what_a_chat_template_reads_is_part_of_the_fingerprint(changed: dict[str, Any]) -> None:
    for plain in (False, True):
        candidates = Candidates.of_prompts(prompts(), plain=plain)
        first, *rest = candidates.rows
        other = replace(first, response=replace(first.response, **changed))
        found = replace(candidates, rows=(other, *rest)).fingerprint
        assert (found == candidates.fingerprint) is plain
