"""Folders as outputs: written aside and moved into place as a whole.

A process that is killed at any moment leaves the old folder or the new one in its place, or the old
one under a hidden name beside it, from which the next run brings it back (`restored`). The lock of
the folder (`locks`) says whether what stands under these names belongs to a process that is alive.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lnat_plugins.errors import ConfigError
from lnat_plugins.locks import beside, locked


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the other's place when the block ends.

    Nothing is changed where the block fails. Two processes write one after the other.

    Args:
        folder: links resolved.

    Raises:
        ConfigError: another process writes this folder.
        OSError: it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _restore(folder)
        new, old = beside(folder, "new"), beside(folder, "old")
        try:
            new.mkdir()
            yield new
            try:
                if os.path.lexists(folder):
                    folder.rename(old)
                new.rename(folder)
            except BaseException:
                if os.path.lexists(old) and not os.path.lexists(folder):
                    old.rename(folder)
                raise
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _discard(old, beside(folder, "gone"))


def restored(folder: Path) -> None:
    """Brings back a folder that a killed process had moved aside, and removes what it has left.

    Does nothing where no process was killed, or where another one writes the folder just now.
    """
    if any(os.path.lexists(beside(folder, kind)) for kind in ("lock", "new", "old", "gone")):
        with suppress(ConfigError, OSError), locked(folder, patience=0):
            _restore(folder)


def emptied(folder: Path) -> None:
    """Removes a folder and makes it anew; the caller has its lock.

    Raises OSError where it cannot be removed or made.
    """
    gone = beside(folder, "gone")
    _remove(gone)
    _discard(folder, gone)
    folder.mkdir(parents=True)


def _restore(folder: Path) -> None:
    new, old, gone = (beside(folder, kind) for kind in ("new", "old", "gone"))
    _remove(gone)
    _remove(new)
    if not os.path.lexists(folder) and old.is_dir() and not old.is_symlink():
        old.rename(folder)
    _discard(old, gone)


def _discard(folder: Path, gone: Path) -> None:
    """Half of a folder never stands under the name by which a whole one is known."""
    if os.path.lexists(folder):
        folder.rename(gone)
        _remove(gone)


def _remove(folder: Path) -> None:
    if os.path.lexists(folder):
        shutil.rmtree(folder)
