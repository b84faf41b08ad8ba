"""Kills a process that writes at every system call that changes a folder: `python tests/kills.py`.

Prints a line a case: how often the process was killed, and what was wrong afterwards. A child
writes and is killed by SIGKILL right before its n-th call, for n from 1 until it comes to its end;
then the next run of the same kind writes, after a look at what was left.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # At the end of the path, so that the installed package is tested, not the checkout's.
    sys.path.append(str(Path(__file__).parents[1]))

from lnat_plugins.folders import emptied
from lnat_plugins.locks import beside, locked
from lnat_plugins.outputs import write_atomic, write_together
from lnat_plugins.selection.training_set import check_folder, write_training_set
from tests.selection.builders import four_rows, selection_of

CALLS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "fcntl.flock", "os.scandir"}
NAME = "chosen"
Work = Callable[[Path], object]


def contents(path: Path) -> object:
    """All that is below a path; None where nothing is."""
    if path.is_file():
        return path.read_bytes()
    if not path.is_dir():
        return None
    return {one.name: contents(one) for one in path.iterdir()}


def child(work: Work, folder: Path, kill_at: int = 0) -> bool:
    """Works in another process, killed before that call; whether it came to its end."""
    pid = os.fork()
    if not pid:
        calls = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal calls
            if event in CALLS or (event == "open" and str(folder) in str(arguments[0])):
                calls += 1
                if calls == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(watch)
            work(folder / NAME)
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), f"the writing process ended with {status}"
    return status == 0


def select(rows: tuple[int, ...]) -> Work:
    """Writes a training set of these rows."""
    pool = four_rows()
    return lambda path: write_training_set(path, pool, selection_of(pool, rows))


def begin_unit(path: Path) -> None:
    """As a study begins a unit."""
    with locked(path, patience=0):
        emptied(path)
        (path / "log.txt").write_text("new")


def moved_aside(path: Path) -> None:
    """As a process leaves a folder that is killed between two renames."""
    beside(path, "lock").touch()
    beside(path, "new").mkdir()
    path.rename(beside(path, "old"))


def torture(before: Work | None, work: Work, after: Work, look: Work | None = None) -> str:
    """Kills `work` at every call.

    Args:
        before: makes what is there at first.
        after: is killed nowhere; what it leaves is right.
        look: the first step of the next run, after which the old or the new output is there whole.
    """
    wrong: list[str] = []
    kills = 0
    with tempfile.TemporaryDirectory(prefix="lnat-kills-") as name:
        root = Path(name)
        for one, steps in {"old": (before,), "new": (before, after)}.items():
            (root / one).mkdir()
            for step in filter(None, steps):
                assert child(step, root / one)
        old, new = (contents(root / one / NAME) for one in ("old", "new"))
        for number in range(1, 1000):
            folder = root / "run"
            shutil.copytree(root / "old", folder, symlinks=True)
            # Paths stand in the files.
            if before is not None:
                shutil.rmtree(folder)
                folder.mkdir()
                assert child(before, folder)
                old = contents(folder / NAME)
            ended = child(work, folder, number)
            if look is not None:
                assert child(look, folder)
                if without_paths(contents(folder / NAME)) not in map(without_paths, (old, new)):
                    wrong.append(f"call {number}: neither the old nor the new one")
                if left := [one.name for one in folder.iterdir() if one.name != NAME]:
                    wrong.append(f"call {number}: left {left}")
            assert child(after, folder)
            if without_paths(contents(folder / NAME)) != without_paths(new):
                wrong.append(f"call {number}: the next run did not write")
            if left := [one.name for one in folder.iterdir() if one.name != NAME]:
                wrong.append(f"call {number}: the next run left {left}")
            shutil.rmtree(folder)
            if ended:
                break
            kills += 1
    return f"{kills} kills, {len(wrong)} wrong {wrong[:5] or ''}".strip()


def without_paths(found: object) -> object:
    """The files but for `sft.yaml`, which names its own folder."""
    if isinstance(found, dict):
        return {name: without_paths(one) for name, one in found.items() if name != "sft.yaml"}
    return found


def old_file(path: Path) -> None:
    """A file that is there."""
    path.write_text("old")


def new_file(path: Path) -> None:
    """The file, as the product writes it."""
    write_atomic(path, "new", "--output_path")


def two_files(text: str) -> Work:
    """Two files that belong together."""
    return lambda path: write_together({path / "a": text, path / "b": text}, "--output_path")


def old_unit(path: Path) -> None:
    """A unit's folder with what a unit leaves."""
    (path / "scores").mkdir(parents=True)
    (path / "scores" / "samples.jsonl").write_text("old")
    (path / "log.txt").write_text("old")


def unit_is_ours(path: Path) -> None:
    """What is there of a unit is empty or has its log: a study takes the rest for another's."""
    found = [one.name for one in path.iterdir()] if path.is_dir() else []
    assert not found or "log.txt" in found, found


def first_set(path: Path) -> None:
    """The training set of one row."""
    select((0,))(path)


def set_aside(path: Path) -> None:
    """A training set, moved aside."""
    first_set(path)
    moved_aside(path)


CASES: dict[str, Callable[[], str]] = {
    "a training set": lambda: torture(None, select((1, 2)), select((1, 2)), check_folder),
    "a training set over another": lambda: torture(
        first_set, select((1, 2)), select((1, 2)), check_folder
    ),
    "a training set brought back": lambda: torture(
        set_aside, check_folder, first_set, check_folder
    ),
    "a file": lambda: torture(None, new_file, new_file),
    "a file over another": lambda: torture(old_file, new_file, new_file),
    "two files over others": lambda: torture(two_files("old"), two_files("new"), two_files("new")),
    "a unit": lambda: torture(old_unit, begin_unit, lambda p: (unit_is_ours(p), begin_unit(p))),
}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as one:  # else each child imports what this imports
        first_set(Path(one) / NAME)
        check_folder(Path(one) / NAME)
    for case, run in CASES.items():
        print(f"{case}: {run()}", flush=True)
