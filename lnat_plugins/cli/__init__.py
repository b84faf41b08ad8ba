"""The command `lnat`: a shell over the Python API. Reads arguments, calls it, prints.

A command is a function that declares its arguments and sets `run`, which imports what it needs and
returns the exit code. Only the arguments of the command that is called are declared, so that
`lnat --help` and `lnat plugins` load neither numpy nor torch.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from lnat_plugins import __version__
from lnat_plugins.cli import gradients, info, init, nce, rank, select, study
from lnat_plugins.cli.shared import log, plugin_warnings_as_lines
from lnat_plugins.errors import ConfigError, LnatError, nearest

_COMMANDS: Final[Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]] = {
    "eval": ("run lm_eval with all arguments as given", info.declare_eval),
    "rank": ("rank teachers by the scores that lm_eval --log_samples wrote", rank.declare_rank),
    "report": (
        "write an HTML report: plots, tables, and the traces step by step", rank.declare_report
    ),
    "select": ("choose the rows to train on", select.declare_select),
    "sft": ("choose rows and train on them: trl sft with a selection block", info.declare_sft),
    "init": ("recognise data and write a teacher set's YAML", init.declare_init),
    "study": (
        "train students, and say which score predicted the better one", study.declare_study
    ),
    "gradients": (
        "teachers by the student's gradients on their responses: GRACE",
        gradients.declare_gradients,
    ),
    "nce": ("weigh rows by how far two students are apart on them", nce.declare_nce),
    "tasks": ("list teacher sets", info.declare_tasks),
    "check": ("load a teacher set and say what is wrong with it", info.declare_check),
    "plugins": ("list the plugins that are loaded", info.declare_plugins),
    "student": ("print the folder of the bundled student", info.declare_student),
}  # fmt: skip


INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as of a shell."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; 2 for bad input, with one line on stderr.

    Ctrl-C ends it with 130 and a line that says how to go on. Wrong arguments end in argparse's own
    SystemExit, whose code is 2 as well.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        if argv is None:  # a second Ctrl-C, while the process ends
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        log(f"interrupted: {_how_to_go_on(arguments)}: {shlex.join(['lnat', *arguments])}")
        return INTERRUPTED
    except BrokenPipeError:  # who reads stdout has read enough, as `head` has
        _drop_output()
        return 1


def _how_to_go_on(arguments: Sequence[str]) -> str:
    command = (*arguments, "")[0]
    if command == "study":
        return "the units that are done are kept, and this goes on with the others"
    if command == "eval":
        return "this begins again, and what --use_cache PATH has kept is not scored again"
    return "no output is half written; this begins again"


def _drop_output() -> None:
    """What is still to be printed goes nowhere: Python would try once more when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lnat",
        description="Which teacher's reasoning traces would a student learn most from?",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lnat-plugins {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (summary, declare) in _COMMANDS.items():
        # `eval` and `sft` hand on every argument, `--help` too, and declare none of their own.
        forwards: dict[str, Any] = {"add_help": False, "prefix_chars": "\0"}
        options = forwards if name in ("eval", "sft") else {}
        command = commands.add_parser(name, help=summary, allow_abbrev=False, **options)
        if name in arguments[:1]:
            declare(command)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse would print the usage of `lnat`, not that of the command.
        command = commands.choices[arguments[0]]
        known = [f"--{name}" for name in vars(args) if name != "run"]
        near = nearest(unknown[0], known).strip()
        command.error(
            f"unrecognized arguments: {' '.join(unknown)}" + (f"; {near}" if near else "")
        )
    args.command_line = arguments
    try:
        with plugin_warnings_as_lines():
            code: int = args.run(args)
            sys.stdout.flush()
    except LnatError as error:
        print(f"lnat: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as cause:
        # of a path that was given, such as one of 5,000 characters
        problem = ConfigError(
            f"this cannot be read or written: {cause.strerror or cause}",
            where=str(cause.filename or ""), remedy="check the path and its permissions",
        )  # fmt: skip
        print(f"lnat: error: {problem}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
        return problem.exit_code
    return code
