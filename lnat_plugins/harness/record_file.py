"""The file in which `--use_cache` keeps scored records: sqlite, with JSON text alone.

lm-eval's own cache holds pickles, so that a planted one runs code. No byte of ours goes through it
in either direction. All processes of a run share one file, and so may several runs: they write in
short transactions with a rollback journal, so that a process or a machine that stops leaves whole
prompts and nothing to repair. (A write-ahead log does not work on network file systems.)
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError

FORMAT: Final = 1
"""The version of the tables, which a file names in sqlite's `user_version`."""

_OURS: Final = 0x6C6E6174  # "lnat", as sqlite's `application_id`
_TABLES: Final = frozenset(
    {
        "CREATE TABLE students (fingerprint TEXT PRIMARY KEY, described TEXT NOT NULL)",
        "CREATE TABLE records (key TEXT PRIMARY KEY, student TEXT NOT NULL, record TEXT NOT NULL)",
    }
)
_PATIENCE: Final = 10.0
"""Seconds that one process waits for another's transaction."""

_SHARE: Final = 0.02
"""Of the time, at most, for which the disk is waited for: it takes 1 to 30 ms a transaction, as
long as a small student takes for a prompt. A run that is killed loses what was kept since the last
one, which is 50 times as long."""
_LONGEST: Final = 5.0
"""Seconds between two transactions, at most."""

_SMALLEST: Final = 512
"""Bytes of sqlite's smallest file; it would take a smaller one for an empty one."""

_OTHER_PATH: Final = "delete it, or give --use_cache another path"

# A child of the harness's own logger, whose handler and level its command sets up.
_log = logging.getLogger(f"lm_eval.{__name__}")


class RecordFile:
    """Key -> record, as text; open until `close`.

    What is wrong when the file is opened is an error, since nothing was read yet. What fails later
    (a full disk, a folder without permission, a lock that stays) is one warning, and the run goes
    on without the file: it would lose what it has scored. A file that can be read and not written
    to serves its records.

    Args:
        path: made if it is not there.

    Raises:
        ConfigError: it cannot be opened, or is no such file, or of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.Lock()  # records are looked up in a second thread
        self._readable = self._writable = True
        self._closed = False
        self._warned: set[str] = set()
        self._kept: dict[str, tuple[str, str]] = {}
        self._waiting: dict[str, tuple[str, str]] = {}
        self._next = 0.0
        try:
            found = self.path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise self._refused("not a regular file", "give --use_cache another path")
            if 0 < found.st_size < _SMALLEST and not Path(f"{self.path}-journal").exists():
                raise self._refused("no cache of scores, or a damaged one: it is too short")
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as cause:
            raise self._not_opened(cause) from None
        try:
            self._sqlite = sqlite3.connect(
                self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as cause:
            raise self._not_opened(cause) from None
        try:
            self._check_or_make()
        except BaseException:
            self._sqlite.close()
            raise

    def find(self, key: str) -> str | None:
        """The record of that key, or None."""
        for unwritten in (self._kept, self._waiting):
            if key in unwritten:
                return unwritten[key][1]
        if not self._readable:
            return None
        try:
            with self._lock:
                if self._closed:  # by an interrupted run, whose second thread has not ended yet
                    return None
                row = self._sqlite.execute(
                    "SELECT record FROM records WHERE key = ?", (key,)
                ).fetchone()
        except sqlite3.Error as cause:
            self._readable = self._writable = False
            self.warn(f"it cannot be read ({cause}), and the run goes on without it")
            return None
        return row[0] if row and isinstance(row[0], str) else None

    def keep(self, student: str, records: Iterable[tuple[str, str]]) -> None:
        """Keeps pairs of key and record for `write`."""
        if self._writable:
            self._kept |= {key: (student, record) for key, record in records}

    def write(self) -> None:
        """Writes what was kept: all or, if the process is killed meanwhile, none.

        With what is kept until a later call, if the file was written to a moment ago.
        """
        self._waiting |= self._kept
        self._kept = {}
        if time.monotonic() >= self._next:
            self._write_waiting()

    def add_student(self, fingerprint: str, described: str) -> None:
        """Writes whose records these are."""
        self._write("INSERT OR REPLACE INTO students VALUES (?, ?)", [(fingerprint, described)])

    def warn(self, what: str) -> None:
        """Says once what is wrong with the file."""
        if what not in self._warned:
            self._warned.add(what)
            _log.warning("--use_cache %s: %s", self.path, what)

    def close(self) -> None:
        """Writes what is not in the file yet, but for what was kept since the last `write`."""
        try:
            self._write_waiting()
        finally:
            with self._lock:
                self._closed = True
                self._sqlite.close()

    def _write_waiting(self) -> None:
        rows = [(key, *of_key) for key, of_key in self._waiting.items()]
        begin = time.monotonic()
        self._write("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)
        self._waiting = {}
        end = time.monotonic()
        self._next = end + min(_LONGEST, (end - begin) / _SHARE)

    def _write(self, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
        if not rows or not self._writable:
            return
        try:
            with self._transaction():
                self._sqlite.executemany(statement, rows)
        except sqlite3.Error as cause:
            self._writable = False
            self.warn(f"nothing more is kept ({cause}); the run goes on without")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._sqlite.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sqlite.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # some errors have ended it already
                    self._sqlite.execute("ROLLBACK")
                raise

    def _check_or_make(self) -> None:
        try:
            # No trigger or view of a planted file is run.
            self._sqlite.execute("PRAGMA trusted_schema = OFF")
            self._sqlite.execute("PRAGMA cell_size_check = ON")
            if not (self._number("application_id") or self._tables()):
                with self._transaction():
                    # Another process may have been faster.
                    if not self._tables():
                        for table in _TABLES:
                            self._sqlite.execute(table)
                        self._sqlite.execute(f"PRAGMA application_id = {_OURS}")
                        self._sqlite.execute(f"PRAGMA user_version = {FORMAT}")
            self._sqlite.execute("BEGIN")
            found = self._number("application_id"), self._number("user_version"), self._tables()
            # While this transaction reads, no other one writes. A last page that is cut short would
            # be read as one with zeros at its end.
            size = self._number("page_count") * self._number("page_size")
            cut_off = self.path.stat().st_size < size
            self._sqlite.execute("ROLLBACK")
        except sqlite3.OperationalError as cause:
            raise self._not_opened(cause) from None
        except sqlite3.Error as cause:
            raise self._refused(f"no cache of scores, or a damaged one: {cause}") from None
        if cut_off:
            raise self._refused("a damaged cache of scores: the end of the file is missing")
        if found == (_OURS, FORMAT, _TABLES):
            return
        if found[0] == _OURS and found[1] != FORMAT:
            raise self._refused(f"a cache of another version ({found[1]}, not {FORMAT})")
        raise self._refused("no cache of scores: it holds other tables")

    def _number(self, pragma: str) -> int:
        return int(self._sqlite.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _tables(self) -> frozenset[Any]:
        """What defines the file's tables, and all else that sqlite runs or reads by."""
        rows = self._sqlite.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return frozenset(sql for (sql,) in rows)

    def _refused(self, what: str, remedy: str = _OTHER_PATH) -> ConfigError:
        return ConfigError(what, where=f"--use_cache: {self.path}", remedy=remedy)

    def _not_opened(self, cause: Exception) -> ConfigError:
        return ConfigError(
            "the cache of scores cannot be opened", where=f"--use_cache: {self.path}",
            found=str(cause),
            remedy="give a path in a folder that can be written to, or leave --use_cache out",
        )  # fmt: skip
