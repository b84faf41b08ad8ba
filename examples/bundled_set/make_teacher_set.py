"""Write the bundled teacher set: problems of one recurrence, answered by eight teachers.

Knows nothing of students or scores. What each teacher writes stands in `_recurrence`; how well a
student does that was trained on it is measured by `measure_teachers.py`.

    python examples/bundled_set/make_teacher_set.py \\
        --output_path tasks/local_naturalness/teachers.jsonl

One JSON object a line, long form: prompt_id, prompt, response, teacher, correct, answer.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from _recurrence import LONG, TEACHERS, Problem, answer_of, make_problem

PROMPTS: Final = 200
SEED: Final = 20251003


def problems(
    count: int, seed: int | str, lines: Collection[int] = LONG, unseen: Collection[str] = ()
) -> list[Problem]:
    """`count` problems with distinct prompts, none of which is in `unseen`."""
    rng = random.Random(f"problems {seed}")
    made: dict[str, Problem] = {}
    while len(made) < count:
        problem = make_problem(lines, rng)
        if problem.prompt not in unseen:
            made.setdefault(problem.prompt, problem)
    return list(made.values())


def rows(seed: int = SEED) -> Iterator[dict[str, object]]:
    """The set's rows, prompt by prompt, the teachers in a fixed order."""
    for index, problem in enumerate(problems(PROMPTS, seed)):
        for teacher, write in TEACHERS.items():
            response = write(problem, random.Random(f"{teacher} {index} {seed}"))
            yield {
                "prompt_id": f"{index:03d}",
                "prompt": problem.prompt,
                "response": response,
                "teacher": teacher,
                "correct": answer_of(response) == problem.answer,
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
