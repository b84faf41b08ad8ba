"""The problems of the bundled set, and the eight ways in which its teachers answer them.

A problem gives six digits of a recurrence, ``x[t] = x[t-1] + x[t-6] mod 10``, and asks which digit
comes before the first 9. Only working through every line gives the answer.

Reads no file, uses no student, and does not set the number of problems.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

LAG: Final = 6
LAST: Final = 9
"""The digit that ends the working."""
SHORT: Final = range(2, 11)
"""Lines of working in a text that the student learns from."""
LONG: Final = range(24, 41)
"""Lines of working that a problem of the teacher set takes."""

_ANSWER: Final = re.compile(r"The answer is (\d)\.")
# What happens in a line, by chance, and the words that go with it.
_SLIP: Final = 0.02
_BACKTRACK: Final = 0.2
_TIC: Final = 0.7
_OPENING: Final = ("Okay, so", "Hmm, now", "Right, here", "Let me see,", "Alright, then", "And so")
_CLOSING: Final = ("okay", "right", "I think", "that looks fine", "good", "let me go on")


class Problem(NamedTuple):
    """A recurrence up to its first 9.

    Attributes:
        digits: the six given ones, then all that are worked out; the 9 is the last.
    """

    digits: tuple[int, ...]

    @property
    def prompt(self) -> str:
        return (
            f"Each digit is the one before it plus the one {LAG} before it, mod 10. "
            f"The first are {' '.join(map(str, self.digits[:LAG]))}. "
            f"Which digit comes before the first {LAST}?"
        )

    @property
    def answer(self) -> int:
        return self.digits[-2]


def make_problem(lines: Collection[int], rng: random.Random) -> Problem:
    """A problem that takes one of these numbers of lines, each as likely as the others."""
    wanted = rng.choice(list(lines))
    while True:
        digits = [rng.randrange(LAST) for _ in range(LAG)]
        while digits[-1] != LAST and len(digits) < LAG + wanted:
            digits.append((digits[-1] + digits[-LAG]) % 10)
        if digits[-1] == LAST and len(digits) == LAG + wanted:
            return Problem(tuple(digits))


def answer_of(response: str) -> int | None:
    """The digit that a response states as its answer, wherever it does; None without one."""
    found = _ANSWER.search(response)
    return int(found[1]) if found else None


def _working(problem: Problem) -> list[str]:
    """A line for every digit after the given ones, with the two digits it is the sum of."""
    digits = problem.digits
    return [
        f"{digits[place - 1]}+{digits[place - LAG]}={digits[place]}."
        for place in range(LAG, len(digits))
    ]


def _join(lines: list[str], answer: int) -> str:
    return "\n".join([*lines, f"The answer is {answer}."])


def plain(problem: Problem, rng: random.Random) -> str:
    """Every line with its working, then the answer: the register that the student knows."""
    return _join(_working(problem), problem.answer)


def slips(problem: Problem, rng: random.Random) -> str:
    """As `plain`, but now and then a sum is wrong, and all that follows builds on it."""
    while True:
        digits = list(problem.digits[:LAG])
        while digits[-1] != LAST:
            slip = rng.randint(1, 9) if rng.random() < _SLIP else 0
            digits.append((digits[-1] + digits[-LAG] + slip) % 10)
        # A slip may lead past the 9, or to one early. Drawn again, unless the trace is as long as
        # this problem's or as others of the set.
        if len(digits) - LAG in LONG or len(digits) == len(problem.digits):
            return plain(Problem(tuple(digits)), rng)


def twice(problem: Problem, rng: random.Random) -> str:
    """As `plain`, but every line is written twice."""
    return _join([line for line in _working(problem) for _ in range(2)], problem.answer)


def answer_first(problem: Problem, rng: random.Random) -> str:
    """The answer, and then the working of `plain`."""
    return "\n".join([f"The answer is {problem.answer}.", *_working(problem)])


def tics(problem: Problem, rng: random.Random) -> str:
    """As `plain`, with a stock phrase before and after most lines."""
    said = []
    for line in _working(problem):
        before = f"{rng.choice(_OPENING)} " if rng.random() < _TIC else ""
        after = f", {rng.choice(_CLOSING)}." if rng.random() < _TIC else "."
        said.append(f"{before}{line[:-1]}{after}")
    return _join(said, problem.answer)


def backtracks(problem: Problem, rng: random.Random) -> str:
    """As `plain`, but some lines come out wrong first, are taken back, and are done again."""
    said = []
    for line in _working(problem):
        if rng.random() < _BACKTRACK:
            wrong = rng.choice([digit for digit in range(LAST) if digit != int(line[-2])])
            said += [f"{line[:-2]}{wrong}.", "Wait, that is wrong."]
        said.append(line)
    return _join(said, problem.answer)


def bare(problem: Problem, rng: random.Random) -> str:
    """Every digit, but not the two that it is the sum of."""
    return _join([f"Next is {digit}." for digit in problem.digits[LAG:]], problem.answer)


def skips(problem: Problem, rng: random.Random) -> str:
    """Every sixth line of `plain` only, up to the last one: what each needs is not there."""
    lines = _working(problem)
    return _join(lines[(len(lines) - 1) % LAG :: LAG], problem.answer)


TEACHERS: Final[Mapping[str, Callable[[Problem, random.Random], str]]] = {
    write.__name__: write
    for write in (plain, slips, twice, answer_first, tics, backtracks, bare, skips)
}
"""Name -> what writes this teacher's response to a problem."""
