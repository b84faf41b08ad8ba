"""The problems of the shipped study: three families, graded in length, with every exact step.

    python examples/study/families.py          # shows a problem of each family

Every step is one sum, so that teachers can write the steps of all families in the same ways. What
differs is where the terms come from: from a line far back (`recurrence`), from the digits of a
running total (`addition`), or from a table in the prompt (`walk`).

Which use a prompt may be put to is decided by a hash of its text. So no problem of a test is among
the teachers' rows, and none of either is in a text that students are pre-trained on.

Reads no file, and uses neither teachers nor students.
"""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

Part = Literal["pre-training", "teachers", "test"]

_PARTS: Final[Mapping[Part, Collection[int]]] = {
    "pre-training": (0, 1, 2, 3),
    "teachers": (4, 5, 6),
    "test": (7,),
}
ANSWER: Final = re.compile(r"Answer: (\d+)")
"""What a response states as its answer, in every register and family."""


class Step(NamedTuple):
    """One line of working: a sum.

    Attributes:
        lead: what the line begins with, read off the prompt; mostly "".
        terms: the digits that are added.
        result: their sum, as the family takes it.
        limit: results are below it.
    """

    lead: str
    terms: tuple[int, ...]
    result: int
    limit: int


Change = Callable[[Step], int]
"""A step -> what is written as its result; later steps build on it."""


def exact(step: Step) -> int:
    """The step's own result."""
    return step.result


class Problem(Protocol):
    """What a teacher is asked."""

    @property
    def prompt(self) -> str:
        """As students read it."""

    @property
    def length(self) -> int:
        """What problems are graded by."""

    def work(self, change: Change = exact) -> tuple[list[Step], int]:
        """The steps as they come out if results are changed, and the answer they lead to."""


LAG: Final = 6
LAST: Final = 9
LONGEST: Final = 48
"""Lines after which a recurrence with wrong sums is given up."""


@dataclass(frozen=True)
class Recurrence:
    """Digits x[t] = x[t-1] + x[t-6] mod 10; the answer is the one before the first 9.

    Attributes:
        given: the first six digits, none of them 9.
    """

    given: tuple[int, ...]

    @property
    def prompt(self) -> str:
        """As students read it."""
        return f"Go on from {''.join(map(str, self.given))} up to {LAST}."

    @property
    def length(self) -> int:
        """Lines of working."""
        return len(self.work()[0])

    def work(self, change: Change = exact) -> tuple[list[Step], int]:
        """One step a digit; with wrong sums at most `LONGEST`."""
        digits, steps = list(self.given), []
        while digits[-1] != LAST and len(steps) < LONGEST:
            terms = digits[-1], digits[-LAG]
            step = Step("", terms, sum(terms) % 10, 10)
            step = step._replace(result=change(step))
            steps.append(step)
            digits.append(step.result)
        return steps, digits[-2]


LABELS: Final = "ABCDEFGHIJKLMNOP"


@dataclass(frozen=True)
class Addition:
    """The sum of numbers of two digits, without its hundreds.

    Numbers are labelled by letters that follow each other, so that the next one can be found.

    Attributes:
        first: place of the first number's label in `LABELS`.
        numbers: at least two, each below 100.
    """

    first: int
    numbers: tuple[int, ...]

    @property
    def labelled(self) -> list[str]:
        """The numbers as they stand in the prompt, each behind its label."""
        labels = LABELS[self.first :]
        return [f"{label}{number:02d}" for label, number in zip(labels, self.numbers, strict=False)]

    @property
    def prompt(self) -> str:
        """As students read it."""
        return f"Add {','.join(self.labelled)}."

    @property
    def length(self) -> int:
        """Numbers added to the first."""
        return len(self.numbers) - 1

    def work(self, change: Change = exact) -> tuple[list[Step], int]:
        """Two steps a number: its ones, then its tens with what is carried over."""
        ones, tens = self.numbers[0] % 10, self.numbers[0] // 10
        steps = []
        for name, number in zip(self.labelled[1:], self.numbers[1:], strict=True):
            step = Step(f"{name}:", (ones, number % 10), ones + number % 10, 20)
            step = step._replace(result=change(step))
            steps.append(step)
            ones, carried = step.result % 10, step.result // 10
            terms = tens, number // 10, carried
            step = Step("", terms, sum(terms), 20)
            step = step._replace(result=change(step))
            steps.append(step)
            tens = step.result % 10
        return steps, 10 * tens + ones


ROOMS: Final = "ABCDEFGH"
EXIT: Final = "X"


@dataclass(frozen=True)
class Walk:
    """From room to room by a table, each way with a toll; the answer is the tolls' sum mod 10.

    A room is a capital where a way begins and a small letter where one ends, so that a way is found
    by its first sign.

    Attributes:
        start: a room.
        ways: room, toll, next room; in the order of the prompt. From the start they lead out.
    """

    start: str
    ways: tuple[tuple[str, int, str], ...]

    @property
    def prompt(self) -> str:
        """As students read it."""
        table = ",".join(f"{room}{toll}{target.lower()}" for room, toll, target in self.ways)
        return f"Walk {table} from {self.start}."

    @property
    def length(self) -> int:
        """Ways taken."""
        return len(self.work()[0])

    def work(self, change: Change = exact) -> tuple[list[Step], int]:
        """One step a way: which one it is, and the sum of the tolls so far."""
        table = {room: (toll, target) for room, toll, target in self.ways}
        room, total, steps = self.start, 0, []
        while room != EXIT:
            toll, target = table[room]
            terms = total, toll
            step = Step(f"{room}{toll}{target.lower()}:", terms, sum(terms) % 10, 10)
            step = step._replace(result=change(step))
            steps.append(step)
            room, total = target, step.result
        return steps, total


def _recurrence(length: int, rng: random.Random) -> Recurrence:
    while True:
        problem = Recurrence(tuple(rng.randrange(LAST) for _ in range(LAG)))
        # Not `length`: most have another one, and this stops at the first line too many.
        digits, lines = list(problem.given), 0
        while digits[-1] != LAST and lines <= length:
            digits.append((digits[-1] + digits[-LAG]) % 10)
            lines += 1
        if lines == length and digits[-1] == LAST:
            return problem


def _addition(length: int, rng: random.Random) -> Addition:
    first = rng.randint(0, len(LABELS) - length - 1)
    return Addition(first, tuple(rng.randrange(100) for _ in range(length + 1)))


def _walk(length: int, rng: random.Random) -> Walk:
    rooms = rng.sample(ROOMS, len(ROOMS))
    # Tables are of all sizes, so that students begin to look things up in the small ones.
    path, others = rooms[:length], rooms[length : rng.randint(length, len(rooms))]
    ways = [(room, rng.randrange(10), path[i + 1]) for i, room in enumerate(path[:-1])]
    ways.append((path[-1], rng.randrange(10), EXIT))
    # Rooms off the path lead anywhere, but never to themselves.
    targets = [*path, *others, EXIT]
    ways += [
        (room, rng.randrange(10), rng.choice([one for one in targets if one != room]))
        for room in others
    ]
    rng.shuffle(ways)
    return Walk(path[0], tuple(ways))


class Family(NamedTuple):
    """A kind of problem, and its lengths.

    Attributes:
        name: of the family.
        make: length -> a problem of it.
        known: lengths in the texts that students are pre-trained on.
        taught: lengths in the teachers' rows.
        tested: lengths of the test's problems, each as often as the others.
    """

    name: str
    make: Callable[[int, random.Random], Problem]
    known: Collection[int]
    taught: Collection[int]
    tested: Collection[int]


FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        Family("recurrence", _recurrence, range(1, 11), range(16, 45), range(6, 41)),
        Family("addition", _addition, range(1, 4), range(3, 9), range(2, 11)),
        Family("walk", _walk, range(1, 4), range(3, 9), range(2, 9)),
    )
}
"""Name -> family."""


def part_of(prompt: str) -> Part:
    """What a prompt may be used for."""
    place = zlib.crc32(prompt.encode()) % 8
    return next(part for part, places in _PARTS.items() if place in places)


def endless(
    family: Family, part: Part, lengths: Collection[int], rng: random.Random
) -> Iterator[Problem]:
    """Problems of that part, of lengths that are equally likely; one may come again."""
    choices = list(lengths)
    while True:
        length = rng.choice(choices)
        problem = family.make(length, rng)
        while part_of(problem.prompt) != part:
            problem = family.make(length, rng)
        yield problem


def problems(
    family: Family, part: Part, count: int, seed: int, lengths: Collection[int]
) -> list[Problem]:
    """Problems of that part with distinct prompts, every length as often as the others.

    The order is drawn, so that any first rows of it are of mixed lengths. The same seed gives the
    same problems on every system.
    """
    rng = random.Random(f"{family.name} {part} {seed}")
    choices = sorted(lengths)
    made: dict[str, Problem] = {}
    for length, wanted in Counter(choices[i % len(choices)] for i in range(count)).items():
        source = endless(family, part, [length], rng)
        before = len(made)
        while len(made) < before + wanted:
            problem = next(source)
            made.setdefault(problem.prompt, problem)
    return rng.sample(list(made.values()), count)


def main() -> None:
    for family in FAMILIES.values():
        problem = problems(family, "test", 1, 0, [min(family.taught)])[0]
        steps, answer = problem.work()
        print(f"{family.name}: {problem.prompt}")
        for step in steps:
            print(f"  {step.lead}{'+'.join(map(str, step.terms))}={step.result}")
        print(f"  Answer: {answer}")


if __name__ == "__main__":
    main()
