"""Peak memory beyond the weights, measured in a process of its own for each contender.

Knows nothing of tables. The process is new (not forked), makes the workload again from its
recipe, runs the student once on two tokens, sets the high-water mark of its resident set back to
what is resident then, and runs the contender: a peak of one contender can neither hide another's
nor be served from what another left. On a GPU it is the allocator's mark instead.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from _contenders import PATHS, Contender, ours
from _floor import Shape, floor_of
from _recipes import Recipe
from _workloads import Planned, Workload

from lnat_plugins.steps.windows import Window

_FLOOR_PASSES: Final = 4
_CLEAR: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True)
class Job:
    """A contender to be run in a process of its own.

    Args:
        batch_size: of lm-eval, of which the longest batch alone is run.
        shape: of the floor, of which four passes are run.
    """

    recipe: Recipe
    windows: tuple[Window, ...]
    kind: str
    threads: int
    budget: int | None
    batch_size: int
    shape: Shape
    seed: int


def peak_memory(job: Job) -> int | None:
    """Bytes beyond the weights, at the highest; None where the system cannot tell."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(peak_here, job).result()


def peak_here(job: Job) -> int | None:
    """The same in this process, which must be new for the answer to mean anything."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    torch.set_num_threads(job.threads)
    workload = job.recipe.build()
    device = workload.model.device
    with torch.no_grad():
        workload.model(torch.tensor([[0, 1]], device=device), use_cache=False)
    contender = None if job.kind in PATHS else _contender(workload, job)
    if not _set_mark_back(device.type):
        return None
    before = _high_water(device.type)
    # Our engine is made behind the mark, so that its trial and its cache count as its own.
    (contender or _contender(workload, job)).ready()()
    return max(0, _high_water(device.type) - before)


def _contender(workload: Workload, job: Job) -> Contender:
    if job.kind == "floor":
        planned = workload.planned(job.windows)
        tokens = _FLOOR_PASSES * job.shape.rows * job.shape.length
        part = min(1.0, tokens / max(1, planned.body_tokens))
        few = Planned(int(part * planned.body_tokens), int(part * planned.projected_tokens))
        return floor_of(workload, few, job.shape, job.seed)
    if job.kind == "lm_eval":
        from _lm_eval import ask, baseline, longest

        asked = ask(workload, workload.requests(job.windows))
        return baseline(workload, asked, longest(asked, job.batch_size), job.batch_size)
    return ours(workload, job.windows, job.kind, job.budget)


def _set_mark_back(device: str) -> bool:
    """Whether the high-water mark is now what is in use."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        # Memory that glibc keeps for later is given back, or a contender could use it unseen.
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _high_water(device: str) -> int:
    """Bytes: the most that was in use since the mark was set back."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = _STATUS.read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
