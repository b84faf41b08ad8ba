"""Kills a command at a moment drawn uniformly over its whole run, then runs it again.

Each time begins in the same folder with the same files, so that paths are the same too. What may
differ between two whole runs (dates, seconds) is left out by the scene that says what is compared.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.torture.processes import BEGAN, ENDED, Run, Say, start

Found = dict[str, object]
"""Name of an output -> what it holds; nothing where there is none."""


class Kind(NamedTuple):
    """A way of killing.

    Args:
        name: for the lines that are printed.
        work: the command, in the working folder; it says where it is.
        begin, end: between these signs it is killed.
        kill: whether what was to be killed was there, and what is wrong then.
        again: the next run, by default the same.
    """

    name: str
    work: Callable[[Say], None]
    begin: bytes = BEGAN
    end: bytes = ENDED
    kill: Callable[[Run], tuple[bool, list[str]]] = lambda run: (run.kill(), [])
    again: Callable[[Say], None] | None = None


class Scene(NamedTuple):
    """A command that is killed, and what it writes.

    Args:
        prepare: writes into the working folder what the command reads, and outputs of an earlier
            run, which it replaces.
        outputs: what is there or is not, as a whole, at any moment.
        kinds: taken in turn.
        results: what else is the same after every run that was not killed.
        kept: what the next run must take over as it is.
    """

    prepare: Callable[[], None]
    outputs: Callable[[Path], Found]
    kinds: Sequence[Kind]
    results: Callable[[Path], Found] = lambda place: {}
    kept: Callable[[Path], Found] = lambda place: {}


def torture(scene: Scene, folder: Path, draw: random.Random, count: int) -> tuple[int, list[str]]:
    """Runs that were killed before they ended, and what broke; prints a line for each."""
    place, at_first, log = folder / "place", folder / "at_first", folder / "log.txt"
    place.mkdir(parents=True)

    def run(work: Callable[[Say], None]) -> Run:
        def there(say: Say) -> None:
            os.chdir(place)
            work(say)

        return start(there, log)

    def again() -> None:
        log.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(at_first, place, symlinks=True)

    def whole(work: Callable[[Say], None]) -> dict[bytes, float]:
        """When each sign came."""
        running = run(work)
        moments = running.moments()
        running.end()
        return moments

    def found() -> Found:
        return {**scene.outputs(place), **scene.results(place)}

    run(lambda say: scene.prepare()).end()
    place.rename(at_first)
    again()
    before = scene.outputs(place)
    wholes: dict[Callable[[Say], None], tuple[dict[bytes, float], Found]] = {}
    for work in dict.fromkeys(kind.work for kind in scene.kinds[:count]):
        if not wholes:
            whole(work)  # it takes longer
            expected = found()
            again()
        wholes[work] = whole(work), found()
        again()
    differing = differences(expected, next(iter(wholes.values()))[1])
    assert not differing, f"two whole runs differ: {differing}"
    broken, n_killed = [], 0
    for number in range(1, count + 1):
        kind = scene.kinds[(number - 1) % len(scene.kinds)]
        moments, expected = wholes[kind.work]
        again()
        running = run(kind.work)
        running.wait_for(kind.begin)
        seconds = moments[kind.end] - moments[kind.begin]
        at = draw.uniform(0, seconds)
        time.sleep(at)
        was_there, problems = kind.kill(running)
        n_killed += was_there
        left, kept = scene.outputs(place), scene.kept(place)
        problems += [
            f"half written: {one}"
            for one in {**before, **left}
            if left.get(one) not in (before.get(one), expected.get(one))
        ]
        n_written = sum(left.get(one) != before.get(one) for one in left)
        whole(kind.again or kind.work)
        problems += [f"differs: {one}" for one in differences(expected, found())]
        after = scene.kept(place)
        problems += [f"done again: {one}" for one in kept if after.get(one) != kept[one]]
        problems += [
            f"left over: {path.name}" for path in place.rglob(".*.lnat-*") if _counts(path)
        ]
        done = "killed" if was_there else "had ended"
        print(
            f"{number}: {kind.name}: {done} after {at:.2f} of {seconds:.2f} s, "
            f"{n_written} written; {problems or 'ok'}", flush=True,
        )  # fmt: skip
        broken += [f"{number}: {problem}" for problem in problems]
    return n_killed, broken


def _counts(path: Path) -> bool:
    """An empty lock beside what is done, and is not done again, harms nobody."""
    return not path.name.endswith("-lock") or path.stat().st_size > 0


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The names whose values are not the same."""
    return [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
