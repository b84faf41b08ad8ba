"""What `choose` refuses: selections of nothing, and strategies that give no valid choice."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Choice, Strategy, choose
from lnat_plugins.selection.strategies import STRATEGIES
from tests.selection.builders import LOWER, FakeStudent, pool_of, row, select, spec_of, table

POOL = table({"A": [-1.0, -1.0], "B": [-1.25, -3.0]})
WRONG = pool_of(
    row("p0", "A", correct=False), row("p0", "B", correct=False), row("p0", "C", text="x" * 99)
)
LONG = pool_of(row("p0", "A", tokens=10), row("p0", "B", tokens=11))
UNDEFINED = table({"A": [math.nan], "B": [math.nan]})
EMPTY = "sft.yaml: selection: the selection would be empty "


@pytest.mark.parametrize(
    ("pool", "block", "counts", "scored"),
    [
        (
            WRONG,
            {"require_correct": True},
            "(2 rows: `correct` is false; 1 row: `correct` is not given)",
            0,
        ),
        (LONG, {"max_length": 14}, "(2 rows: longer than max_length)", 0),
        (WRONG, {"max_length": 14}, "(3 rows: longer than max_length: 15 tokens)", 0),
        (UNDEFINED, {}, "(2 rows: the score is undefined: too long)", 1),
        (POOL, {"min_margin": 2.5}, "(4 rows: below min_margin)", 1),
        (
            POOL,
            {"min_margin": 1, "strategy": "threshold", "threshold": 0},
            "(2 rows: below min_margin: the best row leads by 0.25; "
            "2 rows: short of the threshold: the best score is -1)",
            1,
        ),
        (
            POOL,
            {"strategy": "threshold", "threshold": 0.5, "metric": LOWER.name},
            "(4 rows: short of the threshold: the best score is 1)",
            1,
        ),
    ],
)
def test_an_empty_selection_says_what_took_the_rows(
    pool: Any, block: dict[str, Any], counts: str, scored: int
) -> None:
    student = FakeStudent()
    with pytest.raises(DataError) as caught:
        select(pool, student, **block)
    assert str(caught.value) == EMPTY + counts + ". Loosen what took most of them."
    assert len(student.scored) == scored


def test_a_pool_that_does_not_say_what_is_correct_is_refused_at_once() -> None:
    student = FakeStudent()
    with pytest.raises(ConfigError, match=r"^sft\.yaml: selection: `require_correct` needs a col"):
        select(POOL, student, require_correct=True)
    assert student == FakeStudent()


def chosen_by(choice: Choice) -> Strategy:
    return replace(STRATEGIES["best"], name="mine", choose=lambda contest: choice)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        (Choice((0, 4)), "a position outside of 0 to 3"),
        (Choice((-1,)), "a position outside of 0 to 3"),
        (Choice((1, 1)), "a position twice"),
        (Choice((0, 1), {0: 1.0}), "weights for other rows than the chosen ones"),
        (Choice((0,), {0: 1.0, 1: 1.0}), "weights for other rows than the chosen ones"),
        (Choice((0,), {0: -0.5}), "a weight that is negative or not finite"),
        (Choice((0,), {0: math.nan}), "a weight that is negative or not finite"),
    ],
)
def test_an_answer_that_is_no_choice_is_refused(choice: Choice, complaint: str) -> None:
    spec = replace(spec_of(), strategy=chosen_by(choice))
    with pytest.raises(ConfigError) as caught:
        choose(POOL, FakeStudent(), spec)
    assert str(caught.value) == (
        f"sft.yaml: selection: strategy 'mine' gave no valid choice: {complaint}. "
        "Mend the plugin that brings the strategy."
    )


def test_a_strategy_of_someone_else_s_gives_its_own_reasons() -> None:
    choice = Choice((3, 0), {0: 2.0, 3: 0.5}, {1: "too sad: very"}, ties=4)
    selection = choose(POOL, FakeStudent(), replace(spec_of(), strategy=chosen_by(choice)))
    assert (selection.indices, selection.weights) == ((0, 3), (2.0, 0.5))
    assert selection.reasons == {
        1: "too sad: very",
        2: "another response to the prompt scored better",
    }
    assert selection.ties == 4


def test_a_strategy_that_chooses_nothing_leaves_its_reasons() -> None:
    spec = replace(spec_of(), strategy=chosen_by(Choice(())))
    with pytest.raises(DataError, match="4 rows: another response to the prompt scored better"):
        choose(POOL, FakeStudent(), spec)
