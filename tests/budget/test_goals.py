"""When a goal is settled by statements "i is better than j"."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lnat_plugins.budget.goals import Goal, parse_goal, settle
from lnat_plugins.errors import ConfigError


def stated(teachers: int, *pairs: tuple[int, int]) -> np.ndarray:
    better = np.zeros((teachers, teachers), dtype=bool)
    for i, j in pairs:
        better[i, j] = True
    return better


@pytest.mark.parametrize(
    ("top", "pairs", "inside", "outside"),
    [
        (1, [(0, 1)], [], [1]),
        (1, [(0, 1), (0, 2), (0, 3)], [0], [1, 2, 3]),
        (1, [(0, 1), (1, 2), (2, 3)], [0], [1, 2, 3]),
        (2, [(0, 3), (1, 3)], [], [3]),
        (2, [(0, 2), (0, 3)], [0], []),
        (2, [(0, 2), (0, 3), (1, 3), (1, 2)], [0, 1], [2, 3]),
        (2, [(0, 2), (0, 3), (1, 2), (1, 3), (0, 1)], [0, 1], [2, 3]),
        (3, [(0, 3), (1, 3), (2, 3)], [0, 1, 2], [3]),
        (None, [(0, 1), (0, 2), (0, 3), (1, 2)], [0], [0]),
    ],
)
def test_who_is_in_and_who_is_out(
    top: int | None, pairs: list[tuple[int, int]], inside: list[int], outside: list[int]
) -> None:
    in_T, out_T = settle(Goal(top), stated(4, *pairs), np.ones(4, dtype=bool), 0)
    assert (np.flatnonzero(in_T).tolist(), np.flatnonzero(out_T).tolist()) == (inside, outside)


def test_with_one_in_the_others_race_for_the_places_left() -> None:
    open_T = np.array([False, True, True, True])
    in_T, out_T = settle(Goal(2), stated(4, (0, 1), (2, 3), (2, 1)), open_T, 1)
    assert (np.flatnonzero(in_T).tolist(), np.flatnonzero(out_T).tolist()) == ([2], [1, 3])


@pytest.mark.parametrize("top", [1, 2, 3])
def test_only_wrong_statements_across_the_border_mislead(top: int) -> None:
    """Every set of true statements of 4 teachers, with true order 0, 1, 2, 3, and any statements
    among the members or among the others."""
    true = list(itertools.combinations(range(4), 2))
    inner = [(j, i) for i, j in true if (i < top) == (j < top)]
    for kept in itertools.product([False, True], repeat=len(true)):
        for turned in itertools.product([False, True], repeat=len(inner)):
            pairs = [pair for pair, keep in zip(true, kept, strict=True) if keep]
            wrong = [pair for pair, turn in zip(inner, turned, strict=True) if turn]
            pairs = [(i, j) for i, j in pairs if (j, i) not in wrong] + wrong
            in_T, out_T = settle(Goal(top), stated(4, *pairs), np.ones(4, dtype=bool), 0)
            assert not in_T[top:].any() and not out_T[:top].any()


def test_how_many_comparisons_share_the_error() -> None:
    assert [parse_goal(goal, 5).comparisons(5) for goal in ("best", 1, 2, 4, "order")] == [
        4, 4, 6, 4, 10,
    ]  # fmt: skip
    assert [parse_goal(goal, 5).name for goal in ("best", 2, "order")] == ["best", "top 2", "order"]


@pytest.mark.parametrize(
    ("goal", "teachers", "match"),
    [
        ("bets", 3, "no such goal"),
        (True, 3, "no such goal"),
        (3, 3, "3 teachers have no best 3.*1 to 2"),
        (0, 3, "no best 0"),
        ("best", 1, "two teachers"),
    ],
)
def test_goals_that_cannot_be(goal: str | int, teachers: int, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        parse_goal(goal, teachers)
