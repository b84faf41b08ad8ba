"""`lnat study`, killed with one unit at once and with two.

With two the whole group is killed, or the process that was started alone, or a worker alone. The
workers are forked here, not started anew, so that kills hit units and not imports.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import re
from pathlib import Path
from typing import Any

import lm_eval.models.huggingface  # noqa: F401 - imported before a process is forked
from lm_eval.tasks import TaskManager

import lnat_plugins.harness.task
import lnat_plugins.hooks.trl_train  # noqa: F401
from lnat_plugins.study import jobs
from lnat_plugins.study.run import RESULT
from lnat_plugins.study.units import UNIT
from tests.kills import contents
from tests.study.lab import write_study
from tests.torture.commands import FAST, command
from tests.torture.killing import Found, Kind, Scene
from tests.torture.processes import Run, Say, are_gone
from tests.torture.trainer import cache_here

OUT = "results"
_DATE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+")


def study(say: Say, n_jobs: int) -> None:
    """The command, with so many units at once."""
    jobs.get_context = lambda kind: multiprocessing.get_context("fork")  # type: ignore[assignment]
    # Without the index of lm-eval's own tasks, which takes longer than the rest of the study.
    TaskManager.__init__ = functools.partialmethod(  # type: ignore[method-assign]
        TaskManager.__init__, include_defaults=False
    )
    cache_here()
    command("study", "study.yaml", "--output_path", OUT, "--jobs", str(n_jobs), *FAST)(say)


def outputs(place: Path) -> Found:
    """The study's result, its units' results but for their seconds, and their training sets."""
    found: Found = {RESULT: contents(place / OUT / RESULT)}
    for path in (place / OUT).rglob(UNIT):
        result = json.loads(path.read_bytes())
        del result["seconds"]
        found[_name(path)] = result
    for path in (place / OUT).rglob("rows"):
        found[_name(path)] = _without_dates(contents(path))
    return found


def samples(place: Path) -> Found:
    """What lm-eval wrote for each prompt; its other file holds dates and seconds."""
    return {_name(path): path.read_bytes() for path in (place / OUT).rglob("samples_*.jsonl")}


def kept(place: Path) -> Found:
    """Units that are done are not done again; the seconds would be others."""
    return {_name(path): path.read_bytes() for path in (place / OUT).rglob(UNIT)}


def _name(path: Path) -> str:
    return _DATE.sub(b"DATE", bytes(path)).decode().partition(f"/{OUT}/")[2]


def _without_dates(found: object) -> object:
    if isinstance(found, dict):
        return {name: _without_dates(one) for name, one in found.items()}
    return _DATE.sub(b"DATE", found) if isinstance(found, bytes) else found


def kill_group(run: Run) -> tuple[bool, list[str]]:
    """All at once."""
    own = run.workers()
    return run.kill_group(), _that_go_on(own)


def kill_parent(run: Run) -> tuple[bool, list[str]]:
    """The one that was started: the others end by themselves."""
    own = run.workers()
    return run.kill(), _that_go_on(own)


def kill_worker(run: Run) -> tuple[bool, list[str]]:
    """One of the others: the one that was started ends with one line, and with it the others."""
    own = run.workers()
    for process in own[:1]:
        process.kill()
    run.end((0, 2))  # 0: its last unit was done
    said = run.log.read_text(errors="replace")
    wrong = ["a traceback"] if "Traceback" in said else []
    return bool(own), wrong + _that_go_on(own)


def _that_go_on(processes: list[Any]) -> list[str]:
    if are_gone(processes):
        return []
    for process in processes:
        process.kill()
    return ["processes went on"]


def scene() -> Scene:
    """A study of a minute."""
    one, two = (functools.partial(study, n_jobs=number) for number in (1, 2))
    alone = Kind("one job", one)
    kinds = (
        alone,
        Kind("two jobs", two, kill=kill_group),
        alone,
        Kind("the parent of two jobs", two, kill=kill_parent),
        Kind("a worker of two jobs", two, kill=kill_worker),
    )
    return Scene(lambda: write_study(Path.cwd(), selections={}), outputs, kinds, samples, kept)
