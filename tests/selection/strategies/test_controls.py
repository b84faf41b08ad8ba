"""`random`, `shortest` and `longest`: one row a prompt, whatever it scores."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.selection.builders import names, pool_of, row, run, select

MANY = pool_of(*(row(f"p{i}", teacher) for i in range(600) for teacher in "ABC"))


def test_the_lot_falls_on_one_row_of_each_prompt_and_on_all_alike() -> None:
    choice = run(MANY, "random")
    assert sorted(MANY.rows[i].prompt_id for i in choice.positions) == sorted(
        f"p{i}" for i in range(600)
    )
    counts = Counter(MANY.rows[i].teacher for i in choice.positions)
    # 600 draws of three: 200 each, four standard deviations are 46.
    assert all(abs(counts[teacher] - 200) < 46 for teacher in "ABC")
    assert choice.ties == 0


def test_the_seed_decides() -> None:
    first = run(MANY, "random", seed=1).positions
    assert run(MANY, "random", seed=1).positions == first
    assert run(MANY, "random", seed=2).positions != first


def test_other_prompts_and_their_order_play_no_part() -> None:
    expected = set(names(MANY, run(MANY, "random").positions))
    rows = [each for each in MANY.rows if each.prompt_id not in ("p0", "p7")]
    fewer = pool_of(*sorted(rows, key=lambda each: each.prompt_id, reverse=True))
    found = set(names(fewer, run(fewer, "random").positions))
    assert found == {name for name in expected if name.split()[0] not in ("p0", "p7")}


@pytest.mark.parametrize(("strategy", "teachers"), [("shortest", "BA"), ("longest", "CB")])
def test_length_decides_and_the_first_row_in_a_tie(strategy: str, teachers: str) -> None:
    pool = pool_of(
        *(row("p0", "A", tokens=9), row("p0", "B", tokens=3), row("p0", "C", tokens=20)),
        *(row("p1", "A", tokens=5), row("p1", "B", tokens=8), row("p1", "C", tokens=8)),
        row("p1", "D", tokens=5),
    )
    choice = run(pool, strategy)
    assert [pool.rows[i].teacher for i in choice.positions] == list(teachers)
    assert choice.ties == 1


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("random", "another response to the prompt was drawn"),
        ("shortest", "another response to the prompt is shorter"),
        ("longest", "another response to the prompt is longer"),
    ],
)
def test_who_lost_and_why(strategy: str, reason: str) -> None:
    pool = pool_of(row("p0", "A", tokens=3), row("p0", "B", tokens=4))
    selection = select(pool, strategy=strategy)
    assert set(selection.reasons.values()) == {reason}
    assert (selection.metric, selection.window, selection.higher_is_better) == (None, None, None)
