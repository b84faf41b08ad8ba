"""`lnat student`: where the bundled student lies, for `--model_args pretrained=$(lnat student)`."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from lnat_plugins.cli._output import Commands, say
from lnat_plugins.errors import StudentError


def add(commands: Commands) -> None:
    """Declare the (no) arguments."""
    parser = commands.add_parser(
        "student",
        help="print the folder of the bundled student",
        description="Prints the absolute path of the small student that comes with the package.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the path alone, so that a shell can use it."""
    folder = Path(str(files("lnat_plugins") / "student")).absolute()
    if not folder.is_dir():
        raise StudentError(
            "the bundled student is missing from this installation",
            where=str(folder),
            remedy="run pip install --force-reinstall lnat-plugins",
        )
    say(f"{folder}\n")
    return 0
