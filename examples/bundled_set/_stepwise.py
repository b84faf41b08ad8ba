"""The stepwise register: a solution as short sentences, each of which follows from the last.

Knows nothing of teachers and students; both the teacher `stepwise` and the bundled student's
training text are written here, from different problems.
"""

from __future__ import annotations

import random
from typing import Final

from _word_problems import Problem, Step, expand, sentence

FIRST: Final = "[First|To begin|To start]"
NEXT: Final = "[Next|Then|Now|After that]"
LAST: Final = "[Finally|Last|In the end]"
FINAL: Final = "[The answer is|So the answer is|The final answer is] {value}."
SEPARATORS: Final = (" ", " ", "\n", "\n\n")
_SHAPES: Final = (
    ("{link}, {why}, so {what} is {equation} {unit}.",),
    ("{link}, {why}.", "[That makes|This gives] {equation} {unit}."),
    ("{link}, {why}.", "So {what} is {equation} {unit}."),
    ("{link}, we find {what}: {equation} {unit}.",),
)
_FROM: Final = "[from|with|out of] the {left} {before} [we have|found so far]"


def step_slots(step: Step) -> dict[str, object]:
    """What a template may say about a step."""
    return {**vars(step), "equation": step.equation}


def sentences(problem: Problem, rng: random.Random) -> list[str]:
    """The solution in order, one or two sentences a step, without the final line."""
    said: list[str] = []
    for index, step in enumerate(problem.steps):
        link = NEXT if index else FIRST
        if index == len(problem.steps) - 1:
            link = LAST
        slots = step_slots(step)
        if index and step.uses[0] == index - 1 and rng.random() < 0.5:
            link += ", " + _FROM
            slots["before"] = problem.steps[index - 1].unit
        shape = rng.choice(_SHAPES)
        slots["link"] = expand(link, slots, rng)
        said += [sentence(expand(template, slots, rng)) for template in shape]
    return said


def final_line(problem: Problem, rng: random.Random) -> str:
    """The line that a reader, or a grader, looks for."""
    return expand(FINAL, {"value": problem.answer}, rng)


def join(said: list[str], final: str, separator: str) -> str:
    """One response: the sentences with `separator` between them, the final line on its own."""
    return separator.join(said) + (separator if "\n" in separator else "\n") + final


def solution(problem: Problem, rng: random.Random) -> str:
    """A whole stepwise response."""
    said = sentences(problem, rng)
    return join(said, final_line(problem, rng), rng.choice(SEPARATORS))
