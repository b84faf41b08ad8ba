"""`lnat eval`: lm_eval itself, with the student's path checked first."""

from __future__ import annotations

import argparse

from lnat_plugins.cli._output import Commands


def add(commands: Commands) -> None:
    """Declare that everything behind the word goes to lm_eval."""
    parser = commands.add_parser(
        "eval",
        help="run lm_eval with all arguments as given",
        description="Runs lm_eval with all arguments as given. Differs from it in two points: a "
        "wrong path to the student is one line, and the shipped tasks are found from a source "
        "checkout too.",
        add_help=False,
        allow_abbrev=False,
        prefix_chars="\0",
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Hand over to the harness and return its exit code."""
    from lnat_plugins.harness.command import run_lm_eval

    return run_lm_eval(args.arguments)
