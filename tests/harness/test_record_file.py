"""The file of `--use_cache`: what is kept in it, who may write to it, and what is no such file."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.harness import record_file
from lnat_plugins.harness.record_file import FORMAT, RecordFile

ROWS = [(f"key{i}", f'{{"n": {i}}}') for i in range(200)]
FORK = multiprocessing.get_context("fork")


def keep(file: RecordFile, rows: Iterable[tuple[str, str]]) -> None:
    file.keep("s", rows)
    file.write()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.lnat.sqlite"


@pytest.fixture
def filled(path: Path) -> Path:
    with closing(RecordFile(path)) as file:
        file.add_student("s", '{"name": "student"}')
        keep(file, ROWS)
    return path


@pytest.fixture
def full_disk() -> Iterator[Callable[[Path], None]]:
    """No file may grow beyond the size that one has when this is called."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda path: resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def asked(path: Path, question: str) -> Any:
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute(question).fetchall()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_what_is_kept_is_found_after_reopening(filled: Path) -> None:
    with closing(RecordFile(filled)) as file:
        assert [file.find(key) for key, _ in ROWS] == [record for _, record in ROWS]
        assert file.find("key999") is None
        keep(file, [("key3", "newer")])
        assert file.find("key3") == "newer"
    assert asked(filled, "SELECT * FROM students") == [("s", '{"name": "student"}')]
    assert asked(filled, "PRAGMA integrity_check") == [("ok",)]
    assert [one.name for one in filled.parent.iterdir()] == [filled.name]


def test_a_file_is_text_and_names_its_version(filled: Path) -> None:
    assert asked(filled, "PRAGMA user_version") == [(FORMAT,)]
    assert asked(filled, "PRAGMA application_id") == [(int.from_bytes(b"lnat", "big"),)]
    assert asked(filled, "SELECT DISTINCT typeof(key), typeof(record) FROM records") == [
        ("text", "text")
    ]


def of_others(path: Path) -> None:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE unnamed (key TEXT PRIMARY KEY, value BLOB)")
        opened.commit()


def of_a_later_version(path: Path) -> None:
    RecordFile(path).close()
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(f"PRAGMA user_version = {FORMAT + 1}")


def with_a_trigger(path: Path) -> None:
    RecordFile(path).close()
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(
            "CREATE TRIGGER planted AFTER INSERT ON records BEGIN DELETE FROM records; END"
        )


def with_a_view(path: Path) -> None:
    RecordFile(path).close()
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("DROP TABLE records")
        opened.execute("CREATE VIEW records AS SELECT 1 AS key, 2 AS student, 3 AS record")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"this is no cache " * 400), "no cache of scores"),
        (lambda path: path.write_bytes(b"x"), "no cache of scores"),
        (of_others, "other tables"),
        (of_a_later_version, f"another version .{FORMAT + 1}, not {FORMAT}"),
        (with_a_trigger, "other tables"),
        (with_a_view, "other tables"),
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be opened"),
    ],
    ids=[
        "junk", "byte", "others", "later", "trigger", "view", "folder", "fifo", "device", "loop",
    ],
)  # fmt: skip
def test_another_file_is_an_error_that_names_it(
    make: Callable[[Path], Any], message: str, path: Path
) -> None:
    make(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigError, match=message) as caught:
        RecordFile(path)
    assert str(path) in str(caught.value) and "--use_cache" in str(caught.value)
    assert stat.S_IFMT(path.lstat().st_mode) == kind
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "no/such/folder/cache"])
def test_a_path_that_cannot_be_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        RecordFile(tmp_path / name)


def test_a_file_that_was_cut_off_is_an_error(filled: Path) -> None:
    """At whatever byte, but for none: an empty file is a new one."""
    whole = filled.read_bytes()
    assert len(whole) > 3 * 4096
    for size in (1, 15, 99, 100, 511, 4095, 4096, 4097, 8192, len(whole) - 4096, len(whole) - 1):
        filled.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match="a damaged"):
            RecordFile(filled)
    filled.write_bytes(b"")
    with closing(RecordFile(filled)) as file:
        assert file.find("key1") is None


def test_pages_that_were_overwritten_end_no_run(
    filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = bytearray(filled.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    filled.write_bytes(whole)
    with closing(RecordFile(filled)) as file:
        assert [file.find(key) for key, _ in ROWS] == [None] * len(ROWS)
        keep(file, ROWS)
    (warning,) = warnings_in(caplog)
    assert str(filled) in warning and "goes on without it" in warning


def test_a_full_disk_is_one_warning_and_what_was_kept_stays(
    filled: Path, full_disk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(RecordFile(filled)) as file:
        full_disk(filled)
        for n in range(3):
            keep(file, [(f"large{n}", "x" * 100_000)])
        assert file.find("large0") is None
        assert [file.find(key) for key, _ in ROWS] == [record for _, record in ROWS]
    (warning,) = warnings_in(caplog)
    assert str(filled) in warning and "nothing more is kept" in warning
    assert asked(filled, "PRAGMA integrity_check") == [("ok",)]


def as_another_user(queue: Any, path: Path) -> None:
    """Root may write everywhere."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    logged: list[str] = []
    record_file._log.warning = lambda text, *of: logged.append(text % of)  # type: ignore[method-assign, assignment]
    try:
        with closing(RecordFile(path)) as file:
            for n in range(3):
                keep(file, [(f"new{n}", "x")])
            queue.put((file.find("key7"), file.find("new0"), logged))
    except ConfigError as error:
        queue.put(str(error))


@pytest.mark.parametrize("kept_before", [True, False])
def test_a_folder_that_cannot_be_written_to(kept_before: bool, filled: Path) -> None:
    """What is there is served, with one warning; a new file is an error at once."""
    queue = FORK.SimpleQueue()
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cache.lnat.sqlite"
        if kept_before:
            shutil.copy(filled, path)
            path.chmod(0o644)
        Path(name).chmod(0o555)
        child = FORK.Process(target=as_another_user, args=(queue, path))
        child.start()
        child.join(60)
        Path(name).chmod(0o755)
    assert child.exitcode == 0
    if not kept_before:
        assert "cannot be opened" in queue.get()
        return
    found, new, (warning,) = queue.get()
    assert (found, new) == (dict(ROWS)["key7"], None)
    assert str(path) in warning and "nothing more is kept" in warning


def keep_many(path: Path, name: str) -> None:
    with closing(RecordFile(path)) as file:
        for n in range(60):
            keep(file, [(f"{name}{n}", f"{name} {n}"), (f"shared{n}", f"value {n}")])


def test_several_processes_make_and_write_one_file(path: Path) -> None:
    children = [FORK.Process(target=keep_many, args=(path, name)) for name in "abcd"]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0] * 4
    with closing(RecordFile(path)) as file:
        for n in range(60):
            assert [file.find(f"{name}{n}") for name in "abcd"] == [
                f"{name} {n}" for name in "abcd"
            ]
            assert file.find(f"shared{n}") == f"value {n}"
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_lock_that_stays_is_one_warning(
    filled: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(record_file, "_PATIENCE", 0.05)
    with closing(RecordFile(filled)) as file, closing(sqlite3.connect(filled)) as other:
        other.execute("BEGIN IMMEDIATE")
        keep(file, [("new", "x")])
        keep(file, [("newer", "x")])
        assert file.find("key7") == dict(ROWS)["key7"]
    (warning,) = warnings_in(caplog)
    assert "locked" in warning


def test_a_transaction_that_is_left_half_done_is_none(filled: Path) -> None:
    with closing(RecordFile(filled)) as file:
        with pytest.raises(KeyboardInterrupt), file._transaction():  # noqa: PT012
            file._sqlite.execute("DELETE FROM records")
            raise KeyboardInterrupt
        assert file.find("key7") == dict(ROWS)["key7"]
        keep(file, [("after", "x")])
        assert file.find("after") == "x"


def test_the_disk_is_not_waited_for_at_every_prompt(path: Path) -> None:
    """What waits is found, is written after a while, and at the latest when the file is closed."""
    written = []
    with closing(RecordFile(path)) as file:
        file._sqlite.set_trace_callback(lambda text: written.append(text[:6]))
        keep(file, ROWS[:1])
        assert written.count("COMMIT") == 1
        file._next += 100
        for row in ROWS[1:]:
            keep(file, [row])
        assert written.count("COMMIT") == 1
        assert [file.find(key) for key, _ in ROWS] == [record for _, record in ROWS]
        assert asked(path, "SELECT count(*) FROM records") == [(1,)]
        file._next = 0.0
        keep(file, [("late", "x")])
        assert written.count("COMMIT") == 2
        keep(file, [("later", "x")])
    assert asked(path, "SELECT count(*) FROM records") == [(len(ROWS) + 2,)]


def test_records_are_written_together(path: Path) -> None:
    with closing(RecordFile(path)) as file:
        for row in ROWS:
            file.keep("s", [row])
            assert asked(path, "SELECT count(*) FROM records") == [(0,)]
            assert file.find(row[0]) == row[1]
        file.write()
        assert asked(path, "SELECT count(*) FROM records") == [(len(ROWS),)]
        file.keep("s", [("of a group that was begun", "x")])
    assert asked(path, "SELECT count(*) FROM records") == [(len(ROWS),)]


def test_keeping_takes_a_small_share_of_the_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes 30 ms, and prompts of 10 ms."""
    now = [100.0]
    monkeypatch.setattr(record_file.time, "monotonic", lambda: now[0])
    n_written = []

    def write(self: RecordFile, statement: str, rows: Any) -> None:
        n_written.append(len(rows))
        now[0] += 0.03

    with closing(RecordFile(path)) as file:
        monkeypatch.setattr(RecordFile, "_write", write)
        for row in ROWS * 10:
            now[0] += 0.01
            keep(file, [row])
        assert 0.03 * len(n_written) <= 0.025 * (now[0] - 100)
        assert len(n_written) >= 10


def test_a_lookup_after_the_end_of_an_interrupted_run_says_nothing(
    filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The second thread of a run that Ctrl-C ends looks a record up a moment later."""
    file = RecordFile(filled)
    assert file.find("key1")
    file.close()
    assert file.find("key1") is None and warnings_in(caplog) == []
