"""The folder: what stands in it, that it comes whole or not at all, and what it may replace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import training_set as write
from lnat_plugins.selection.training_set import read_selection, write_training_set

from .builders import pool_of, selection_of

FILES = ["README.md", "data/train.parquet", "selection.json", "sft.yaml"]


def below(folder: Path) -> list[str]:
    """Every file, hidden ones included."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def put(folder: Path, chosen: tuple[int, ...] = (1, 2), **options: Any) -> tuple[Path, ...]:
    pool = pool_of()
    return write_training_set(folder, pool, selection_of(pool, chosen), **options)


def test_the_files(tmp_path: Path) -> None:
    written = put(tmp_path / "new" / "chosen")
    assert below(tmp_path) == [f"new/chosen/{name}" for name in FILES]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == below(tmp_path)
    assert all(path.is_absolute() for path in written)
    mode = (tmp_path / "new" / "chosen").stat().st_mode
    assert mode & 0o777 == (tmp_path / "new").stat().st_mode & 0o777


def test_an_older_training_set_is_replaced_whole(tmp_path: Path) -> None:
    pool = pool_of(roles=["user"])
    write_training_set(
        tmp_path / "c", pool, selection_of(pool), form="messages", llama_factory=True
    )
    assert "c/dataset_info.json" in below(tmp_path)
    put(tmp_path / "c", (0,))
    assert below(tmp_path) == [f"c/{name}" for name in FILES]
    assert read_selection(tmp_path / "c").indices == (0,)


def test_an_empty_folder_and_a_link_are_filled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for chosen in ((1, 2), (0,)):
        put(tmp_path / "link", chosen)
        assert (tmp_path / "link").is_symlink()
        assert read_selection(tmp_path / "real").indices == chosen


def test_the_same_selection_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = ([path.read_bytes() for path in sorted(put(tmp_path / "c"))] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["write_parquet", "_replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_crash_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BaseException]
) -> None:
    def crash(path: Path, *_: Any) -> None:
        if name == "write_parquet":
            path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(write, name, crash)
    with pytest.raises(error):
        put(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "c", (0,))
    rename = Path.rename
    moves: list[Path] = []

    def crash(self: Path, target: Path) -> Path:
        moves.append(self)
        if len(moves) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "c")
    assert below(tmp_path) == [f"c/{name}" for name in FILES]
    assert read_selection(tmp_path / "c").indices == (0,)


@pytest.mark.parametrize("name", ["model.safetensors", "data/valid.parquet", "x/y"])
def test_files_of_others_are_never_removed(tmp_path: Path, name: str) -> None:
    put(tmp_path / "c")
    (tmp_path / "c" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "c" / name).touch()
    before = below(tmp_path)
    with pytest.raises(ConfigError, match=rf"no part of a training set \(found '{name}'\)"):
        put(tmp_path / "c")
    assert below(tmp_path) == before


@pytest.mark.parametrize("text", ["{}", "no json"])
def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(ConfigError, match=r"\(found 'selection.json'\)\. Give another folder"):
        put(tmp_path)
    with pytest.raises(ConfigError, match="a file stands where the training set is to go"):
        put(tmp_path / "selection.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=r"cannot be written \(found 'Permission denied'\)"):
        put(tmp_path / "c")


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"the training set cannot be written"):
        put(tmp_path / "file" / "c")


def test_a_form_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    pool = pool_of(plain=True)
    with pytest.raises(ConfigError, match="plain text cannot be written as `messages`.*apply_chat"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), form="messages")
    with pytest.raises(ConfigError, match=r"unknown form of rows \(found 'mesages'\)\. Did you"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), form="mesages")
    assert below(tmp_path) == []


def test_a_selection_of_other_rows_is_refused(tmp_path: Path) -> None:
    pool = pool_of()
    with pytest.raises(DataError, match="made from other rows"):
        write_training_set(tmp_path / "c", pool, selection_of(pool_of(plain=True)))
    with pytest.raises(DataError, match="no row is chosen"):
        write_training_set(tmp_path / "c", pool, selection_of(pool, ()))
