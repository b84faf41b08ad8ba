"""One of two processes that share work, started by test_parallel.py."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from lnat_plugins.errors import DataError, LnatError
from lnat_plugins.scoring.parallel import Processes, score_prompts
from lnat_plugins.scoring.progress import TokenBar
from tests.helpers_ranks import leave

COSTS = [1, 5, 2, 5, 1, 1, 1, 1]


def main(arguments: Sequence[str]) -> None:
    """Writes what this rank took, got and raised."""
    PartialState(cpu=True)
    folder, processes = Path(arguments[0]), Processes()

    # The second process is slow: it is not done with its first item before the others are taken.
    taken = []
    for items, *_ in processes.take(COSTS):
        taken += items
        mark(folder / f"taken{processes.rank}")
        wait_for(folder / ("done" if processes.rank else "taken1"))
    mark(folder / "done")

    # The first process stops at its first item; the second waits for that before its next one.
    stopped = []
    queue = processes.take([1] * 1000)
    for items, *_ in queue:
        stopped += items
        if processes.rank == 0:
            break
        wait_for(folder / "stopped")
    queue.close()
    mark(folder / "stopped")

    def loop(bad: int | None = None, kind: type[Exception] = DataError) -> dict[int, list[int]]:
        def score(i: int, ready: int) -> list[int]:
            if i == bad:
                raise kind(f"row {i} is bad")
            return [i, ready, processes.rank]

        bar = TokenBar(sum(COSTS), Idle(), shown=processes.main, announce=print)
        return score_prompts(COSTS, lambda i: 10 * i, score, bar, processes)

    result = {
        "taken": taken,
        "gathered": processes.gather(taken),
        "once": processes.once(lambda: f"from {os.environ['RANK']}"),
        "once_failed": raised(lambda: processes.once(refuse)),
        "together": raised(lambda: processes.together(refuse if processes.rank else list)),
        "stopped": processes.gather(len(stopped)),
        "main": processes.main,
        "loop": loop(),
        "loop_failed": raised(lambda: loop(bad=2)),
        "loop_broke": processes.gather(raised(lambda: loop(bad=2, kind=ForeignError))),
        "once_broke": raised(lambda: processes.once(breaks)),
        "together_broke": raised(lambda: processes.together(breaks if processes.rank else list)),
        "both_broke": raised(lambda: processes.together(breaks if processes.rank else refuse)),
        "share": processes.share("abcde", lambda own: [f"{one}{processes.rank}" for one in own]),
        "share_failed": raised(
            lambda: processes.share("abc", lambda own: refuse() if "b" in own else [*own])
        ),
        "share_broke": raised(
            lambda: processes.share("abc", lambda own: breaks() if "b" in own else [*own])
        ),
        "alone": Processes(alone=True).gather(processes.rank),
    }
    (folder / f"result{processes.rank}.json").write_text(json.dumps(result))
    leave()


class Idle:
    """A reader that reads nothing."""

    on_read = staticmethod(list)
    tokens_read = 0


def mark(path: Path) -> None:
    """Tells the other process that this one got here."""
    path.touch()


def wait_for(path: Path) -> None:
    """Until the other process got there."""
    while not path.exists():
        time.sleep(0.01)


def refuse() -> None:
    """An error of bad input."""
    raise DataError("no such row", where="rows")


class ForeignError(Exception):
    """As an error of a library: of no class of ours, and not to be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.holds = lambda: text


def breaks() -> None:
    """An error that nothing foresees."""
    raise ForeignError("the device is lost")


def raised(work: object) -> str:
    """The error that the call ends with; one that is not ours with its class."""
    try:
        work()  # type: ignore[operator]
    except LnatError as error:
        return str(error)
    except ForeignError as error:
        return f"ForeignError: {error}"
    return ""
