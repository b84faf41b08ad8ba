"""Text files written as a whole: under a temporary name, then moved.

Knows nothing of what it writes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lnat_plugins.errors import ConfigError


def write_whole(path: Path, text: str, option: str) -> None:
    """Write a text file so that no half of it is ever seen; makes the folders above it.

    Args:
        path: the file.
        text: UTF-8, its line ends as they are.
        option: what named the folder, for the message: "--output_path".

    Raises:
        ConfigError: the folder cannot be made or written to, or the path is a folder.
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
    except IsADirectoryError:
        raise ConfigError(
            "this is a folder, where a file is to be written",
            where=str(path),
            remedy=f"give {option} the name of a file",
        ) from None
    except OSError as error:
        raise ConfigError(
            "cannot be written",
            where=str(path),
            found=error.strerror,
            remedy=f"give {option} a folder that can be written to",
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
