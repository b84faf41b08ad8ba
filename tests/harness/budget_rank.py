"""One of two processes that run a race together, started by test_budgeted.py."""

from __future__ import annotations

import sys
from pathlib import Path

from accelerate import Accelerator

from tests import helpers_students
from tests.helpers_ranks import leave

from .lab import evaluate, hf, save


def main(folders: list[str]) -> None:
    """Evaluates the task in the folder, twice with one cache; the first rank saves both."""
    accelerator = Accelerator(cpu=True)
    lm = hf(helpers_students.student("llama"), helpers_students.tokenizer())
    lm._rank, lm._world_size = accelerator.process_index, accelerator.num_processes
    lm.accelerator = accelerator
    sys.argv = ["two_ranks"]
    folder = Path(folders[0])
    for name in ("first", "again"):
        results = evaluate(folder, lm, expected=lm.rank == 0, use_cache=str(folder / "cache"))
        lm.cache_hook.dbdict.close()
        if lm.rank == 0:
            save(results, folder / name)
    leave()
