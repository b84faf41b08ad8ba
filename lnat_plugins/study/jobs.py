"""Runs units: one after the other in this process, or several at once in processes of their own."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context, parent_process
from typing import Any

from lnat_plugins.errors import ConfigError, visible
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.units import Unit, find_unit
from lnat_plugins.study.versions import warning

_log = logging.getLogger(__name__)


def run_units(
    run: StudyRun, units: Sequence[Unit], jobs: int
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Does units, `jobs` at once; each with what it wrote, as it is done.

    Students are scored before anything is trained, and updates are calibrated before the rest.
    Each process takes its share of the cores. A warning says if other versions of the packages did
    some of the study's units. Ctrl-C ends the processes at once, and so does the end of this one.

    Raises:
        LnatError: of a unit, when those that run have ended; a process that was killed.
    """
    if units and (said := warning(run.versions, run.installed)):
        _log.warning("study %s: %s", run.spec.name, visible(said))
    stage_of = {"scores": 0, "before": 1, "calibration": 1}
    stages = [[unit for unit in units if stage_of.get(unit.kind, 2) == n] for n in range(3)]
    if jobs == 1:
        for unit in chain.from_iterable(stages):
            yield unit, run.run(unit)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    source = str(run.spec.source), str(run.folder)
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads,)
    ) as pool:
        try:
            for stage in stages:
                with _interrupts_of_children_ignored():
                    futures = {pool.submit(_run_one, *source, unit.name): unit for unit in stage}
                for future in as_completed(futures):
                    yield futures[future], future.result()
        except BaseException as cause:
            if isinstance(cause, KeyboardInterrupt):
                for process in list((pool._processes or {}).values()):
                    process.terminate()
            pool.shutdown(cancel_futures=True)
            if isinstance(cause, BrokenProcessPool):
                raise ConfigError(
                    "a process ended before its unit was done", where=str(run.folder),
                    found=str(cause),
                    remedy="run the study again: units that are done are kept; if memory was "
                    "short, and the system killed the process, with fewer --jobs",
                ) from cause  # fmt: skip
            raise


@contextmanager
def _interrupts_of_children_ignored() -> Iterator[None]:
    """Processes that are started here do not hear Ctrl-C, which a terminal sends to them too.

    They would print a traceback each. A Ctrl-C of this process comes when the block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """A process whose parent was killed would go on, and wait for units for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@functools.cache
def _opened(study: str, folder: str) -> StudyRun:
    return StudyRun.of(study, folder)


def _run_one(study: str, folder: str, name: str) -> dict[str, Any]:
    import torch

    run = _opened(study, folder)
    try:
        return run.run(find_unit(name, run.units))
    finally:
        gc.collect()
        torch.cuda.empty_cache()  # the other processes may need it; without a GPU it does nothing
