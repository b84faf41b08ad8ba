"""What a race is to settle: the best teacher, the k best, or the whole order.

A statement "i is better than j" may be wrong with some probability; how many of the wrong
statements could mislead the goal decides how the error is shared (union bound):

- the k best of T: k(T - k). A teacher is out once k others are better, and in once it is better
  than all but k - 1 others. A true member that is out has at least one non-member stated better; a
  non-member that is in is stated better than at least one member. Both need one of the k(T - k)
  wrong statements "a non-member is better than a member". After somebody is in or out the same
  holds of those that remain, with the places that are left.
- the order: T(T - 1) / 2, one wrong direction for each pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lnat_plugins.budget.contrasts import Bools
from lnat_plugins.errors import ConfigError

BEST = "best"
ORDER = "order"


@dataclass(frozen=True)
class Goal:
    """`top` teachers are sought; None: the order of all."""

    top: int | None

    def comparisons(self, teachers: int) -> int:
        """How many wrong statements share the error."""
        return (
            teachers * (teachers - 1) // 2 if self.top is None else self.top * (teachers - self.top)
        )

    @property
    def name(self) -> str:
        """As settings write it."""
        return ORDER if self.top is None else BEST if self.top == 1 else f"top {self.top}"


def parse_goal(goal: str | int, teachers: int) -> Goal:
    """Read "best", "order" or a number of teachers.

    Raises ConfigError for something else, or a number that leaves nothing to choose.
    """
    if goal == ORDER:
        return Goal(None)
    top = 1 if goal == BEST else goal
    if isinstance(top, bool) or not isinstance(top, int):
        raise ConfigError(
            "no such goal of a budget", found=goal, remedy="give best, order, or top: a number"
        )
    if not 0 < top < teachers:
        raise ConfigError(
            f"{teachers} teachers have no best {top}", found=top,
            remedy="name two teachers or more" if teachers < 2 else f"give 1 to {teachers - 1}",
        )  # fmt: skip
    return Goal(top)


def settle(goal: Goal, better_TT: Bools, open_T: Bools, chosen: int) -> tuple[Bools, Bools]:
    """Which of the open teachers are now in, and which are out.

    For the order both are the same: the teachers whose place among all others is stated.

    Args:
        better_TT: whether "i is better than j" was stated.
        open_T: the teachers that are neither in nor out.
        chosen: how many are in.
    """
    if goal.top is None:
        placed_T = open_T & ((better_TT | better_TT.T).sum(axis=1) == len(open_T) - 1)
        return placed_T, placed_T
    in_T, out_T = np.zeros_like(open_T), np.zeros_like(open_T)
    while True:
        left_T = open_T & ~in_T & ~out_T
        places, left = goal.top - chosen - int(in_T.sum()), int(left_T.sum())
        if places <= 0 or left <= places:
            (out_T if places <= 0 else in_T)[left_T] = True
            return in_T, out_T
        among_TT = better_TT & left_T[:, None] & left_T
        now_out_T = left_T & (among_TT.sum(axis=0) >= places)
        now_in_T = left_T & ~now_out_T & (among_TT.sum(axis=1) >= left - places)
        if not (now_out_T | now_in_T).any():
            return in_T, out_T
        in_T |= now_in_T
        out_T |= now_out_T
