"""Files as outputs: what may be replaced, and writing that leaves the old file or the new one.

A file is replaced if lnat wrote it, which a mark in it or its keys say, if it is empty, or with
`--overwrite`; any other file is one error, raised before any work is done. A symbolic link stays a
link: its target is written, beside the target. What is no regular file (/dev/stdout, a FIFO) is
written to and never replaced.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from lnat_plugins.errors import ConfigError, shorten
from lnat_plugins.files import parse_json
from lnat_plugins.formatting import plural
from lnat_plugins.locks import beside, locked

OVERWRITE: Final = "--overwrite (in Python overwrite=True)"
"""The option of every command that replaces what lnat did not write, for remedies."""

_HEAD: Final = 4096
_OPEN_FILE: Final = re.compile(r"(?:/dev|/proc/self)/fd/(\d+)|/dev/(stdout|stderr)")
_STANDARD: Final = {"stdout": 1, "stderr": 2}
_MOST_LINKS: Final = 40


def marked(mark: bytes) -> Callable[[Path], bool]:
    """Whether the first 4 KB of a file match a pattern."""
    pattern = re.compile(mark)

    def is_ours(path: Path) -> bool:
        with path.open("rb") as file:
            return pattern.search(file.read(_HEAD)) is not None

    return is_ours


def with_keys(*keys: str) -> Callable[[Path], bool]:
    """Whether a file is a JSON object with all of these keys."""

    def is_ours(path: Path) -> bool:
        try:
            values = parse_json(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return False
        return isinstance(values, dict) and set(keys) <= values.keys()

    return is_ours


def check_file(
    path: Path, is_ours: Callable[[Path], bool], *, overwrite: bool, option: str
) -> None:
    """Refuse to write a file, before any work is done.

    Args:
        path: the file that is to be written.
        is_ours: whether a file that is there was written by lnat.
        overwrite: whether it may be another one.
        option: what named the file, for the message: "--output_path".

    Raises:
        ConfigError: a file that lnat did not write is there, the path is a folder, or its folder
            cannot be written to.
    """
    try:
        if is_stream(path):
            return
        target = _target(path)
        try:
            found = target.stat()
        except FileNotFoundError:
            check_writable(target.parent, option, str(path))
            return
        if stat.S_ISDIR(found.st_mode):
            raise _is_folder(path, option)
        check_writable(target.parent, option, str(path))
        if overwrite or not found.st_size or is_ours(target):
            return
        with target.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8", "replace").lstrip().partition("\n")[0]
    except (OSError, ValueError) as cause:
        raise _not_written(path, cause, option) from None
    size = plural(found.st_size, "byte", separator=",")
    raise ConfigError(
        "a file that lnat did not write is in the way", where=str(path),
        found=f"{size}, from {shorten(head, 40)}",
        remedy=f"name another path, or replace it with {OVERWRITE}",
    )  # fmt: skip


def check_writable(folder: Path, option: str, where: str = "") -> None:
    """Refuse a folder that cannot be made or written to (ConfigError).

    Args:
        folder: it, or the first folder above it that is there.
        option: what named it, for the message.
        where: what is to be written, by default the folder.
    """
    above = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
    if not above.is_dir():
        found = f"{above} is a file, not a folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        found = f"{above} cannot be written to"
    else:
        return
    raise ConfigError(
        "cannot be written", where=where or str(folder), found=found, remedy=_remedy(option)
    )


def write_atomic(path: Path, content: str | bytes, option: str) -> None:
    """Write a file under a temporary name, then move it; makes the folders above it.

    Whether a file that is there may be replaced is `check_file`'s matter.

    Args:
        path: the file; of a link the target is written, and a device or FIFO is written to.
        content: bytes, or text, written as UTF-8, line ends as they are.
        option: what named the folder, for the message: "--output_path".

    Raises ConfigError for a folder that cannot be made or written to, a path that is a folder, a
    disk that is full, and a file that another process goes on writing.
    """
    write_together({path: content}, option)


def write_together(contents: Mapping[Path, str | bytes], option: str) -> None:
    """Write files that belong together: all under temporary names, then one move after the other.

    A process that is killed leaves the old files or the new ones; between two moves, some of both.
    Of two processes that write the same files, in the same order, one writes after the other.

    Args, Raises: as `write_atomic`; where one file cannot be written, all stay as they were.
    """
    encoded = {
        path: content if isinstance(content, bytes) else content.encode("utf-8")
        for path, content in contents.items()
    }
    with ExitStack() as stack:
        moves: list[tuple[Path, Path, Path]] = []
        for path, data in encoded.items():
            with _as_one_error(path, option):
                if is_stream(path):
                    _write_stream(path, data)
                    continue
                target = _target(path)
                if target.is_dir():
                    raise _is_folder(path, option)
                target.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(target))
                new = beside(target, "new")
                new.unlink(missing_ok=True)  # of a process that was killed
                stack.callback(new.unlink, missing_ok=True)
                # Never through what another user has put there.
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
                with os.fdopen(os.open(new, flags, 0o666), "wb") as file:
                    file.write(data)
                moves.append((path, new, target))
        for path, new, target in moves:
            with _as_one_error(path, option):
                new.replace(target)


@contextmanager
def _as_one_error(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as cause:  # ValueError: a NUL in the path
        raise _not_written(path, cause, option) from None


def is_stream(path: Path) -> bool:
    """Whether a path is one of a device, a pipe or a socket, or leads to an open file of this
    process, such as /dev/stdout, which may be a regular file too.

    Raises OSError for a path that cannot be followed, ValueError for none.
    """
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return True
    return _open_file(path) is not None


def _open_file(path: Path) -> int | None:
    """The number of this process's open file that a path leads to; None if it leads to none."""
    for _ in range(_MOST_LINKS):
        path = path.absolute()
        if found := _OPEN_FILE.fullmatch(path.as_posix()):
            return int(found[1]) if found[1] else _STANDARD[found[2]]
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def _write_stream(path: Path, data: bytes) -> None:
    number = _open_file(path)
    sys.stdout.flush()  # what was printed comes first
    # An open file is not opened again: a socket cannot be, and a file would begin anew.
    name = path if number is None else os.dup(number)
    with open(name, "ab" if number is None else "wb", buffering=0) as file:  # noqa: PTH123
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _target(path: Path) -> Path:
    """The file itself, links resolved; of a dangling one, what it names.

    Raises OSError for links in a circle.
    """
    with suppress(FileNotFoundError):
        path.stat()
    return Path(os.path.realpath(path))


def _is_folder(path: Path, option: str) -> ConfigError:
    return ConfigError(
        "this is a folder, where a file is to be written",
        where=str(path), remedy=f"give {option} the name of a file",
    )  # fmt: skip


def _not_written(path: Path, cause: OSError | ValueError, option: str) -> ConfigError:
    found = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    remedy = _remedy(option) if isinstance(cause, OSError) else f"give {option} a path"
    return ConfigError("cannot be written", where=str(path), found=found, remedy=remedy)


def _remedy(option: str) -> str:
    return f"give {option} a folder that can be written to"
