"""One of two processes that share work, started by test_processes.py."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.parallel import Processes


def main(arguments: Sequence[str]) -> None:
    """Writes what this rank took, heard and raised."""
    PartialState(cpu=True)
    processes = Processes()
    taken = []
    for item, *_ in processes.take([1.0, 5.0, 2.0, 5.0, 1.0, 1.0, 1.0, 1.0]):
        taken.append(item)
        time.sleep(0.3 if processes.rank else 0.02)
    gathered = processes.gather(taken)
    try:
        processes.once(_refuse)
    except DataError as error:
        heard = str(error)
    stopped = []
    for item, *_ in processes.take([1.0] * 1000):
        stopped.append(item)
        if processes.rank == 0:
            break
        time.sleep(0.02)
    told = {
        "taken": taken,
        "gathered": gathered,
        "heard": heard,
        "once": processes.once(lambda: f"from {os.environ['RANK']}"),
        "stopped": processes.gather(len(stopped)),
        "main": processes.main,
    }
    (Path(arguments[0]) / f"told{processes.rank}.json").write_text(json.dumps(told))
    PartialState().destroy_process_group()


def _refuse() -> None:
    raise DataError("no such row", where="rows")
