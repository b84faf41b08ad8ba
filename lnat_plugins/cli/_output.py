"""Where the command line's words go: stdout for results, stderr for remarks, files written whole.

Knows nothing of what it writes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

from lnat_plugins.errors import ConfigError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def say(text: str) -> None:
    """Print a result; a terminal that lacks a character (↑, Σ) gets "?" in its place."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def remark(text: str) -> None:
    """Print a line about the run, beside its result."""
    print(f"lnat: {text}", file=sys.stderr)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name and move it, so that no half file is ever seen.

    Raises:
        ConfigError: the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            # mkstemp's files are private; a result is as readable as any other file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(
            "cannot be written",
            where=str(path),
            found=error.strerror,
            remedy="give --output_path a folder that can be written to",
        ) from None
    remark(f"wrote {path}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
