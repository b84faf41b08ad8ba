"""Which teacher suits a student that vLLM runs, in a program: the same numbers, for large students.

Shows `score` with a `vllm.LLM` in the place of a transformers model; the tokenizer is vLLM's own.

    python examples/score_with_vllm.py --student MODEL --teacher_set my_teachers.yaml
    python examples/score_with_vllm.py --student MODEL --gpus 2
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.resources import files

from vllm import LLM

from lnat_plugins import load_teacher_set, score

TEACHERS = files("lnat_plugins.tasks") / "local_naturalness" / "local_naturalness.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank teachers for a student that vLLM runs.")
    parser.add_argument("--student", required=True, help="name or folder")
    parser.add_argument("--teacher_set", default=str(TEACHERS), help="default: the bundled one")
    parser.add_argument("--gpus", type=int, default=1, help="over which the student is divided")
    parser.add_argument(
        "--prompts", type=int, default=30, help="the first so many; default: %(default)s"
    )
    args = parser.parse_args()

    teacher_set = load_teacher_set(args.teacher_set)
    teacher_set = replace(teacher_set, prompts=teacher_set.prompts[: args.prompts])
    llm = LLM(model=args.student, tensor_parallel_size=args.gpus)

    scores = score(llm, None, teacher_set, windows=[4, "global"])
    print(scores.rank().to_markdown())
    print("read through:", scores.rows[0].record.path)


# vLLM starts processes that import this file.
if __name__ == "__main__":
    main()
