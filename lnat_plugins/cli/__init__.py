"""The command `lnat`: reads arguments, calls the layers below, prints. Computes nothing itself.

Each sub-command is a module with `add(commands)`, which declares its arguments, and `run(args)`,
which imports what it needs and returns the exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lnat_plugins import __version__
from lnat_plugins.cli import info, rank, select
from lnat_plugins.errors import LnatError

__all__ = [
    "main",
]

_COMMANDS = (
    info.add_eval_command,
    rank.add_rank_command,
    rank.add_report_command,
    select.add_select_command,
    info.add_tasks_command,
    info.add_plugins_command,
    info.add_student_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code; 2 for bad input, told in one line.

    Wrong arguments end in argparse's own SystemExit, whose code is 2 as well.
    """
    args = _parser().parse_args(argv)
    try:
        with info.plugin_remarks():
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
    for add_command in _COMMANDS:
        add_command(commands)
    return parser
