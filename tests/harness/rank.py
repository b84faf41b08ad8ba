"""One of two processes that evaluate together, started by test_requests.py."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from accelerate import Accelerator

from tests import helpers_students

from .lab import evaluate, figures, hf, save


def main(folders: list[str]) -> None:
    """Evaluates the task in each folder; the first rank writes what it gets beside it."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lm_eval").setLevel(logging.INFO)
    accelerator = Accelerator(cpu=True)
    lm = hf(helpers_students.student("llama"), helpers_students.tokenizer())
    lm._rank, lm._world_size = accelerator.process_index, accelerator.num_processes
    lm.accelerator = accelerator
    sys.argv = ["two_ranks"]
    for folder in map(Path, folders):
        results = evaluate(folder, lm, expected=lm.rank == 0)
        if lm.rank == 0:
            (folder / "figures.json").write_text(json.dumps(figures(results)))
            save(results, folder / "out")
    print(f"rank {os.environ['RANK']} is done")
    accelerator.end_training()
