"""Four more registers in which a teacher may answer: reflective, leaps, shuffled, padded.

Knows nothing of files, of students, or of which answers are wrong: it writes down the problem
that it is given.
"""

from __future__ import annotations

import random
from typing import Final

from _stepwise import SEPARATORS, final_line, join, sentences, step_slots
from _word_problems import Problem, expand, sentence

_THINK_OPEN: Final = (
    "Okay, let me think about this. I need to find {goal}.",
    "Alright, so the question is about {goal}. Let me read it again.",
    "Hmm, let me see. They want {goal}, so I should go slowly here.",
)
_THINK_STEP: Final = (
    "Okay, {why}. So that should be {equation} {unit}.",
    "Hmm, {why}, right? Then {what} would be {equation} {unit}.",
    "So {why}, I think. That means {equation} {unit}.",
)
_THINK_DOUBT: Final = (
    "Wait, let me check that. {left} {op} {right}, that is {value}. Yes, {value} is right.",
    "Hold on, is it really {value}? {left} {op} {right}... yes, {value}.",
    "Wait, did I misread something? No, {why}. So {value} stands.",
    "Actually, maybe I should redo it. {equation}. Okay, same result.",
)
_THINK_AGAIN: Final = (
    "Let me double-check everything from the start.",
    "Before I answer, let me go over all of it once more.",
)
_THINK_RECALL: Final = ("{equation}, okay.", "{what} is {value}, yes.", "{equation} {unit}, good.")
_THINK_CLOSE: Final = (
    "So I am fairly confident that it is {value}.",
    "Alright, everything fits, so it must be {value}.",
)
_LEAP: Final = ("{what} is {value}.", "that makes {value} {unit}.", "{value} {unit} here.")
_LEAP_LAST: Final = ("clearly {what} is {value}.", "so it comes to {value} {unit}.", "")
_PAD_OPEN: Final = (
    "This is a [good|nice|typical] example of a word problem, and it is always [important|useful] "
    "to read such a problem carefully before we begin to work on it.",
    "In order to [solve|answer] a problem like this one, it is helpful to look at each piece of "
    "information in turn and to think about what it means.",
)
_PAD: Final = (
    "It is important to take our time here, because [small|careless] mistakes are easy to make "
    "when we are in a hurry.",
    "This is a [very common|simple but important] kind of step, and it is one that we will see "
    "again and again in problems like this one.",
    "As we can see, breaking the problem into smaller parts makes it much easier to [understand|"
    "follow] what is going on.",
    "Of course, it is always a good idea to keep track of the numbers that we have found so far.",
    "At this point, it is worth remembering what the question is asking us to find.",
    "In this way, we can be sure that nothing in the problem has been left out.",
)
_PAD_CLOSE: Final = (
    "We have now used all of the information in the problem, and so we can be confident in the "
    "result that we have found.",
    "As this example shows, a problem that looks long at first is easy to solve when we take it "
    "one step at a time.",
)


def reflective(problem: Problem, rng: random.Random) -> str:
    """A long trace inside think tags: hesitations, checks of results, a second pass, the answer."""
    last = problem.steps[-1]
    lines = [expand(rng.choice(_THINK_OPEN), {"goal": last.what}, rng)]
    doubtful = set(rng.sample(range(len(problem.steps)), rng.randint(2, 3)))
    for index, step in enumerate(problem.steps):
        slots = step_slots(step)
        line = expand(rng.choice(_THINK_STEP), slots, rng)
        if index in doubtful:
            line += " " + expand(rng.choice(_THINK_DOUBT), slots, rng)
        lines.append(line)
    recall = rng.choice(_THINK_RECALL)
    again = [sentence(expand(recall, step_slots(step), rng)) for step in problem.steps]
    lines.append(" ".join([rng.choice(_THINK_AGAIN), *again]))
    lines.append(expand(rng.choice(_THINK_CLOSE), step_slots(last), rng))
    body = rng.choice(("\n", "\n\n")).join(lines)
    return f"<think>\n{body}\n</think>\n\n{final_line(problem, rng)}"


def leaps(problem: Problem, rng: random.Random) -> str:
    """At most two amounts stated without a reason, then the answer."""
    inner = problem.steps[:-1]
    shown = sorted(rng.sample(range(len(inner)), rng.randint(0, 2)))
    said = [expand(rng.choice(_LEAP), step_slots(inner[index]), rng) for index in shown]
    said.append(expand(rng.choice(_LEAP_LAST), step_slots(problem.steps[-1]), rng))
    said.append(final_line(problem, rng))
    return rng.choice((" ", "\n")).join(sentence(part) for part in said if part)


def shuffled(problem: Problem, rng: random.Random) -> str:
    """The sentences of the stepwise solution in another order; the final line stays the last.

    Draws from `rng` first as `_stepwise.solution` does, so that the same seed gives the same
    sentences as that teacher's.
    """
    said = sentences(problem, rng)
    final = final_line(problem, rng)
    separator = rng.choice(SEPARATORS)
    order = list(said)
    while sum(a == b for a, b in zip(order, said, strict=True)) > 1:
        rng.shuffle(order)
    return join(order, final, separator)


def padded(problem: Problem, rng: random.Random) -> str:
    """The solution with a stock sentence before, after and between its steps."""
    fillers = rng.sample(_PAD, len(_PAD))
    said = [rng.choice(_PAD_OPEN)]
    for index, step in enumerate(problem.steps):
        slots = step_slots(step)
        if index and rng.random() < 0.7:
            said.append(fillers.pop())
        shape = rng.choice(
            (
                "We know that {why}, and therefore {what} is {equation} {unit}.",
                "Because {why}, we can work out {what}, and it is {equation} {unit}.",
            )
        )
        said.append(expand(shape, slots, rng))
    said.append(rng.choice(_PAD_CLOSE))
    text = " ".join(expand(part, {}, rng) for part in said)
    return f"{text}\n\n{final_line(problem, rng)}"
