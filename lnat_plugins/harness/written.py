"""The last lines of an lm_eval run: where the scores are, and the command that ranks them.

lm-eval writes its files after the last of our code has run. So `lnat eval` looks for them when the
harness is done, and the `lm_eval` command when its process ends. A program that calls lm-eval gets
no such lines.

Where the harness cannot save a file it logs a warning and goes on. A run that was to save its
scores and has not ends with an error and exit code 2.
"""

from __future__ import annotations

import atexit
import glob
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lnat_plugins.errors import ConfigError, visible
from lnat_plugins.harness.definitions import CONFIG, readable

_LONG: Final = "--output_path"
_SHORT: Final = "-o"
_LONG_SAMPLES: Final = "--log_samples"
_SHORT_SAMPLES: Final = "-s"
_NOTHING: Final = (
    "no scores were written: add --log_samples --output_path out, and then run: lnat {} out"
)


class _Unsaved(logging.Filter):
    """Keeps the harness's warnings that it could not save a file, and what it says of the cause.

    A logger drops what is below its level before a filter sees it. So the logger takes all of
    these for as long as they are read here, and the filter drops what its level would not show.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []
        self._log = logging.getLogger("lm_eval.loggers.evaluation_tracker")
        self._level, self._shown = self._log.level, self._log.getEffectiveLevel()
        self._log.setLevel(min(self._shown, logging.INFO))
        self._log.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Could not save"):
            self.reasons.append("")
        elif self.reasons and not self.reasons[-1]:
            self.reasons[-1] = text
        return record.levelno >= self._shown

    def end(self) -> None:
        """Leave the logger as it was."""
        self._log.removeFilter(self)
        self._log.setLevel(self._level)


@dataclass(frozen=True)
class _Run:
    """A run that has scored.

    Attributes:
        tasks: names.
        output: as `output_path`.
        before: the samples files that are there already.
        command: of ours, that reads the scores.
        samples: whether they are to be written.
        unsaved: what the harness could not save.
    """

    tasks: tuple[str, ...]
    output: Path | None
    before: frozenset[Path]
    command: str
    samples: bool
    unsaved: _Unsaved


_scored: list[_Run] = []


def expect_files(tasks: Sequence[str], command: str = "rank") -> None:
    """Note that the running command has scored these tasks, for this command of ours, and will
    write its files.

    The lines are printed by `print_files`, at the latest when the process ends.
    """
    if not _scored:
        atexit.register(_end)
    forget_files()
    names, output = tuple(dict.fromkeys(tasks)), output_path(sys.argv)
    before, samples = frozenset(_samples(names, output)), _logs_samples(sys.argv)
    _scored.append(_Run(names, output, before, command, samples, _Unsaved()))


def forget_files() -> None:
    """Print nothing of the run that was noted."""
    for run in _scored:
        run.unsaved.end()
    _scored.clear()


def print_files() -> bool:
    """Print the lines of the run that was noted, if there is one, and forget it.

    Returns whether everything was saved that was to be.
    """
    atexit.unregister(_end)
    saved = True
    # An error ended the process: its traceback is the last thing to read.
    for run in () if hasattr(sys, "last_value") else _scored:
        for line in _lines(run):
            print(f"lnat: {visible(line)}", file=sys.stderr, flush=True)
        if error := _error(run):
            print(f"lnat: error: {error}", file=sys.stderr, flush=True)
            saved = False
    forget_files()
    return saved


def _end() -> None:
    """Print the lines when the process ends; its exit code can then be set by `os._exit` only."""
    if not print_files():
        atexit._run_exitfuncs()  # those that were registered before this one
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ConfigError.exit_code)


def _error(run: _Run) -> ConfigError | None:
    """That the harness has not saved what it was to save; None if it has."""
    if run.output is None or not (run.samples or run.unsaved.reasons):
        return None
    new = [file.name for file in _samples(run.tasks, run.output) if file not in run.before]
    lacking = [task for task in run.tasks if not any(f"samples_{task}_" in name for name in new)]
    reasons = [reason for reason in dict.fromkeys(run.unsaved.reasons) if reason]
    if not run.unsaved.reasons and not lacking:
        return None
    return ConfigError(
        "the harness could not save its files", where=str(run.output),
        found="; ".join(reasons) or f"no samples of {', '.join(lacking or run.tasks)}",
        remedy="give --output_path a folder that can be written to, and run again; what "
        "--use_cache has is not scored again",
    )  # fmt: skip


def _lines(run: _Run) -> list[str]:
    if run.output is None:
        return [_NOTHING.format(run.command)]
    folder = _folder(run.output)
    files = [file for file in _samples(run.tasks, run.output) if file not in run.before]
    following = shlex.join(["lnat", run.command, str(folder)])
    if not files and (run.samples or run.unsaved.reasons):
        return []
    if not files:
        return [f"no scores were written to {folder}: add --log_samples, and then run: {following}"]
    lines = [f"wrote {file}" for file in files]
    if any(_is_later(one, file) for one in run.before for file in files):
        # By the names, which say when; the clock may have been set back.
        lines.append(f"{folder} has scores of a later date, which would be read in place of these")
        following = shlex.join(["lnat", run.command, *map(str, files)])
    return [*lines, f"next: {following}"]


def _is_later(one: Path, file: Path) -> bool:
    """Whether of two files of one task and student the first would be read as the newer."""
    (task, _, date), (own, _, its) = one.stem.rpartition("_"), file.stem.rpartition("_")
    return one.parent == file.parent and task == own and date > its


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
        for file in sorted(_folder(output).glob(f"{place}samples_{glob.escape(task)}_*.jsonl"))
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


def _logs_samples(arguments: Sequence[str]) -> bool:
    """Whether `--log_samples` is given, or said in the file that `--config` names."""
    for before, argument in zip(arguments, (*arguments[1:], ""), strict=True):
        option, equals, value = before.partition("=")
        # As argparse reads it: the option may be cut short.
        if option == _SHORT_SAMPLES or (
            option.startswith("--lo") and _LONG_SAMPLES.startswith(option)
        ):
            return True
        if option in CONFIG and readable(Path(value if equals else argument)).get("log_samples"):
            return True
    return False
