"""Which teacher suits the student, in a program or a notebook: score, rank, look, choose.

Shows `load_teacher_set` and `score`, which need no host: the same numbers as lm-eval's, as a
ranking, as a pandas table, and as rows to train on.

    python examples/rank_teachers.py
    python examples/rank_teachers.py --student MODEL --teacher_set my_teachers.yaml --prompts 200

Without arguments, the student and the teacher set are those that come with the package.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.resources import files

from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins import load_teacher_set, score

STUDENT = files("lnat_plugins") / "student"
TEACHERS = files("lnat_plugins.tasks") / "local_naturalness" / "local_naturalness.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank teachers for a student.")
    parser.add_argument("--student", default=str(STUDENT), help="default: the bundled one")
    parser.add_argument("--teacher_set", default=str(TEACHERS), help="default: the bundled one")
    parser.add_argument(
        "--prompts", type=int, default=30, help="the first so many; default: %(default)s"
    )
    args = parser.parse_args()

    teacher_set = load_teacher_set(args.teacher_set)
    teacher_set = replace(teacher_set, prompts=teacher_set.prompts[: args.prompts])
    model = AutoModelForCausalLM.from_pretrained(args.student, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(args.student)

    scores = score(model, tokenizer, teacher_set, windows=[4, "global"])

    # Teachers in order, with intervals and controls, as `lnat rank` prints them.
    ranking = scores.rank()
    print(ranking.to_markdown())

    # A row a response, every metric a column: here the two scores and the length, by teacher.
    columns = ["local_naturalness[4]", "global_naturalness", "n_tokens"]
    print(scores.to_pandas().groupby("teacher")[columns].mean().round(3), end="\n\n")

    # Of each prompt's responses the best one. Its texts stand in `scores.rows`.
    chosen = scores.select("best")
    first = scores.rows[chosen.indices[0]]
    print("ranks first:", ranking.teachers[0].teacher)
    print("rows chosen:", chosen.chosen_by_teacher)
    print(f"the first of them, by {first.teacher}: {first.text[:60]!r}")


if __name__ == "__main__":
    main()
