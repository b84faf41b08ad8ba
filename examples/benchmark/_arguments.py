"""The benchmark's options, and the workloads that they describe.

Knows nothing of contenders beyond their names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from _contenders import KINDS
from _recipes import Real, Recipe, Synthetic

import lnat_plugins

REPO: Final = Path(__file__).resolve().parents[2]
BUNDLED: Final = REPO / "tasks" / "local_naturalness" / "teachers.jsonl"
BUNDLED_STUDENT: Final = Path(lnat_plugins.__file__).parent / "student"
SHARED: Final = REPO.parent / "shared"
LONG_TRACES: Final = SHARED / "data" / "gsm8k_long_cot.jsonl"
LARGER_STUDENT: Final = SHARED / "models" / "student-base"
WORKLOADS: Final = ("real", "short_prompt", "long_prompt", "lengths")
LENGTHS_CONTENDERS: Final = ("fast", "floor")
QUICK: Final = {
    "data": BUNDLED,
    "student": BUNDLED_STUDENT,
    "limit": 1,
    "layers": 1,
    "all_layers": 2,
    "hidden": 64,
    "vocabulary": 97,
    "prompt_tokens": [20, 60],
    "step_tokens": 6,
    "trace_tokens": [50, 100],
    "batch_sizes": [1, 4],
    "baseline_tokens": 2000,
    "repeats": 1,
    "matmul_size": 128,
    "threads": 1,
    "memory": ["lengths"],
}
"""Sizes with which every part of the script is run in well under a minute."""


def parse_arguments(doc: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; `doc` explains what the script prints."""
    parser = argparse.ArgumentParser(
        description=doc,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="toy sizes wherever nothing else is said")
    add(
        *("--workloads",),
        type=_some(WORKLOADS),
        default=list(WORKLOADS),
        help=f"some of {','.join(WORKLOADS)}, comma-separated; default: all",
    )
    add(
        *("--contenders",),
        type=_some(KINDS),
        default=list(KINDS),
        help=f"some of {','.join(KINDS)}; default: all (lengths: fast and floor at most)",
    )
    add(
        *("--windows",),
        nargs="+",
        default=["4", "0,1,2,3,4,global", "10%"],
        help="window sets, each comma-separated; default: %(default)s",
    )
    add(
        *("--lengths_windows",),
        nargs="+",
        default=["4"],
        help="window sets of the workload lengths; default: %(default)s",
    )
    _add_sizes(parser)
    add("--batch_sizes", type=int, nargs="+", default=[1, 4, 8, 16], help="of lm-eval")
    add(
        *("--baseline_tokens",),
        type=int,
        default=4096,
        help="positions of lm-eval's requests that are timed, of the whole, rounded up to a batch",
    )
    add(
        *("--baseline_gib",),
        type=float,
        help="a batch size whose logits need more is left out; default: half of what is free",
    )
    add("--token_budget", type=int, help="of the engine; default: what it chooses")
    add("--repeats", type=int, default=3)
    add(
        *("--patience",),
        type=float,
        default=600.0,
        help="seconds after which a contender has no further repeat",
    )
    add(
        *("--memory",),
        type=_some(WORKLOADS, or_none=True),
        default=list(WORKLOADS),
        help="workloads on which peak memory is measured, each contender once more; or none",
    )
    add("--threads", type=int, default=torch.get_num_threads(), help="default: torch's")
    add("--device", default="cpu")
    add("--dtype", choices=["float32", "bfloat16", "float16"], help="default: bfloat16 on a GPU")
    add("--matmul_size", type=int, help="of the product that the rate is taken from")
    add("--seed", type=int, default=0)
    add("--output_path", type=Path, help="JSON of all figures")
    if parser.parse_args(argv).quick:
        parser.set_defaults(**QUICK)
    args = parser.parse_args(argv)
    on_gpu = args.device.startswith("cuda")
    args.dtype = args.dtype or ("bfloat16" if on_gpu else "float32")
    args.matmul_size = args.matmul_size or (8192 if on_gpu else 2048)
    return args


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    has_data = LONG_TRACES.is_file() and LARGER_STUDENT.is_dir()
    add("--data", type=Path, default=LONG_TRACES if has_data else BUNDLED, help="real traces")
    add("--student", type=Path, default=LARGER_STUDENT if has_data else BUNDLED_STUDENT)
    add("--limit", type=int, default=20, help="prompts of --data")
    add("--layers", type=int, default=24, help="of the random student, as it is timed")
    add("--all_layers", type=int, default=24, help="of the random student, as it is reported")
    add("--hidden", type=int, default=896, help="width of the random student")
    add("--vocabulary", type=int, default=151936)
    add(
        *("--prompt_tokens",),
        type=int,
        nargs=2,
        default=[150, 1000],
        metavar=("SHORT", "LONG"),
    )
    add("--traces", type=int, default=1, help="responses to the random prompt; they share it")
    add("--step_tokens", type=int, default=20, help="mean length of a random step")
    add(
        *("--trace_tokens",),
        type=int,
        nargs="+",
        default=[1000, 4000, 16000],
        help="lengths of random traces; short_prompt and long_prompt take the first",
    )


def recipes(args: argparse.Namespace) -> Iterator[Recipe]:
    """The workloads asked for, in order."""
    if "real" in args.workloads:
        yield Real(args.data, args.student, args.limit, args.device, args.dtype)
    short, long = args.prompt_tokens
    for kind, prompt in (("short_prompt", short), ("long_prompt", long)):
        if kind in args.workloads:
            yield _synthetic(args, kind, f"random, prompt {prompt:,}", prompt, args.trace_tokens[0])
    if "lengths" in args.workloads:
        for tokens in args.trace_tokens:
            yield _synthetic(args, "lengths", f"random, trace {tokens:,}", short, tokens)


def _synthetic(args: argparse.Namespace, kind: str, name: str, prompt: int, trace: int) -> Recipe:
    return Synthetic(
        kind=kind,
        name=name,
        prompt_tokens=prompt,
        traces=args.traces,
        trace_tokens=trace,
        step_tokens=args.step_tokens,
        layers=args.layers,
        all_layers=args.all_layers,
        hidden=args.hidden,
        vocabulary=args.vocabulary,
        seed=args.seed,
        device=args.device,
        dtype=args.dtype,
    )


def _some(names: Sequence[str], *, or_none: bool = False) -> Callable[[str], list[str]]:
    """A reader of a comma-separated choice of these names."""

    def read(text: str) -> list[str]:
        chosen = [] if or_none and text == "none" else text.split(",")
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return chosen

    return read
