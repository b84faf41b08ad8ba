"""What a budget with `goal: choice` reads, and how often it chooses as exact scores do.

    python examples/benchmark/simulate_choices.py gsm8k_long_cot.jsonl models/student-base \\
        --prompts 60 --records records.jsonl

Reads rows of `prompt_id, prompt, response, teacher`, scores them with the student under the window
and with each stride, and runs the choice on these scores with many seeds: each draws another pilot.
Prints markdown tables. `strides`: for each stride the margin, the tokens read against exact scoring
and against one global pass (beyond the pilot: what many more prompts would come to), the prompts
whose choice needed no exact score, and the choices that are those by exact scores: by stride scores
alone, by the run, and by the run with the worst pilot.
`errors`: the same by the error that is asked for, at one stride; it settles the pilot's size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lnat_plugins.budget.choice import ChoiceRun, Choices
from lnat_plugins.budget.margin import best_of
from lnat_plugins.budget.records import mean_of
from lnat_plugins.budget.run import Row, Wanted, run_to_end
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import CHOICE, Budget

HEAD = (
    "margin", "tokens: of exact", "of global", "of exact, beyond the pilot", "no exact score",
    "same, stride alone",
    "same, the run", "other choices beyond the pilot", "most in a run",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Score or read the records, simulate, print, and return 0."""
    args = parse(argv)
    if not (args.records and args.records.exists()):
        lines = [*score(args)]
        if args.records:
            args.records.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    else:
        lines = [json.loads(line) for line in args.records.read_text("utf-8").splitlines()]
    rows = [Row(one["prompt"], one["length"], StepSums.from_json(one["record"])) for one in lines]
    for name, table in (("strides", strides(args, rows)), ("errors", errors(args, rows))):
        print(f"{name}\n")
        for line in table:
            print("| " + " | ".join(line) + " |", flush=True)
        print(flush=True)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("data", type=Path, help="JSON lines of responses")
    parser.add_argument("student", help="folder or name of the model")
    parser.add_argument("--prompts", type=int, help="so many, the first of the file; default: all")
    parser.add_argument("--records", type=Path, help="scores are kept here, and read from here")
    parser.add_argument("--window", type=int, default=4)
    parser.add_argument("--strides", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--errors", type=float, nargs="+", default=[0.2, 0.1, 0.05])
    parser.add_argument("--stride", type=int, default=8, help="of the second table")
    parser.add_argument("--error", type=float, default=0.05, help="of the first table")
    parser.add_argument("--runs", type=int, default=200, help="runs a line")
    return parser.parse_args(argv)


def score(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A line a response, with its record."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lnat_plugins import load_teacher_set
    from lnat_plugins import score as score_set

    rows = [json.loads(line) for line in args.data.read_text("utf-8").splitlines()]
    taken = set(list(dict.fromkeys(row["prompt_id"] for row in rows))[: args.prompts])
    block = {"min_teachers": 1, "where": {"prompt_id": sorted(taken)}}
    config = {"task": "choices", "dataset_path": str(args.data.resolve()), "naturalness": block}
    windows = [args.window, *(f"{args.window}/{b}" for b in sorted({*args.strides, args.stride}))]
    found = score_set(
        AutoModelForCausalLM.from_pretrained(args.student).float().eval(),
        AutoTokenizer.from_pretrained(args.student),
        load_teacher_set(config), windows=windows, tokens=False, sensitivity="none",
    )  # fmt: skip
    for row in found.rows:
        record = json.loads(row.record.to_json())
        yield {"prompt": row.prompt_id, "length": len(row.text), "record": record}


def run(rows: Sequence[Row], **budget: object) -> tuple[Choices, int]:
    """A run that reads these records, and the tokens of its pilot."""
    nothing = {"steps": [], "whole": False}
    unread = [
        row._replace(record=dataclasses.replace(row.record, part=nothing)) for row in rows
    ]  # fmt: skip

    def read(wanted: Sequence[Wanted]) -> Iterator[StepSums]:
        for i, part in wanted:
            yield dataclasses.replace(rows[i].record, part=part.as_dict() if part else {})

    choice = ChoiceRun(Budget(goal=CHOICE, **budget), unread)
    pilot = choice.wanted()
    choice.tell(dict(zip((one.row for one in pilot), read(pilot), strict=True)))
    tokens = choice.result().tokens
    run_to_end(choice, read)
    return choice.result(), tokens


def figures(args: argparse.Namespace, rows: Sequence[Row], stride: int, error: float) -> list[str]:
    """Means over runs that differ in their pilot."""
    window = f"{args.window}"
    of: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        of.setdefault(row.prompt_id, []).append(i)
    exact, alone = (
        {p: own[best_of([mean_of(rows[i].record, name) for i in own])[0]] for p, own in of.items()}
        for name in (window, f"{window}/{stride}")
    )
    found = np.zeros((args.runs, 7))
    for seed in range(args.runs):
        one, of_pilot = run(rows, stride=stride, error=error, seed=seed)
        rest = 1 - one.pilot.prompts / len(of)
        other = sum(one.best(own)[0] != exact[p] for p, own in of.items())
        found[seed] = (
            one.pilot.margin, one.tokens / one.exact_tokens, one.tokens / one.global_tokens,
            (one.tokens - of_pilot) / (rest * one.exact_tokens) if rest else np.nan,
            one.alone / len(of), other, other / max(1, len(of) - one.pilot.prompts),
        )  # fmt: skip
    mean = found.mean(axis=0)
    same = sum(alone[p] == exact[p] for p in of)
    return [
        f"{mean[0]:.3f}",
        *(f"{share:.2f}" for share in mean[1:5]),
        *(f"{same} of {len(of)}", f"{len(of) - mean[5]:.1f}"),
        *(f"{mean[6]:.3f}", f"{found[:, 5].max():.0f}"),
    ]


def strides(args: argparse.Namespace, rows: Sequence[Row]) -> Iterator[list[str]]:
    """A line a stride."""
    yield ["stride", *HEAD]
    yield ["--:"] * (1 + len(HEAD))
    for stride in args.strides:
        yield [str(stride), *figures(args, rows, stride, args.error)]


def errors(args: argparse.Namespace, rows: Sequence[Row]) -> Iterator[list[str]]:
    """A line an error."""
    yield ["error", *HEAD]
    yield ["--:"] * (1 + len(HEAD))
    for error in args.errors:
        yield [f"{error:g}", *figures(args, rows, args.stride, error)]


if __name__ == "__main__":
    raise SystemExit(main())
