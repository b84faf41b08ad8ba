"""Kills commands at random moments, and compares what the next run gives.

    python tests/torture --target study --seed 0 --count 20

Targets: scoring with a cache, report, rank, select, the trainer, study, Ray; all by default.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import random
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    # Before torch is loaded.
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "Agg"}
    # At the end of the path, so that the installed package is tested, not the checkout's.
    sys.path.pop(0)
    sys.path.append(str(Path(__file__).parents[2]))

from tests.torture.killing import torture

TARGETS = {
    "scoring": ("scoring", "torture"), "report": ("commands", "report"),
    "rank": ("commands", "rank"), "select": ("commands", "select"),
    "trainer": ("trainer", "scene"), "study": ("study", "scene"), "ray": ("cluster", "scene"),
    "ray_parts": ("cluster", "parts"),
}  # fmt: skip
"""Name -> its module and what is killed there, loaded when it is wanted."""


def main() -> int:
    """Runs it in a folder that is removed, unless something broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=["all", *TARGETS], default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20, help="kills of each target")
    args = parser.parse_args()
    broken = 0
    for target in TARGETS if args.target == "all" else (args.target,):
        draw = random.Random(args.seed)
        module, name = TARGETS[target]
        work = getattr(importlib.import_module(f"tests.torture.{module}"), name)
        with tempfile.TemporaryDirectory(prefix="lnat-torture-") as place:
            folder = Path(place).resolve()
            killed = work if target == "scoring" else functools.partial(torture, work())
            n_killed, problems = killed(folder, draw, args.count)
        print(
            f"{target}, seed {args.seed}: {n_killed} of {args.count} killed, "
            f"{len(problems)} differences", flush=True,
        )  # fmt: skip
        broken += len(problems)
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
