"""Write the bundled teacher set: word problems answered by five teachers of known style.

Knows nothing of students or scores. The problems and the answers are made by rule, so the set is
a known-answer check: a student of the stepwise register should place the teachers in an order
that can be explained. It says nothing about real teachers.

    python examples/bundled_set/make_teacher_set.py \\
        --output_path tasks/local_naturalness/teachers.jsonl

One JSON object a line, long form: prompt_id, prompt, response, teacher, correct, answer.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from _families import CAST
from _more_families import FAMILIES
from _registers import leaps, padded, reflective, shuffled
from _stepwise import solution
from _word_problems import Problem, make_problem, slipped

PROMPTS: Final = 240
SEED: Final = 20251003


class Teacher(NamedTuple):
    """How a teacher writes, and how many of the 240 answers are wrong on purpose."""

    write: Callable[[Problem, random.Random], str]
    wrong: int


TEACHERS: Final[Mapping[str, Teacher]] = {
    "stepwise": Teacher(solution, 14),
    "reflective": Teacher(reflective, 12),
    "leaps": Teacher(leaps, 29),
    "shuffled": Teacher(shuffled, 19),
    "padded": Teacher(padded, 24),
}


def problems(count: int, seed: int) -> list[Problem]:
    """`count` problems with distinct prompts, the families taking turns."""
    rng = random.Random(f"problems {seed}")
    made: dict[str, Problem] = {}
    while len(made) < count:
        problem = make_problem(FAMILIES[len(made) % len(FAMILIES)], CAST, rng)
        made.setdefault(problem.prompt, problem)
    return list(made.values())


def rows(seed: int = SEED) -> Iterator[dict[str, object]]:
    """The set's rows, prompt by prompt, the teachers in a fixed order."""
    wrong = {
        name: set(random.Random(f"wrong {name} {seed}").sample(range(PROMPTS), teacher.wrong))
        for name, teacher in TEACHERS.items()
    }
    for index, problem in enumerate(problems(PROMPTS, seed)):
        for name, teacher in TEACHERS.items():
            # The shuffled teacher says what the stepwise one says: the order alone differs.
            voice = "stepwise" if name == "shuffled" else name
            rng = random.Random(f"{voice} {index} {seed}")
            correct = index not in wrong[name]
            worked = problem
            if not correct:
                worked = slipped(problem, random.Random(f"slip {name} {index} {seed}"))
            yield {
                "prompt_id": f"{problem.family}-{index:03d}",
                "prompt": problem.prompt,
                "response": teacher.write(worked, rng),
                "teacher": name,
                "correct": correct,
                "answer": problem.answer,
            }


def write(path: Path, seed: int = SEED) -> None:
    """Write the set; the same seed gives the same bytes on every system."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(lines).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the bundled teacher set.")
    parser.add_argument("--output_path", type=Path, required=True, help="the JSONL file to write")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    write(args.output_path, args.seed)
    print(f"{args.output_path}: {args.output_path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
