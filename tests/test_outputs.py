"""Files as outputs: never half written, never in place of what lnat did not write."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.locks import beside, locked
from lnat_plugins.outputs import (
    check_file,
    is_stream,
    marked,
    with_keys,
    write_atomic,
    write_together,
)

OURS = marked(rb"^ours")


def check(path: Path, overwrite: bool = False) -> None:
    check_file(path, OURS, overwrite=overwrite, option="--output_path")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folders_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.md"
    write_atomic(path, "one\n", "--output_path")
    write_atomic(path, "zwei \u00e9\r\n", "--output_path")
    assert path.read_bytes() == "zwei \u00e9\r\n".encode()
    assert [file.name for file in path.parent.iterdir()] == ["out.md"]


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "x", "--output_path")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "old", "--output_path")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(tmp_path / "a", "new \ud83d", "--output_path")
    assert (tmp_path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_files_that_belong_together_are_written_or_stay_all(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "1", tmp_path / "a" / "2"
    write_together({first: "old", second: b"old"}, "--output_path")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="this is a folder"):
        write_together({first: "new", second: "new", tmp_path / "folder": "new"}, "--output_path")
    assert (first.read_text(), second.read_text()) == ("old", "old")
    write_together({first: "new", second: "new"}, "--output_path")
    assert (first.read_text(), second.read_text()) == ("new", "new")
    assert names(tmp_path / "a") == ["1", "2"] and names(tmp_path) == ["a", "folder"]


def test_a_kill_between_two_files_is_between_two_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are there as a whole, under their temporary names, before the first one is moved."""
    paths = [tmp_path / "1", tmp_path / "2"]
    moved, replace = [], Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved.append([beside(path, "new").exists() for path in paths])
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_together(dict.fromkeys(paths, "new"), "--output_path")
    assert moved == [[True, True], [False, True]]


def test_what_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError) as caught:
        write_atomic(tmp_path / "file" / "a", "x", "--output_path")
    assert "cannot be written" in str(caught.value)
    assert str(caught.value).endswith("Give --output_path a folder that can be written to.")
    with pytest.raises(ConfigError) as caught:
        write_atomic(tmp_path, "x", "the report")
    assert str(caught.value) == (
        f"{tmp_path}: this is a folder, where a file is to be written. "
        "Give the report the name of a file."
    )


@pytest.mark.parametrize("length", [1, 200, 240, 250, 255])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("n" * length)
    write_atomic(path, "x", "--output_path")
    write_atomic(path, "y", "--output_path")
    assert path.read_text() == "y" and names(tmp_path) == [path.name]


def test_of_a_link_the_target_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("old")
    (tmp_path / "second").symlink_to(tmp_path / "real" / "file")
    (tmp_path / "first").symlink_to("second")
    write_atomic(tmp_path / "first", "new", "--output_path")
    assert (tmp_path / "first").readlink() == Path("second")
    assert (tmp_path / "second").is_symlink() and not (tmp_path / "real" / "file").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"
    assert names(tmp_path) == ["first", "real", "second"] and names(tmp_path / "real") == ["file"]


def test_a_dangling_link_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(Path("new", "file"))
    check(tmp_path / "link")
    write_atomic(tmp_path / "link", "x", "--output_path")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new" / "file").read_text() == "x"


def test_links_in_a_circle_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for work in (check, lambda path: write_atomic(path, "x", "--output_path")):
        with pytest.raises(ConfigError, match=r"a: cannot be written \(found 'Too many levels"):
            work(tmp_path / "a")
    assert names(tmp_path) == ["a", "b"] and (tmp_path / "a").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_is_written_to_and_stays(tmp_path: Path, device: str) -> None:
    before = Path(device).stat()
    (tmp_path / "link").symlink_to(device)
    for path in (Path(device), tmp_path / "link"):
        check(path)
        if device == "/dev/full":
            with pytest.raises(ConfigError, match="cannot be written .*No space left on device"):
                write_atomic(path, "x", "--output_path")
        else:
            write_atomic(path, "x", "--output_path")
    assert stat.S_ISCHR(before.st_mode) and Path(device).stat().st_ino == before.st_ino
    assert names(tmp_path) == ["link"] and (tmp_path / "link").is_symlink()


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    text = "é" * 200_000  # more than a pipe holds
    read: list[str] = []
    reader = threading.Thread(
        target=lambda: read.append((tmp_path / "pipe").read_text("utf-8")), daemon=True
    )
    reader.start()
    check(tmp_path / "pipe")
    write_atomic(tmp_path / "pipe", text, "--output_path")
    reader.join(20)
    assert read == [text]
    assert names(tmp_path) == ["pipe"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_an_open_file_of_a_process_is_a_stream(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        (tmp_path / "link").symlink_to(f"/dev/fd/{file.fileno()}")
        for path in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            file.write(b"head\n")
            check(Path(path))
            write_atomic(Path(path), "x\n", "--output_path")
        assert is_stream(tmp_path / "link")
    assert (tmp_path / "file").read_text() == "head\nx\n" * 2
    assert not is_stream(tmp_path / "file") and not is_stream(tmp_path / "none")


@pytest.mark.parametrize("content", ["ours", "ours\nmore", ""])
def test_what_lnat_wrote_may_be_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    check(tmp_path / "a")


@pytest.mark.parametrize("content", [b"yours", b" ours", b"\xff\n", b"\n", b"x" * 9999 + b"ours"])
def test_any_other_file_is_refused_and_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "link").symlink_to("a")
    for path in (tmp_path / "a", tmp_path / "link"):
        with pytest.raises(ConfigError) as caught:
            check(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: a file that lnat did not write is in the way (found ")
        assert text.endswith(
            "Name another path, or replace it with --overwrite (in Python overwrite=True)."
        )
        check(path, overwrite=True)
    assert (tmp_path / "a").read_bytes() == content


def test_a_folder_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="this is a folder, where a file is to be written"):
            check(tmp_path, overwrite)


def test_a_path_below_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("file/a", "file/b/c"):
        with pytest.raises(ConfigError, match="cannot be written .*(Not a directory|is a file)"):
            check(tmp_path / path)


def test_a_path_with_nul_is_one_clear_line(tmp_path: Path) -> None:
    for work in (check, lambda path: write_atomic(path, "x", "--output_path")):
        with pytest.raises(ConfigError, match="cannot be written .*null"):
            work(tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("text", "ours"),
    [('{"a": 1, "b": 2, "c": 3}', True), ('{"a": 1}', False), ("[]", False), ("no", False),
     ('{"a": 1, "a": 2, "b": 3}', False), ("[" * 20_000, False)],
)  # fmt: skip
def test_json_is_known_by_its_keys(tmp_path: Path, text: str, ours: bool) -> None:
    (tmp_path / "a").write_text(text)
    assert with_keys("a", "b")(tmp_path / "a") is ours


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (tmp_path / "target").write_text("safe")
    beside(path, "lock").touch()
    beside(path, "new").symlink_to(tmp_path / "target")  # as another user might put it there
    write_atomic(path, "x", "--output_path")
    assert names(tmp_path) == ["a", "target"]
    assert path.read_text() == "x" and (tmp_path / "target").read_text() == "safe"


def test_a_file_that_another_process_writes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    with locked(path):
        beside(path, "new").write_text("half")
        with (
            pytest.raises(ConfigError, match="a: another process is writing this"),
            locked(path, 0),
        ):
            pytest.fail("two have the lock")
        writer = threading.Thread(target=write_atomic, args=(path, "x", "--output_path"))
        writer.start()
        writer.join(0.3)
        assert writer.is_alive() and beside(path, "new").read_text() == "half"
        beside(path, "new").unlink()
    writer.join(20)
    assert path.read_text() == "x" and names(tmp_path) == ["a"]
