"""How much work and time the engine saves against lm-eval's ordinary requests.

The same steps of the same traces are scored by the same model object in one process:

- **lm-eval hf**: one `loglikelihood` request for each step and window, its context the prompt
  and the preceding steps, its continuation the step: what lm-eval's `hf` offers without this
  package. Several batch sizes are tried; the fastest is the baseline of every ratio.
- **ours, packed** and **ours, batched**: the engine on its two paths.

Workloads: `real` starts from strings on both sides, tokenising included (lm-eval's
`loglikelihood`; our `Scorer`, which also cuts the steps). `synthetic` has random token ids, so
lm-eval is called through `_loglikelihood_tokens`, the code that `loglikelihood` ends in.

Sides take turns, in reversed order every other repeat; the median of the repeats counts. Where
lm-eval is too slow to run in full, a seeded sample of its requests is timed (`--baseline_share`;
column Measured) and scaled by the positions read, padding included. Neither side is timed while
it loads, and the engine's trial (once for a student) stands on its own below the table.

- *Tokens ratio*: tokens read by the best baseline / tokens read, padding left out.
- *Time ratio*, *CPU ratio*: seconds of the best baseline / seconds, by the clock and in
  processor time, which other work on the machine disturbs less. Where they fall short of the
  tokens ratio: a token behind a long prompt attends to all of it, but the prompt's own tokens,
  which the baseline reads again and again, to half of it on average.

Sums must agree to 1e-3 nats where lm-eval is given the same token ids, or the exit code is 1.
Given strings, lm-eval joins and tokenises each window anew and moves white space into the
step, so some of its numbers are of other tokens: the report says how many.

    OMP_NUM_THREADS=1 python examples/benchmark_scoring.py --output_path benchmark.json
    python examples/benchmark_scoring.py --quick      # seconds; checks that the script works
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from _benchmark_report import Agreement, Comparison, median_line, to_json, to_markdown
from _benchmark_sides import (
    Side,
    Sums,
    as_read,
    baseline,
    by_ids,
    language_model,
    ours,
    sample,
    try_out,
)
from _benchmark_workloads import Workload, real, synthetic

import lnat_plugins
from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.windows import parse_windows

TOLERANCE: Final = 1e-3
REPO: Final = Path(__file__).resolve().parents[1]
BUNDLED: Final = REPO / "tasks" / "local_naturalness" / "teachers.jsonl"
LONG_TRACES: Final = REPO.parent / "shared" / "data" / "gsm8k_long_cot.jsonl"
QUICK: Final = {
    "data": BUNDLED,
    "limit": 1,
    "layers": 2,
    "hidden": 64,
    "vocabulary": 97,
    "prompt_tokens": [20, 60],
    "step_tokens": 6,
    "trace_tokens": 90,
    "batch_sizes": [1, 4],
    "baseline_share": 0.2,
    "repeats": 1,
}


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--workloads", nargs="+", choices=["real", "synthetic"], default=["real", "synthetic"])
    add("--windows", nargs="+", default=["4", "0,1,2,3,4,global"], help="window sets")
    add("--data", type=Path, default=LONG_TRACES if LONG_TRACES.is_file() else BUNDLED)
    add("--student", type=Path, default=Path(lnat_plugins.__file__).parent / "student")
    add("--limit", type=int, default=1, help="prompts of --data")
    add("--layers", type=int, default=6)
    add("--hidden", type=int, default=256)
    add("--vocabulary", type=int, default=4096)
    add("--prompt_tokens", type=int, nargs="+", default=[150, 1000])
    add("--step_tokens", type=int, default=20, help="mean length of a random step")
    add("--trace_tokens", type=int, default=600, help="length of the random trace")
    add("--batch_sizes", type=int, nargs="+", default=[1, 4, 8], help="of lm-eval")
    add("--baseline_share", type=float, default=0.02, help="part of lm-eval's requests timed")
    add("--token_budget", type=int, help="of the engine; default: what it chooses")
    add("--repeats", type=int, default=3)
    add("--threads", type=int, help="default: torch's")
    add("--device", default="cpu")
    add("--seed", type=int, default=0)
    add("--output_path", type=Path, help="JSON of all figures")
    add("--quick", action="store_true", help="tiny sizes where nothing else is said")
    if parser.parse_args(argv).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(argv)


def workloads(args: argparse.Namespace) -> Iterator[Workload]:
    if "real" in args.workloads:
        yield real(args.data, args.student, args.limit, args.device)
    if "synthetic" in args.workloads:
        for prompt_tokens in args.prompt_tokens:
            yield synthetic(
                prompt_tokens=prompt_tokens,
                trace_tokens=args.trace_tokens,
                step_tokens=args.step_tokens,
                layers=args.layers,
                hidden=args.hidden,
                vocabulary=args.vocabulary,
                seed=args.seed,
                device=args.device,
            )


def compare(workload: Workload, names: str, args: argparse.Namespace) -> Comparison:
    """Times all sides on one workload and window set, and holds their sums together."""
    windows = parse_windows(names.split(","))
    print(f"Timing {workload.name}, windows {names}", file=sys.stderr, flush=True)
    lm = language_model(workload, 1)
    asked = workload.requests(windows)
    tokens = {request.key: as_read(lm, workload, request) for request in asked}
    answered = [request for request in asked if tokens[request.key].continuation]
    timed = sample(answered, args.baseline_share, args.seed)
    sides = [baseline(workload, answered, tokens, timed, size) for size in args.batch_sizes]
    try:
        sides.append(ours(workload, windows, "packed", args.token_budget))
    except ConfigError as error:
        print(f"The packed path is left out: {error}", file=sys.stderr)
    sides.append(ours(workload, windows, "batched", args.token_budget))
    seconds, sums = take_turns(sides, args.repeats, args.device)
    lines = tuple(
        median_line(
            seconds[side.name],
            side.scale,
            workload=workload.name,
            windows=names,
            side=side.name,
            is_baseline=side.is_baseline,
            measured=side.share,
            **vars(side.counts),
        )
        for side in sides
    )
    right = {
        request.key: value for request, (value, _) in zip(timed, by_ids(lm, timed), strict=True)
    }
    engines = [sums[side.name] for side in sides if not side.is_baseline]
    worst = max(difference(own[key], right[key]) for own in engines for key in right)
    agreement = Agreement(len(right), worst, unanswered=len(asked) - len(answered))
    if workload.is_text:
        moves = [difference(sums[sides[0].name][key], right[key]) for key in right]
        glued = sum(move > TOLERANCE for move in moves)
        agreement = Agreement(len(right), worst, glued, max(moves), agreement.unanswered)
    return Comparison(workload.note, lines, agreement)


def take_turns(
    sides: Sequence[Side], repeats: int, device: str
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, Sums]]:
    """Wall and processor seconds of each repeat, and the last sums, of each side by name."""
    seconds: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    sums: dict[str, Sums] = {}
    for repeat in range(repeats):
        for side in reversed(sides) if repeat % 2 else sides:
            run = side.ready()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            wall, cpu = time.perf_counter(), time.process_time()
            sums[side.name] = run()  # numbers on the host, so nothing is left on the device
            seconds[side.name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds, sums


def difference(a: float, b: float) -> float:
    """|a - b|, infinite where either is no number."""
    gap = abs(a - b)
    return gap if math.isfinite(gap) else math.inf


def trial_seconds(workload: Workload) -> float:
    """What an engine and its trial take, once for a student."""
    begin = time.perf_counter()
    try_out(workload, "auto", None)
    return time.perf_counter() - begin


def machine(args: argparse.Namespace, load_before: Sequence[float]) -> dict[str, Any]:
    packages = ("lnat-plugins", "lm_eval", "torch", "transformers")
    return {
        "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": [round(x, 2) for x in load_before],
        "load_after": [round(x, 2) for x in load()],
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def load() -> Sequence[float]:
    """The system's load averages, where it has any."""
    return os.getloadavg() if hasattr(os, "getloadavg") else ()


def main(argv: Sequence[str] | None = None) -> int:
    """0; 1 where sums disagree; 2 for bad input."""
    args = parse_arguments(argv)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if args.threads:
        torch.set_num_threads(args.threads)
    load_before = load()
    comparisons: list[Comparison] = []
    trials: dict[str, float] = {}
    try:
        for workload in workloads(args):
            comparisons += [compare(workload, names, args) for names in args.windows]
            trials[workload.name] = trial_seconds(workload)
    except LnatError as error:
        print(f"benchmark_scoring: error: {error}", file=sys.stderr)
        return error.exit_code
    where = machine(args, load_before)
    print(to_markdown(comparisons, TOLERANCE))
    for name, seconds in trials.items():
        print(f"- {name}: the engine's trial, once a student: {seconds:.2g} s")
    print(f"- {json.dumps(where)}")
    if args.output_path:
        write(args.output_path, args, where, trials, comparisons)
    worst = max(comparison.agreement.engine for comparison in comparisons)
    if not worst < TOLERANCE:
        print(f"Sums that should be equal differ by {worst:.3g} nats", file=sys.stderr)
        return 1
    return 0


def write(
    path: Path,
    args: argparse.Namespace,
    where: Mapping[str, Any],
    trials: Mapping[str, float],
    comparisons: Sequence[Comparison],
) -> None:
    report = {
        "machine": where,
        "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "trial_seconds": trials,
        "comparisons": to_json(comparisons),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
