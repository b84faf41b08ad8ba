"""Units in processes of their own, some of which are killed; tests/torture kills more of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import torch

from lnat_plugins.errors import ConfigError
from lnat_plugins.study import jobs
from lnat_plugins.study.run import LOG, StudyRun
from tests.helpers_programs import LNAT
from tests.torture.processes import are_gone

from .lab import finished


@contextmanager
def two_jobs(folder: Path) -> Iterator[tuple[StudyRun, subprocess.Popen[str]]]:
    """`lnat study --jobs 2` with two units to be done."""
    run = finished(folder, out=folder / "results")
    for unit in run.units[-2:]:
        (run.folder_of(unit) / "unit.json").unlink()
        (run.folder_of(unit)).rmdir()
    command = ["study", str(run.spec.source), "--output_path", str(run.folder), "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", LNAT, *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    ) as process:  # fmt: skip
        yield run, process


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not what():
        assert process.poll() is None
        time.sleep(0.02)


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [
        one
        for one in psutil.Process(process.pid).children()
        if "spawn_main" in " ".join(one.cmdline())
    ]


def test_the_processes_of_a_study_that_is_killed_end_too(tmp_path: Path) -> None:
    with two_jobs(tmp_path) as (run, process):
        begun = [run.folder_of(unit) / LOG for unit in run.units[-2:]]
        wait_for(lambda: any(path.exists() for path in begun), process)
        own = psutil.Process(process.pid).children(recursive=True)
        assert len(own) >= 2
        process.kill()
        went_on = [] if are_gone(own, 60) else own
        for one in went_on:
            one.kill()
        assert went_on == []


def test_a_process_that_is_killed_ends_the_study_with_one_line(tmp_path: Path) -> None:
    with two_jobs(tmp_path) as (run, process):
        wait_for(lambda: workers(process), process)
        own = psutil.Process(process.pid).children(recursive=True)
        workers(process)[0].kill()
        _, said = process.communicate(timeout=240)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(
        f"lnat: error: {run.folder}: a process ended before its unit was done (found 'A process in "
    )
    assert said.endswith("units that are done are kept; if memory was short, and the system killed "
                         "the process, with fewer --jobs.\n")  # fmt: skip
    assert are_gone(own)
    assert all(run.done(unit) is not None for unit in run.units[:-2])


@pytest.mark.parametrize("fails", [False, True])
def test_a_gpus_memory_is_given_back_after_each_unit(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of a study share it, and live as long as the study."""
    done: list[str] = []

    def run(unit: str) -> dict[str, Any]:
        done.append(unit)
        if fails:
            raise ConfigError("no")
        return {"unit": unit}

    monkeypatch.setattr(jobs, "_opened", lambda *of: SimpleNamespace(run=run, units=()))
    monkeypatch.setattr(jobs, "find_unit", lambda name, units: name)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("emptied"))
    if fails:
        with pytest.raises(ConfigError):
            jobs._run_one("study", "folder", "a")
    else:
        assert jobs._run_one("study", "folder", "a") == {"unit": "a"}
    assert done == ["a", "emptied"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_process_is_alive_until_it_has_ended(is_there: bool) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        if not is_there:
            process.kill()
        assert are_gone([psutil.Process(process.pid)], 0.5) != is_there
