"""Who writes an output: one process at a time, and what a killed one has left is known as such.

The lock is one of the operating system (flock) on a hidden file beside the output. The system
releases it when its process ends, however it ends, so that no lock outlives its owner. Whoever has
the lock may remove what stands under the output's temporary names: nobody alive writes there.

Where there are no such locks (Windows, some network file systems), outputs are written without.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lnat_plugins.errors import ConfigError

if sys.platform != "win32":
    import fcntl

PATIENCE: Final = 60.0
"""Seconds that one process waits for another one to write the same output."""

_EVERY: Final = 0.05
_LONGEST: Final = 200
"""Bytes of an output's name that stand in the names beside it; a file system takes 255 in all."""

_HELD: Final = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL)


def beside(output: Path, kind: str) -> Path:
    """The hidden name beside an output for "lock", "new", "old" or "gone"."""
    name = output.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return output.with_name(f".{name}.lnat-{kind}")


@contextmanager
def locked(
    output: Path, patience: float | None = None, what: str = "another process is writing this"
) -> Iterator[None]:
    """Holds the lock of an output; the hidden file is removed in the end.

    Args:
        output: a file or folder, links resolved; its folder is there.
        patience: seconds to wait for another process, `PATIENCE` by default.
        what: the error's first words.

    Raises:
        ConfigError: another process has the lock.
        OSError: no file can be made in the folder.
    """
    if sys.platform == "win32":
        yield
        return
    path = beside(output, "lock")
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    while (handle := _acquired(path)) is None:
        if time.monotonic() >= end:
            raise ConfigError(
                what, where=str(output), remedy="wait until it has ended, or give another path"
            )
        time.sleep(_EVERY)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _acquired(path: Path) -> int | None:
    """The open file with its lock; None where another process has it."""
    flags = os.O_NOFOLLOW
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)  # NFS locks no other
    except PermissionError:
        if not os.path.lexists(path):
            raise
        handle = os.open(path, os.O_RDONLY | flags)  # of another user
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        if cause.errno in _NO_LOCKS:
            return handle
        os.close(handle)
        if cause.errno in _HELD:
            return None
        raise
    # The process that had it has removed the file, and a third one may have made another.
    if not _same(handle, path):
        os.close(handle)
        return None
    return handle


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
