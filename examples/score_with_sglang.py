"""Which teacher suits a student that an SGLang server holds, in a program.

Shows `score` with an `SglangServer` in the place of a transformers model.

    python -m sglang.launch_server --model-path MODEL
    python examples/score_with_sglang.py --teacher_set my_teachers.yaml
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.resources import files

from transformers import AutoTokenizer

from lnat_plugins import SglangServer, load_teacher_set, score

TEACHERS = files("lnat_plugins.tasks") / "local_naturalness" / "local_naturalness.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank teachers for a student in SGLang.")
    parser.add_argument("--url", default="http://localhost:30000", help="default: %(default)s")
    parser.add_argument("--tokenizer", help="name or folder; by default the server's model")
    parser.add_argument("--teacher_set", default=str(TEACHERS), help="default: the bundled one")
    parser.add_argument(
        "--prompts", type=int, default=30, help="the first so many; default: %(default)s"
    )
    args = parser.parse_args()

    server = SglangServer(args.url)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or server.name)
    teacher_set = load_teacher_set(args.teacher_set)
    teacher_set = replace(teacher_set, prompts=teacher_set.prompts[: args.prompts])

    scores = score(server, tokenizer, teacher_set, windows=[4, "global"])
    print(scores.rank().to_markdown())
    print("read through:", scores.rows[0].record.path)


if __name__ == "__main__":
    main()
