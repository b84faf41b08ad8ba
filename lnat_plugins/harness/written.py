"""The last lines of an lm_eval run: where the scores are, and the command that ranks them.

lm-eval writes its files after the last of our code has run. So `lnat eval` looks for them when the
harness is done, and the `lm_eval` command when its process ends. A program that calls lm-eval gets
no such lines.
"""

from __future__ import annotations

import atexit
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lnat_plugins.harness.definitions import CONFIG, readable

_LONG: Final = "--output_path"
_SHORT: Final = "-o"
_NOTHING: Final = (
    "no scores were written: add --log_samples --output_path out, and then run: lnat rank out"
)


@dataclass(frozen=True)
class _Run:
    """A run that has scored: the command line, the names of its tasks, and when it began."""

    arguments: tuple[str, ...]
    tasks: tuple[str, ...]
    start: float


_scored: list[_Run] = []


def expect_files(tasks: Sequence[str]) -> None:
    """Note that the running command has scored these tasks and will write its files.

    The lines are printed by `print_files`, at the latest when the process ends.
    """
    if not _scored:
        atexit.register(print_files)
    _scored[:] = [_Run(tuple(sys.argv), tuple(dict.fromkeys(tasks)), time.time())]


def forget_files() -> None:
    """Print nothing of the run that was noted."""
    _scored.clear()


def print_files() -> None:
    """Print the lines of the run that was noted, if there is one, and forget it."""
    atexit.unregister(print_files)
    # An error ended the process: its traceback is the last thing to read.
    for run in () if hasattr(sys, "last_value") else _scored:
        for line in _lines(run):
            print(f"lnat: {line}", file=sys.stderr, flush=True)
    _scored.clear()


def _lines(run: _Run) -> list[str]:
    output = output_path(run.arguments)
    if output is None:
        return [_NOTHING]
    # As lm-eval reads it: `out/results.json` stands for its folder, others get one of the student.
    folder, pattern = (output.parent, "") if output.suffix == ".json" else (output, "*/")
    files = [
        file
        for task in run.tasks
        for file in sorted(folder.glob(f"{pattern}samples_{task}_*.jsonl"))
        if file.stat().st_mtime >= run.start
    ]
    rank = shlex.join(["lnat", "rank", str(folder)])
    if not files:
        return [f"no scores were written to {folder}: add --log_samples, and then run: {rank}"]
    return [*(f"wrote {file}" for file in files), f"next: {rank}"]


def output_path(arguments: Sequence[str]) -> Path | None:
    """What `--output_path` says, or the file that `--config` names; None without it."""
    found: str | None = None
    for before, argument in zip(arguments, (*arguments[1:], ""), strict=True):
        option, equals, value = before.partition("=")
        value = value if equals else argument
        # As argparse reads it: the option may be cut short.
        if option == _SHORT or (option.startswith("--o") and _LONG.startswith(option)):
            return Path(value)
        if option in CONFIG:
            found = readable(Path(value)).get("output_path")
    return Path(found) if found else None
