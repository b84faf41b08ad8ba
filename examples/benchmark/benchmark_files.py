"""What `lnat check`, `rank`, `select` and `report` cost on many prompts: time, memory, size.

Makes a teacher set and lm_eval's files of each size from a few prompts that the bundled student
scores (`_scored_files.py`), and runs each command in a process of its own. Prints a markdown table,
and how time and memory grow from the smallest size to the largest: the exponent of a power law,
1 = in proportion. A report of traces of very many steps is measured too.

    python examples/benchmark/benchmark_files.py                   # 10,000 and 100,000 prompts
    python examples/benchmark/benchmark_files.py --prompts 1000 2000 --teachers 3

The files of 100,000 prompts by 5 teachers take 2.7 GB. Unix only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from _commands import LNAT, call

COMMANDS = ("check", "rank", "select", "report")


@dataclass(frozen=True)
class Measured:
    """One command. `wall`, `cpu`: seconds; `peak`: MiB resident; `output`: megabytes written."""

    command: str
    prompts: int
    wall: float
    cpu: float
    peak: float
    output: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0; 1 where a command failed."""
    args = parse(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        try:
            scored = in_new_process("score_seed", folder / "seed", args.teachers, args.seed)
            found = [
                one
                for prompts in sorted(args.prompts)
                for one in of_size(folder / str(prompts), scored, prompts, args)
            ]
            if args.steps:
                found.append(long_traces(folder / "long", scored, args))
        except subprocess.CalledProcessError as error:
            print(f"benchmark_files: error: {error.cmd[3:]}: {error.stderr}", file=sys.stderr)
            return 1
    print(table(found))
    print(growth([one for one in found if one.command in args.commands]))
    if args.output_path:
        text = json.dumps({"measured": [asdict(one) for one in found]}, indent=2)
        args.output_path.write_text(text + "\n", encoding="utf-8")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--prompts", type=int, nargs="+", default=[10_000, 100_000])
    add("--teachers", type=int, default=5)
    add("--steps", type=int, default=100_000, help="of each of four long traces; 0: none")
    add("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    add("--seed", type=int, default=0)
    add("--folder", type=Path, help="where the files lie meanwhile; default: the system's")
    add("--output_path", type=Path, help="JSON of all figures")
    return parser.parse_args(argv)


def in_new_process(name: str, *arguments: object) -> Path:
    """A function of `_scored_files`; a child's peak would count this process's memory else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, name, *arguments).result()


def of_size(folder: Path, scored: Path, prompts: int, args: argparse.Namespace) -> list[Measured]:
    """The commands on so many prompts."""
    task = in_new_process("write_teacher_set", folder / "set", prompts, args.teachers, args.seed)
    scores = in_new_process("write_scores", scored, folder / "scores", prompts, args.seed)
    written = {
        "check": ([str(task)], None),
        "rank": ([str(scores), "--output_path", str(folder / "ranking")], folder / "ranking"),
        "select": ([str(scores), "--output_path", str(folder / "chosen")], folder / "chosen"),
        "report": ([str(scores), "--output_path", str(folder / "page.html")], folder / "page.html"),
    }
    return [
        measured(command, prompts, [command, *written[command][0]], written[command][1])
        for command in args.commands
    ]


def long_traces(folder: Path, scored: Path, args: argparse.Namespace) -> Measured:
    """A report of one prompt with four traces of `--steps` steps."""
    traces = min(4, args.teachers)
    scores = in_new_process("write_long_scores", scored, folder, args.steps, traces)
    page = folder / "page.html"
    arguments = ["report", str(scores), "--output_path", str(page)]
    return measured(f"report, {traces} × {args.steps:,} steps", 1, arguments, page)


def measured(name: str, prompts: int, arguments: list[str], output: Path | None) -> Measured:
    """Run `lnat` once.

    Raises:
        CalledProcessError: it failed.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen([*LNAT, *arguments], stdout=said, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
        said.seek(0)
        if child.returncode:
            raise subprocess.CalledProcessError(
                child.returncode, [*LNAT, *arguments], stderr=said.read().decode()
            )
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, in a MiB
    files = [output, *output.rglob("*")] if output else []
    size = sum(path.stat().st_size for path in files if path.is_file())
    cpu = used.ru_utime + used.ru_stime
    return Measured(name, prompts, wall, cpu, used.ru_maxrss / unit, size / 1e6)


def table(found: Sequence[Measured]) -> str:
    lines = [
        "| command | prompts | wall s | CPU s | peak MiB | output MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {one.command} | {one.prompts:,} | {one.wall:.1f} | {one.cpu:.1f} | {one.peak:,.0f} | "
        f"{one.output:.1f} |"
        for one in found
    ]
    return "\n".join(lines) + "\n"


def growth(found: Sequence[Measured]) -> str:
    """The exponents between the smallest and the largest size, a line a command."""
    lines = []
    for command in dict.fromkeys(one.command for one in found):
        own = [one for one in found if one.command == command]
        first, last = own[0], own[-1]
        if first.prompts < last.prompts:
            ratio = math.log(last.prompts / first.prompts)
            cpu, peak = (
                math.log(getattr(last, name) / getattr(first, name)) / ratio
                for name in ("cpu", "peak")
            )
            lines.append(
                f"- {command}, {first.prompts:,} to {last.prompts:,} prompts: CPU time grows by an "
                f"exponent of {cpu:.2f}, peak memory by {peak:.2f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
