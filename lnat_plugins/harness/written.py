"""The last lines of an lm_eval run: where the scores are, and the command that ranks them.

lm-eval writes its files after the last of our code has run. So `lnat eval` looks for them when the
harness is done, and the `lm_eval` command when its process ends. A program that calls lm-eval gets
no such lines.
"""

from __future__ import annotations

import atexit
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lnat_plugins.harness.definitions import CONFIG, readable

_LONG: Final = "--output_path"
_SHORT: Final = "-o"
_NOTHING: Final = (
    "no scores were written: add --log_samples --output_path out, and then run: lnat {} out"
)


@dataclass(frozen=True)
class _Run:
    """A run that has scored.

    Attributes:
        tasks: names.
        output: as `output_path`.
        before: the samples files that are there already.
        command: of ours, that reads the scores.
    """

    tasks: tuple[str, ...]
    output: Path | None
    before: frozenset[Path]
    command: str


_scored: list[_Run] = []


def expect_files(tasks: Sequence[str], command: str = "rank") -> None:
    """Note that the running command has scored these tasks, for this command of ours, and will
    write its files.

    The lines are printed by `print_files`, at the latest when the process ends.
    """
    if not _scored:
        atexit.register(print_files)
    names, output = tuple(dict.fromkeys(tasks)), output_path(sys.argv)
    _scored[:] = [_Run(names, output, frozenset(_samples(names, output)), command)]


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
    if run.output is None:
        return [_NOTHING.format(run.command)]
    folder = _folder(run.output)
    files = [file for file in _samples(run.tasks, run.output) if file not in run.before]
    following = shlex.join(["lnat", run.command, str(folder)])
    if not files:
        return [f"no scores were written to {folder}: add --log_samples, and then run: {following}"]
    return [*(f"wrote {file}" for file in files), f"next: {following}"]


def _folder(output: Path) -> Path:
    """As lm-eval reads it: `out/results.json` stands for its folder."""
    return output.parent if output.suffix == ".json" else output


def _samples(tasks: Sequence[str], output: Path | None) -> list[Path]:
    """The samples files of these tasks; lm-eval makes a folder for each student."""
    if output is None:
        return []
    place = "" if output.suffix == ".json" else "*/"
    return [
        file
        for task in tasks
        for file in sorted(_folder(output).glob(f"{place}samples_{task}_*.jsonl"))
    ]


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
