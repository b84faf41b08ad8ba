"""Folders and files that a killed process was writing: the old or the new one, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.folders import emptied, replacing, restored
from lnat_plugins.locks import beside, locked

PROGRAM = [sys.executable, "-W", "ignore"]

NAIVE = """
import shutil
from tests.kills import old_unit, torture

def naive(path):
    path.rename(path.with_name("aside"))
    (path / "scores").mkdir(parents=True)
    shutil.rmtree(path.with_name("aside"))

def after(path):
    shutil.rmtree(path, ignore_errors=True)
    (path / "scores").mkdir(parents=True)

print(torture(old_unit, naive, after, lambda path: None))
"""


def test_a_process_killed_at_any_call_leaves_the_old_or_the_new_one(repo: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, str(repo / "tests" / "kills.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    kills = dict(re.findall(r"^(.*): (\d+) kills, 0 wrong$", done.stdout, re.MULTILINE))
    assert len(kills) == len(done.stdout.splitlines()) == 7, done.stdout
    assert all(int(count) >= 5 for count in kills.values()), done.stdout


def test_a_folder_that_is_lost_is_found(repo: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "-c", NAIVE], capture_output=True, text=True, cwd=repo, check=True
    )
    assert re.match(r"\d+ kills, [1-9]\d* wrong \['call 2: neither the old", done.stdout)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_a_process_that_is_alive_stay(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with locked(folder):
        for kind in ("new", "old", "gone"):
            beside(folder, kind).mkdir()
        before = names(tmp_path)
        restored(folder)
        assert names(tmp_path) == before
    restored(folder)
    assert names(tmp_path) == ["c"]


def test_what_stands_in_the_place_of_an_output_stays(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    for path in (folder, beside(folder, "old")):
        path.mkdir()
        (path / path.name).touch()
    restored(folder)
    assert names(tmp_path) == ["c"] and names(folder) == ["c"]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "old").touch()
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "c") as new:  # noqa: PT012
        (new / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == ["c"] and names(tmp_path / "c") == ["old"]


def test_a_lock_that_is_held_is_one_clear_line(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "c"),
        pytest.raises(ConfigError) as caught,
        locked(tmp_path / "c", 0.1, "it is busy"),
    ):
        pytest.fail("two have the lock")
    assert str(caught.value) == (
        f"{tmp_path / 'c'}: it is busy. Wait until it has ended, or give another path."
    )
    assert names(tmp_path) == []


def test_an_emptied_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    emptied(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "x").touch()
    emptied(tmp_path / "a" / "b")
    assert names(tmp_path / "a") == ["b"] and names(tmp_path / "a" / "b") == []


def test_a_link_in_a_temporary_name_is_not_followed(tmp_path: Path) -> None:
    """Another user of a shared folder may have put it there."""
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe" / "file").touch()
    (tmp_path / "out").mkdir()
    folder = tmp_path / "out" / "c"
    for kind in ("new", "gone", "old"):
        beside(folder, kind).symlink_to(tmp_path / "safe")
        with pytest.raises(OSError, match="symbolic link"), replacing(folder):
            pytest.fail("it was used")
        for left in folder.parent.iterdir():
            left.unlink()
    assert names(tmp_path / "safe") == ["file"]
