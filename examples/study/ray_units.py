"""Run a study's units on a Ray cluster that shares a file system. NOT RUN by us.

Needs `pip install ray`.

    lnat study STUDY.yaml --dry_run | grep '/scores$' > scores.txt
    python examples/study/ray_units.py scores.txt --gpus 1      # first: the others need them
    lnat study STUDY.yaml --dry_run > units.txt
    python examples/study/ray_units.py units.txt --gpus 1
    lnat study STUDY.yaml                                       # prints the result

A unit that fails is tried again, since a node may have died; one that fails every time is named at
the end, and the exit code is 1. Units that are done stay done.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a study's units in Ray.")
    parser.add_argument("units", type=Path, help="a command a line, from lnat study --dry_run")
    parser.add_argument("--gpus", type=float, default=0, help="of each unit")
    parser.add_argument("--cpus", type=float, default=1, help="of each unit")
    parser.add_argument("--retries", type=int, default=2, help="of a unit that fails")
    args = parser.parse_args()
    import ray

    ray.init()
    # `retry_exceptions`: without it Ray tries again only where a worker died.
    run = ray.remote(
        num_cpus=args.cpus, num_gpus=args.gpus, max_retries=args.retries, retry_exceptions=True
    )(subprocess.check_call)
    commands = args.units.read_text(encoding="utf-8").splitlines()
    waiting = {run.remote(command, shell=True): command for command in commands}
    failed = []
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        command = waiting.pop(done)
        try:
            ray.get(done)
        except ray.exceptions.RayError as cause:
            failed.append(command)
            print(f"failed: {command}\n{cause}", file=sys.stderr)
    print(f"{len(commands) - len(failed)} of {len(commands)} units done")
    if failed:
        raise SystemExit(f"{len(failed)} units failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
