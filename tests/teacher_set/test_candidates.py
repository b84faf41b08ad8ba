"""The pool: rows in order, teachers in order, a fingerprint that tells pools apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lnat_plugins.teacher_set import Candidate, Candidates, Prompt, Response
from tests.selection.builders import pool_of, row

ASKED = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"})


def prompts() -> tuple[Prompt, ...]:
    return (
        Prompt("p0", ASKED, (Response("B", "Two.", where="x.jsonl line 1"), Response("A", "2"))),
        Prompt("p1", ASKED, (Response("A", "2", 1),)),
    )


def test_a_teacher_set_becomes_a_pool_prompt_by_prompt() -> None:
    pool = Candidates.of_prompts(prompts())
    assert [(row.index, row.prompt_id, row.teacher, row.text) for row in pool.rows] == [
        (0, "p0", "B", "Two."),
        (1, "p0", "A", "2"),
        (2, "p1", "A", "2"),
    ]
    assert all(row.messages == ASKED for row in pool.rows)
    assert pool.rows[0].where == "x.jsonl line 1"
    assert pool.teachers == ("B", "A")
    assert not pool.plain


def test_a_plain_pool_holds_the_prompt_as_it_is_read() -> None:
    pool = Candidates.of_prompts(prompts(), plain=True, delimiter="\n\n")
    assert pool.plain
    assert pool.rows[0].messages == ({"role": "user", "content": "Be brief.\n\n1 + 1?\n\n"},)


def test_the_fingerprint_is_that_of_the_rows() -> None:
    pool = Candidates.of_prompts(prompts())
    assert pool.fingerprint == Candidates.of_prompts(prompts()).fingerprint
    assert len(pool.fingerprint) == 12
    assert int(pool.fingerprint, 16) >= 0


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
    pool = Candidates.of_prompts(prompts())
    first = pool.rows[0]
    other = replace(first, response=replace(first.response, **changed))
    assert Candidates((other, *pool.rows[1:])).fingerprint != pool.fingerprint


def test_what_is_not_chosen_from_plays_no_part_in_the_fingerprint() -> None:
    one = pool_of(row("p0", "A", -1.0))
    assert one.fingerprint == pool_of(row("p0", "A", -2.0)).fingerprint


def test_order_prompts_and_form_change_the_fingerprint() -> None:
    rows = Candidates.of_prompts(prompts()).rows
    renamed = Candidate(2, "p2", rows[2].messages, rows[2].response)
    asked = Candidate(2, "p1", rows[2].messages[1:], rows[2].response)
    pools = [
        Candidates(rows),
        Candidates(rows, plain=True),
        Candidates(rows[::-1]),
        Candidates(rows[:2]),
        Candidates((*rows[:2], renamed)),
        Candidates((*rows[:2], asked)),
    ]
    assert len({pool.fingerprint for pool in pools}) == len(pools)
