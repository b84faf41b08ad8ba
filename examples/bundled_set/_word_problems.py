"""Multi-step word problems whose solution is a known chain of additions and other steps.

Knows nothing of teachers, students or files: it makes problems, not answers to them. The stories
stand in `_families`; a story is a start and a handful of moves, each of which tells one more
fact and changes the running amount. Everything is drawn from the `random.Random` handed in, so
the same seed gives the same problems.

Templates hold `{slots}` and `[this|or that]` choices.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

OPERATIONS: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}
LARGEST = 600
_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Move:
    """One more fact of a story, and what it does to the running amount.

    Attributes:
        op: how the number `{n}` changes the running amount.
        numbers: smallest and largest `{n}`.
        tell: the sentence of the prompt.
        why: the clause that gives the reason in a solution.
        what: the amount after the move, as a noun phrase.
        ask: the question, if the move is the last one.
        unit: what the amount counts afterwards.
        lots: range of `{m}`; where given, `m` lots of `n` are worked out first, as a step of
            their own (`lots_why`, `lots_what`), and it is their product that changes the amount.
        last: the move only makes sense at the end of a story.
    """

    op: str
    numbers: tuple[int, int]
    tell: str
    why: str
    what: str
    ask: str
    unit: str = "{things}"
    lots: tuple[int, int] | None = None
    lots_why: str = ""
    lots_what: str = ""
    last: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of story: the start fixes the first amount from `{m}` and `{n}`."""

    name: str
    slots: Mapping[str, tuple[str, ...]]
    start: Move
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class Step:
    """One calculation, `left op right = value`; `uses` are the steps that gave the operands."""

    left: int
    op: str
    right: int
    value: int
    unit: str
    why: str
    what: str
    uses: tuple[int | None, int | None] = (None, None)

    @property
    def equation(self) -> str:
        return f"{self.left} {self.op} {self.right} = {self.value}"


@dataclass(frozen=True)
class Problem:
    """A prompt and its solution, step by step; the last step's value is the answer."""

    family: str
    prompt: str
    steps: tuple[Step, ...]
    slots: Mapping[str, str] = field(repr=False)

    @property
    def answer(self) -> int:
        return self.steps[-1].value


def expand(template: str, slots: Mapping[str, object], rng: random.Random) -> str:
    """The template with its slots filled and one option taken for each `[a|b]`."""
    text = template
    while "[" in text:
        text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), text)
    return text.format_map(dict(slots))


def sentence(text: str) -> str:
    """The text with a capital at its start."""
    return text[0].upper() + text[1:]


def make_problem(family: Family, cast: tuple[tuple[str, str], ...], rng: random.Random) -> Problem:
    """A problem of 3 to 6 steps; `cast` are names with their pronouns ("she", "he")."""
    while True:
        problem = _attempt(family, cast, rng)
        if problem is not None:
            return problem


def _attempt(
    family: Family, cast: tuple[tuple[str, str], ...], rng: random.Random
) -> Problem | None:
    (name, pronoun), (other, _) = rng.sample(cast, 2)
    words = {key: rng.choice(options) for key, options in family.slots.items()}
    slots: dict[str, str] = {**words, "name": name, "other": other, "she": pronoun}
    slots |= {"She": pronoun.capitalize(), "her": "her" if pronoun == "she" else "his"}
    wanted = rng.randint(3, 6)
    steps: list[Step] = []
    told: list[str] = []
    todo = [move for move in family.moves if not move.last]
    rng.shuffle(todo)
    closers = [move for move in family.moves if move.last]
    while len(steps) < wanted:
        if not steps:
            move = family.start
        elif closers and wanted - len(steps) == 1 and rng.random() < 0.6:
            move = rng.choice(closers)
        elif todo:
            move = todo.pop()
        else:
            return None
        made = _play(move, steps, slots, rng)
        if made is None:
            continue
        new, text = made
        steps += new
        told.append(text)
    if len(steps) > 6:
        return None
    prompt = " ".join([*told, expand(move.ask, slots, rng)])
    return Problem(family.name, prompt, tuple(steps), slots)


def _play(
    move: Move, steps: list[Step], slots: Mapping[str, str], rng: random.Random
) -> tuple[list[Step], str] | None:
    """The steps and the prompt sentence of a move, or None where its numbers cannot work."""
    before = len(steps) - 1
    n = rng.randint(*move.numbers)
    m = rng.randint(*move.lots) if move.lots else 0
    filled = {**slots, "n": n, "m": m, "r": steps[-1].value if steps else 0}
    new: list[Step] = []

    def step(left: int, op: str, right: int, why: str, what: str, *uses: int | None) -> Step:
        value = OPERATIONS[op](left, right)
        parts = (expand(part, filled, rng) for part in (move.unit, why, what))
        unit, reason, amount = parts
        return Step(left, op, right, value, unit, reason, amount, (uses[0], uses[1]))

    if not steps:
        new.append(step(m, move.op, n, move.why, move.what, None, None))
    elif move.lots:
        side = step(m, "*", n, move.lots_why, move.lots_what, None, None)
        new += [side]
        new += [step(steps[-1].value, move.op, side.value, move.why, move.what, before, before + 1)]
    else:
        if move.op == "/" and steps[-1].value % n:
            return None
        new.append(step(steps[-1].value, move.op, n, move.why, move.what, before, None))
    if not all(2 <= made.value <= LARGEST for made in new):
        return None
    return new, sentence(expand(move.tell, filled, rng))


def slipped(problem: Problem, rng: random.Random) -> Problem:
    """The same problem worked out with one slip of arithmetic, carried through to a wrong answer.

    The slip is made after the last division, so that every number stays whole.
    """
    divisions = [index for index, step in enumerate(problem.steps) if step.op == "/"]
    first = max(divisions, default=0)
    while True:
        at = rng.randint(first, len(problem.steps) - 1)
        shift = rng.choice((-10, -3, -2, -1, 1, 2, 3, 10))
        steps: list[Step] = []
        for index, step in enumerate(problem.steps):
            left, right = (
                steps[use].value if use is not None else given
                for use, given in zip(step.uses, (step.left, step.right), strict=True)
            )
            value = OPERATIONS[step.op](left, right) + (shift if index == at else 0)
            steps.append(replace(step, left=left, right=right, value=value))
        if steps[-1].value != problem.answer and min(made.value for made in steps) > 1:
            return replace(problem, steps=tuple(steps))
