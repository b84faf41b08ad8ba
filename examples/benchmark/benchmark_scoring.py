"""How fast the engine is: against lm-eval's ordinary requests, and above the floor.

The same steps of the same traces are scored by the same student in one process and one run. The
contenders take turns, in reversed order every other repeat; the median of the repeats counts.

- lm_eval: one `loglikelihood` request for each step and window through lm-eval's `hf`, its context
  the prompt and the preceding steps: what a user would do today. Each batch size is a line of its
  own; ratios are taken against the fastest of them.
- plain and fast: the engine's two paths.
- floor: dense causal forwards of the student's body over as many tokens as the engine reads after
  prompts, in the best of several row shapes, and its output embedding with a float32 log-softmax
  pick at as many positions as are scored. No prompt is read or attended to, nothing is padded.

Workloads (`--workloads`): `real`, traces and a student from disk, starts from strings on both
sides, splitting and tokenising included. The others have random ids and a random student of the
shape of Qwen2.5-0.5B (24 layers x 896, vocabulary 151,936), and call lm-eval where `loglikelihood`
itself ends, in `_loglikelihood_tokens`: `short_prompt` and `long_prompt`, and `lengths`,
traces of growing length under one window set; each one trace, or `--traces` that share a prompt.

Scaling. lm-eval is timed on a seeded sample of its requests (`--baseline_tokens`); its seconds are
scaled by positions read, padding included. `--layers 2` times a random student of 2 layers, for
all contenders alike; the time inside the layers, which is measured, is then multiplied by 12 for
the 24 of `--all_layers`. The column Timed says so, and the JSON holds what was measured.

Columns. Prompt, body, padding tokens: read in prompts, after them, and for nothing. Projected:
positions projected to the vocabulary. Timed: part of a pass x repeats, and layers. Seconds: of a
whole pass. Tokens/s: prompt and body tokens read in a second. Peak MiB: beyond the weights, in a
fresh process for each contender (of lm-eval the longest batch alone; with the layers timed). Then
ratios of seconds against the fastest lm-eval and the floor, by the clock and in processor time,
which other work on the machine disturbs less. Host side: the part of our wall time, as timed,
spent outside of the student and its projection (splitting, tokenising, planning, bookkeeping). Of
matmul: floating-point operations of tokens read and positions projected (attention left out) a
second, over the rate of a large matrix product in the same dtype, the best of
several before and after all else.

Below the table: what each workload is; how far sums differ that should be equal (the exit code is
1 where by more than 1e-3 nats on a step, or in 16 bit by 0.02 nats a token on average); how many
of lm-eval's step sums are of other tokens, because it joins strings and tokenises them anew; then
the targets, with the exponent of the fast path's cost in trace length; the machine.

    OMP_NUM_THREADS=1 python examples/benchmark/benchmark_scoring.py --layers 2 \\
        --output_path benchmark.json
    python examples/benchmark/benchmark_scoring.py --device cuda    # bfloat16, all layers
    python examples/benchmark/benchmark_scoring.py --quick    # toy sizes: does the script work?
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from _arguments import parse_arguments, recipes
from _clock import matmul_rate
from _compare import Bench
from _report import Comparison, to_json
from _table import figures, targets_table
from _targets import targets

from lnat_plugins.errors import LnatError


def main(argv: Sequence[str] | None = None) -> int:
    """0; 1 where sums disagree; 2 for bad input."""
    args = parse_arguments(__doc__ or "", argv)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(args.threads)
    load_before = load()
    rate = matmul_rate(args.device, args.dtype, args.matmul_size)
    bench = Bench(args)
    comparisons: list[Comparison] = []
    try:
        for recipe in recipes(args):
            comparisons += bench.compare(recipe)
    except LnatError as error:
        print(f"benchmark_scoring: error: {error}", file=sys.stderr)
        return error.exit_code
    # Once more: the first time, other work on the machine may have held it up.
    rate = max(rate, matmul_rate(args.device, args.dtype, args.matmul_size))
    where = machine(args, rate, load_before)
    print(figures(comparisons, rate, bench.tolerance))
    print(targets_table(targets(comparisons)))
    print(f"- {json.dumps(where)}")
    if args.output_path:
        write(args.output_path, args, where, comparisons, rate)
    wrong = [one for one in comparisons if not bench.agrees(one.agreement)]
    for one in wrong:
        print(
            f"{one.lines[0].workload}, windows {one.lines[0].windows}: sums that should be equal"
            f" differ by {one.agreement.largest:.3g} nats",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def machine(args: argparse.Namespace, rate: float, load_before: Sequence[float]) -> dict[str, Any]:
    packages = ("lnat-plugins", "lm_eval", "torch", "transformers")
    return {
        "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device,
        "dtype": args.dtype,
        "matmul_gflops": round(rate / 1e9, 1),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": [round(x, 2) for x in load_before],
        "load_after": [round(x, 2) for x in load()],
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def load() -> Sequence[float]:
    """The system's load averages, where it has any."""
    return os.getloadavg() if hasattr(os, "getloadavg") else ()


def write(
    path: Path,
    args: argparse.Namespace,
    where: Mapping[str, Any],
    comparisons: Sequence[Comparison],
    rate: float,
) -> None:
    report = {
        "machine": where,
        "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "comparisons": to_json(comparisons, rate),
        "targets": [one._asdict() | {"met": one.met} for one in targets(comparisons)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
