"""Where the command line's words go: stdout for results, stderr for remarks, files written whole.

Knows nothing of what it writes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

from lnat_plugins.whole_file import write_whole

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def say(text: str) -> None:
    """Print a result; a terminal that lacks a character (↑, Σ) gets "?" in its place."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def remark(text: str) -> None:
    """Print a line about the run, beside its result."""
    print(f"lnat: {text}", file=sys.stderr)


def write_out(path: Path, text: str) -> None:
    """Write a text file whole, and say so.

    Raises:
        ConfigError: the folder cannot be made or written to.
    """
    write_whole(path, text, "--output_path")
    remark(f"wrote {path}")
