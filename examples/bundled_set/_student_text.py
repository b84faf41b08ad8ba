"""The text that the bundled student learns from: worked solutions, drills, and plain prose.

Knows nothing of models. None of the teachers' answers is in it: the problems are others (checked),
and of the five registers only the stepwise one occurs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from _families import CAST
from _more_families import FAMILIES
from _stepwise import solution
from _word_problems import OPERATIONS, expand, make_problem, sentence

DRILL_SHARE: Final = 0.12
PROSE_SHARE: Final = 0.08

_AMOUNT: Final = {"+": "sum", "-": "difference", "*": "product", "/": "quotient"}
_DRILL: Final = (
    "[We have|So|Here] {left} {op} {right} = {value}.",
    "The {amount} of {left} and {right} is {value}, because {left} {op} {right} = {value}.",
    "[How much|What] is {left} {op} {right}? It is {value}.",
)
_NOTES: Final = (
    "A word problem is a [short|small] story with numbers in it. [The|Its] question comes at the "
    "end, and the facts come before it.",
    "[Before|When] we begin to work on a problem, we read it [carefully|slowly] and think about "
    "what it is asking us to find.",
    "It is [useful|helpful|a good idea] to write down each number that we know, so that nothing "
    "is [left out|lost].",
    "To find a total, we add the parts. To find what is left, we take away what is gone.",
    "When there are equal groups, we can multiply the number of groups by the size of one group.",
    "When an amount is shared equally, we divide it by the number of shares.",
    "Each step should follow from the one before it, [and|so that] the last step gives the answer.",
    "A problem that looks [hard|long] is easy when it is [cut|broken] into smaller parts.",
    "[Mistakes|Careless mistakes] are easy to make when we are in a hurry, and so it is important "
    "to take our time.",
    "[In this way|As we can see], one fact after another is used, and we can be sure of the "
    "result that we have found.",
    "Of course, it is always important to keep track of the [units|numbers] as well.",
    "There is [often|sometimes] more than one way to solve a problem, and all of them lead to the "
    "same answer.",
)


class Document(NamedTuple):
    """One training text: a reply to `prompt`, or prose of its own where the prompt is empty."""

    prompt: str
    text: str


def _drill(rng: random.Random) -> str:
    said = []
    for _ in range(rng.randint(3, 6)):
        op = rng.choice("++--**/")
        left, right = rng.randint(10, 150), rng.randint(2, 60)
        if op in "*/":
            left, right = rng.randint(2, 30), rng.randint(2, 15)
        if op == "-" and left < right:
            left, right = right, left
        if op == "/":
            left *= right
        slots = {"left": left, "op": op, "right": right, "amount": _AMOUNT[op]}
        said.append(expand(rng.choice(_DRILL), slots | {"value": OPERATIONS[op](left, right)}, rng))
    return rng.choice((" ", "\n")).join(said)


def _prose(rng: random.Random) -> str:
    notes = rng.sample(_NOTES, rng.randint(2, 4))
    return rng.choice((" ", "\n\n")).join(sentence(expand(note, {}, rng)) for note in notes)


def documents(seed: int, unseen: frozenset[str]) -> Iterator[Document]:
    """Training texts without end; no prompt of theirs is in `unseen`."""
    rng = random.Random(f"student {seed}")
    while True:
        draw = rng.random()
        if draw < DRILL_SHARE:
            yield Document("", _drill(rng))
        elif draw < DRILL_SHARE + PROSE_SHARE:
            yield Document("", _prose(rng))
        else:
            problem = make_problem(rng.choice(FAMILIES), CAST, rng)
            if problem.prompt not in unseen:
                yield Document(problem.prompt, solution(problem, rng))
