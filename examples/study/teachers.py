"""Twenty teachers of the shipped study: ways to answer a problem that differ in one thing each.

    python examples/study/teachers.py          # shows one answer of each

All but `plain` are `plain` with one change, and all families are answered in the same twenty ways.
Every response states its answer by "Answer: ...". Where the steps are wrong, so may be the answer.

Reads no file, and uses neither students nor scores.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from families import ANSWER, FAMILIES, LONGEST, Change, Family, Problem, Step, exact, problems

REMARKS: Final = ("So far so good.", "On to the next one.", "That was easy.", "One more line.")
"""What students have read between lines of working."""

_OPENING: Final = ("Okay, so", "Hmm, now", "Right, here", "Let me see,", "Alright, then")
_CLOSING: Final = ("okay", "I think", "that looks fine", "good", "let me continue")
_RARELY: Final = 0.05
_SOMETIMES: Final = 0.2
_OFTEN: Final = 0.3
_MOSTLY: Final = 0.7
_MISTAKEN: Final = 7
_SAME_LENGTH: Final = 0.25  # of the exact working's lines; see `slips`
_TRIES: Final = 300

Write = Callable[[Problem, Family, random.Random], str]


class Teacher(NamedTuple):
    """A way of answering.

    Attributes:
        write: (problem, its family, randomness) -> the response.
        about: what it is, and what it is there for.
    """

    write: Write
    about: str


def line(step: Step) -> str:
    """A step in the register that students know."""
    return f"{step.lead}{'+'.join(map(str, step.terms))}={step.result}."


def working(problem: Problem, change: Change = exact) -> tuple[list[str], int]:
    """The known register's lines, and the answer they lead to."""
    steps, answer = problem.work(change)
    return [line(step) for step in steps], answer


def join(lines: list[str], answer: int) -> str:
    """Lines, and the answer behind them."""
    return "\n".join([*lines, f"Answer: {answer}."])


def answer_of(response: str) -> int | None:
    """The number that a response states as its answer; None without one."""
    found = ANSWER.search(response)
    return int(found[1]) if found else None


def plain(problem: Problem, family: Family, rng: random.Random) -> str:
    return join(*working(problem))


def leaps(size: int) -> Write:
    """Every line of that number only, up to the last."""

    def write(problem: Problem, family: Family, rng: random.Random) -> str:
        lines, answer = working(problem)
        return join(lines[(len(lines) - 1) % size :: size], answer)

    return write


def foreign(problem: Problem, family: Family, rng: random.Random) -> str:
    steps, answer = problem.work()
    return join(
        [f"{s.lead}{' cu '.join(map(str, s.terms))} fit {s.result}." for s in steps], answer
    )


def notation(problem: Problem, family: Family, rng: random.Random) -> str:
    steps, answer = problem.work()
    return join([f"{s.lead}{'+'.join(map(str, s.terms))}~{s.result};" for s in steps], answer)


def shuffled(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    return join(rng.sample(lines, len(lines)), answer)


def answer_first(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    return "\n".join([f"Answer: {answer}.", *lines])


def padded(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    return join(with_remarks(lines, _OFTEN, rng), answer)


def with_remarks(lines: list[str], share: float, rng: random.Random) -> list[str]:
    """Lines, each with that chance of a known remark behind it."""
    said = []
    for one in lines:
        said += [one, rng.choice(REMARKS)] if rng.random() < share else [one]
    return said


def tics(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    said = []
    for one in lines:
        before = f"{rng.choice(_OPENING)} " if rng.random() < _MOSTLY else ""
        after = f", {rng.choice(_CLOSING)}." if rng.random() < _MOSTLY else "."
        said.append(f"{before}{one[:-1]}{after}")
    return join(said, answer)


def checks(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    said = []
    for one in lines:
        said += [one, f"Check: {one}"] if rng.random() < _OFTEN else [one]
    return join(said, answer)


def backtracks(problem: Problem, family: Family, rng: random.Random) -> str:
    steps, answer = problem.work()
    said = []
    for step in steps:
        if rng.random() < _SOMETIMES:
            said += [line(step._replace(result=_other(step, rng))), "No, again."]
        said.append(line(step))
    return join(said, answer)


def numbered(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    return join([f"{number}){one}" for number, one in enumerate(lines, start=1)], answer)


def _other(step: Step, rng: random.Random) -> int:
    """Any result but the step's own."""
    return (step.result + rng.randrange(1, step.limit)) % step.limit


def slips(share: float) -> Write:
    """Steps that are wrong with that chance; the others are right in what they build on.

    In a recurrence a wrong digit moves the end. What is wrong is drawn again until the working is
    about as long as the exact one, so that teachers with slips do not write less than others; which
    lines are wrong is not, so that their share stays as it is.
    """

    def write(problem: Problem, family: Family, rng: random.Random) -> str:
        n_exact = len(problem.work()[0])
        places = {place for place in range(2 * LONGEST) if rng.random() < share}
        drawn = []
        for _ in range(_TRIES):
            count = itertools.count()
            lines, answer = working(
                problem, lambda s, n=count: _other(s, rng) if next(n) in places else s.result
            )
            drawn.append((abs(len(lines) - n_exact), lines, answer))
            if drawn[-1][0] <= _SAME_LENGTH * n_exact:
                break
        _, lines, answer = min(drawn, key=lambda one: one[0])
        return join(lines, answer)

    return write


def mistaken(step: Step) -> int:
    """The result by a rule that is always wrong in the same way: 7 and anything is one more."""
    return (step.result + (step.terms[0] == _MISTAKEN)) % step.limit


def wrong_rule(problem: Problem, family: Family, rng: random.Random) -> str:
    return join(*working(problem, mistaken))


def twice(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    return join([*lines, "Again.", *lines], answer)


def twice_wrong(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem, mistaken)
    return join([*lines, "Again.", *lines], answer)


def answer_only(problem: Problem, family: Family, rng: random.Random) -> str:
    return join([], problem.work()[1])


def restated(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, answer = working(problem)
    return join([problem.prompt, *lines], answer)


def other_problem(problem: Problem, family: Family, rng: random.Random) -> str:
    lines, _ = working(family.make(problem.length, rng))
    return join(lines, problem.work()[1])


TEACHERS: Final[Mapping[str, Teacher]] = {
    "plain": Teacher(plain, "every step as students know it; what all others are held against"),
    "leap2": Teacher(leaps(2), "every second step; half of what is needed is not there"),
    "leap4": Teacher(leaps(4), "every fourth step; hardly any line follows from what is there"),
    "foreign": Teacher(foreign, "foreign words, all steps; foreign but instructive"),
    "notation": Teacher(notation, "two unknown signs in every line; unnatural and instructive"),
    "shuffled": Teacher(shuffled, "all lines in a drawn order; natural lines that lead nowhere"),
    "answer_first": Teacher(answer_first, "the answer, then the steps; known to fool scores"),
    "padded": Teacher(padded, "known remarks behind 30 % of lines; predictable, says nothing"),
    "tics": Teacher(tics, "unknown phrases around most lines; unnatural, says nothing"),
    "restated": Teacher(restated, "the prompt, copied, before the working"),
    "checks": Teacher(checks, "30 % of lines are checked by repeating them"),
    "backtracks": Teacher(backtracks, "20 % of steps come out wrong, are taken back and redone"),
    "numbered": Teacher(numbered, "a number before every line"),
    "slips5": Teacher(slips(_RARELY), "5 % of steps are wrong, the rest goes on from there"),
    "slips30": Teacher(slips(_OFTEN), "30 % of steps are wrong, the rest goes on from there"),
    "wrong_rule": Teacher(wrong_rule, "7 and anything is one too many, always"),
    "twice": Teacher(twice, "the whole working twice; the second time can be copied"),
    "twice_wrong": Teacher(twice_wrong, "as twice, by the wrong rule: harm that looks predictable"),
    "answer_only": Teacher(answer_only, "no working; short, and nothing to learn from"),
    "other_problem": Teacher(
        other_problem, "exact working of another problem, this one's answer; fluent but empty"
    ),
}
"""Name -> teacher."""


def respond(teacher: str, problem: Problem, family: Family, seed: int) -> str:
    """The teacher's response; the same seed gives the same one."""
    rng = random.Random(f"{teacher} {problem.prompt} {seed}")
    return TEACHERS[teacher].write(problem, family, rng)


def main() -> None:
    for family in FAMILIES.values():
        problem = problems(family, "teachers", 1, 0, [min(family.taught)])[0]
        print(f"== {family.name}: {problem.prompt}")
        for name, teacher in TEACHERS.items():
            print(f"\n-- {name}: {teacher.about}\n{respond(name, problem, family, 0)}")


if __name__ == "__main__":
    main()
