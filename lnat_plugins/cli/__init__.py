"""The command `lnat`: reads arguments, calls the layers below, prints. Computes nothing itself.

Each sub-command is a module with `add(commands)`, which declares its arguments, and `run(args)`,
which imports what it needs and returns the exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lnat_plugins import __version__
from lnat_plugins.cli import _eval, _plugins, _rank, _report, _select, _student, _tasks
from lnat_plugins.errors import LnatError

__all__ = ["main"]

_COMMANDS = (_eval, _rank, _report, _select, _tasks, _plugins, _student)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code; 2 for bad input, told in one line.

    Wrong arguments end in argparse's own SystemExit, whose code is 2 as well.
    """
    args = _parser().parse_args(argv)
    try:
        with _plugins.plugin_remarks():
            code: int = args.run(args)
    except LnatError as error:
        print(f"lnat: error: {error}", file=sys.stderr)
        return error.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lnat",
        description="Tells which teacher's reasoning traces a student would learn most from.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lnat-plugins {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
