"""Measure what the bundled student learns from each teacher: train on its rows, test on others.

Knows nothing of scores. For each teacher and seed, a copy of the student is fine-tuned on all of
the teacher's rows in the set, right and wrong, with the chat template; then it answers held-out
problems of the same lengths, greedily, and the share of right answers is its accuracy.

    OMP_NUM_THREADS=1 python examples/bundled_set/measure_teachers.py \\
        --output_path tasks/local_naturalness/reference.json --details_path details.json

The reference is an object of teacher -> mean accuracy, as `lnat rank --reference` reads it. The
details hold every run, their spread, and the untuned student's accuracy.

Shapes: B problems that are answered together, T tokens of a prompt.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from _recurrence import TEACHERS, Problem, answer_of
from make_teacher_set import PROMPTS, SEED, problems
from train_student import collate, encode, train
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT: Final = Path(__file__).resolve().parents[2]
TEACHER_SET: Final = ROOT / "tasks" / "local_naturalness" / "teachers.jsonl"
STUDENT: Final = ROOT / "lnat_plugins" / "student"
BATCH: Final = 4
EPOCHS: Final = 3
PEAK_RATE: Final = 2e-3
HELD_OUT: Final = 100
ROOM: Final = 1.1  # a student may write this much more than the longest row that taught it

Encoded = tuple[list[int], list[int]]


def read_rows(path: Path, tokenizer: Any) -> dict[str, list[Encoded]]:
    """Teacher -> the ids of every row's prompt, with the chat template, and response."""
    found: dict[str, list[Encoded]] = {}
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        ids = encode(tokenizer, row["prompt"], row["response"], template=True)
        found.setdefault(row["teacher"], []).append(ids)
    return found


def epochs(rows: Sequence[Encoded], seed: int, pad: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of all rows, again and again, in a new order each time."""
    rng = random.Random(f"order {seed}")
    while True:
        order = rng.sample(list(rows), len(rows))
        for start in range(0, len(order), BATCH):
            yield collate(order[start : start + BATCH], pad)


@torch.no_grad()
def accuracy(model: Any, tokenizer: Any, held_out: Sequence[Problem], room: int) -> float:
    """Share of the problems whose stated answer is right, greedily decoded with the template."""
    heads = [encode(tokenizer, problem.prompt, "", template=True)[0] for problem in held_out]
    longest = max(map(len, heads))
    ids_BT = torch.full((len(heads), longest), tokenizer.pad_token_id)
    for row, head in enumerate(heads):
        ids_BT[row, longest - len(head) :] = torch.tensor(head)
    written = model.generate(
        input_ids=ids_BT,
        attention_mask=(ids_BT != tokenizer.pad_token_id).long(),
        max_new_tokens=room,
        do_sample=False,
    )
    texts = tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)
    right = [answer_of(text) == p.answer for text, p in zip(texts, held_out, strict=True)]
    return sum(right) / len(right)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the student on each teacher's rows.")
    parser.add_argument("--output_path", type=Path, required=True, help="teacher: mean accuracy")
    parser.add_argument("--details_path", type=Path, help="every run, and the protocol")
    parser.add_argument("--teacher_set", type=Path, default=TEACHER_SET)
    parser.add_argument("--student", default=str(STUDENT))
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=TEACHERS)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--held_out", type=int, default=HELD_OUT, help="problems")
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = AutoTokenizer.from_pretrained(args.student)
    student = AutoModelForCausalLM.from_pretrained(args.student, dtype=torch.float32)
    rows = read_rows(args.teacher_set, tokenizer)
    # The set's own problems are left out, so that no student is tested on what it learned from.
    seen = {problem.prompt for problem in problems(PROMPTS, SEED)}
    held_out = problems(args.held_out, f"held out {SEED}", unseen=seen)
    room = {teacher: int(ROOM * max(len(body) for _, body in rows[teacher])) for teacher in rows}
    details: dict[str, Any] = {
        "untuned": accuracy(student, tokenizer, held_out, room["plain"]),
        "runs": {teacher: [] for teacher in args.teachers},
        "held_out": args.held_out,
        "epochs": args.epochs,
        "batch": BATCH,
        "peak_rate": PEAK_RATE,
    }
    print(f"untuned: {details['untuned']:.3f}", flush=True)
    for seed in range(args.seeds):
        for teacher in args.teachers:
            begin = time.monotonic()
            torch.manual_seed(seed)
            model = copy.deepcopy(student)
            source = epochs(rows[teacher], seed, tokenizer.pad_token_id)
            steps = args.epochs * -(-len(rows[teacher]) // BATCH)
            train(model, source, steps, PEAK_RATE, lambda line: None)
            found = accuracy(model, tokenizer, held_out, room[teacher])
            details["runs"][teacher].append(found)
            spent = time.monotonic() - begin
            print(f"{teacher}, seed {seed}: {found:.3f}  {spent:.0f} s", flush=True)
        # After every seed, so that what was measured is kept if the rest is cut short.
        means = {t: round(statistics.fmean(found), 4) for t, found in details["runs"].items()}
        for path, content in ((args.output_path, means), (args.details_path, details)):
            if path is not None:
                path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
