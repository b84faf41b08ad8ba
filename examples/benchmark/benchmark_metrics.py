"""What the whole family of metrics costs beside local and global naturalness alone.

Scores the same real traces twice in one process, interleaved: once for the two scores of the paper,
once for every metric there is, in the same windows. Prints a markdown table with what was read and
the ratio of the medians.

    python examples/benchmark/benchmark_metrics.py            # the bundled set and student
    python examples/benchmark/benchmark_metrics.py --data traces.jsonl --student MODEL --limit 10
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import Counts
from lnat_plugins.errors import LnatError
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.scorer import Prepared, Scorer
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Response

_ROOT = Path(__file__).resolve().parents[2]
BUNDLED = _ROOT / "tasks" / "local_naturalness" / "teachers.jsonl"
BUNDLED_STUDENT = _ROOT / "lnat_plugins" / "student"
TWO = ("local_naturalness", "global_naturalness")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0; 2 for bad input."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    try:
        rows = read(args.data, args.limit)
    except (OSError, ValueError, KeyError) as error:
        return _refused(f"{args.data}: {error!r}")
    if not rows:
        return _refused(f"{args.data}: no row")
    tokenizer = AutoTokenizer.from_pretrained(args.student)
    model = AutoModelForCausalLM.from_pretrained(args.student, dtype=torch.float32)
    gathered = {
        "local and global": frozenset(need for name in TWO for need in METRICS[name].needs),
        "every metric": frozenset(need for metric in METRICS.values() for need in metric.needs),
    }
    try:
        scorers = {name: scorer(model, tokenizer, one) for name, one in gathered.items()}
        prepared = {name: prepare(one, rows) for name, one in scorers.items()}
    except LnatError as error:
        return _refused(str(error))
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for repeat in range(args.repeats + 1):
        for name, one in scorers.items():
            begin = time.perf_counter()
            for each in prepared[name]:
                one.score_prepared(each)
            if repeat:  # the first round warms up, and holds the engine's trial
                seconds[name].append(time.perf_counter() - begin)
    rounds = args.repeats + 1
    counts = {name: per_round(one.backend.engine.counts, rounds) for name, one in scorers.items()}
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(table(medians, counts))
    if args.output_path:
        document = {"seconds": seconds, "counts": counts, "arguments": str(vars(args))}
        args.output_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _refused(why: str) -> int:
    print(f"benchmark_metrics: error: {why}", file=sys.stderr)
    return 2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=BUNDLED, help="rows in the long layout")
    parser.add_argument("--student", default=str(BUNDLED_STUDENT))
    parser.add_argument("--limit", type=int, default=10, help="prompts")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output_path", type=Path, help="JSON of all figures")
    return parser.parse_args(argv)


def read(path: Path, limit: int) -> list[list[dict[str, str]]]:
    """The rows of the first prompts."""
    prompts: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            prompts.setdefault(row["prompt"], []).append(row)
    return list(prompts.values())[:limit]


def scorer(model: torch.nn.Module, tokenizer: AutoTokenizer, statistics: frozenset[str]) -> Scorer:
    """A scorer with an engine of its own, so that each has its own counts."""
    return Scorer(
        tokenizer=tokenizer,
        backend=EngineBackend(Engine(model)),
        spec=parse_steps("sentence"),
        windows=parse_windows(["4", "global"]),
        settings={},
        statistics=statistics,
    )


def prepare(one: Scorer, rows: Sequence[Sequence[dict[str, str]]]) -> list[Prepared]:
    """Steps and tokens, which cost the same for both and are left out of the time."""
    return [
        one.prepare(
            one.tokenizer(group[0]["prompt"] + "\n\n")["input_ids"],
            [Response(row["teacher"], row["response"], i) for i, row in enumerate(group)],
        )
        for group in rows
    ]


def per_round(counts: Counts, rounds: int) -> dict[str, int]:
    """What one round reads."""
    return {name: value // rounds for name, value in vars(counts).items()}


def table(medians: dict[str, float], counts: dict[str, dict[str, int]]) -> str:
    base = medians["local and global"]
    lines = [
        "| scored for | body tokens | projected tokens | seconds | ratio |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {name} | {counts[name]['body_tokens']:,} | {counts[name]['projected_tokens']:,} | "
        f"{seconds:.2f} | {seconds / base:.2f} |"
        for name, seconds in medians.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
