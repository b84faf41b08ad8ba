"""One of two processes that evaluate together, started by test_requests.py."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from lnat_plugins.engine.engine import Engine
from lnat_plugins.harness import requests
from tests import helpers_students
from tests.helpers_ranks import leave

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
    resume(Path(folders[0]), lm)
    print(f"rank {os.environ['RANK']} is done")
    leave()


def resume(folder: Path, lm: Any) -> None:
    """Evaluates a set twice with one cache; what each process had the model read goes to a file."""
    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    read = []
    original = Engine.score_all

    def watched(engine: Engine, reads: Any) -> Any:
        read.extend(len(one.prompt) for one in reads)
        return original(engine, reads)

    Engine.score_all = watched  # type: ignore[method-assign]
    counts = []
    left = []
    share = requests.score_prompts

    def shared(costs: Any, *others: Any, **options: Any) -> Any:
        left.append(len(costs))
        return share(costs, *others, **options)

    requests.score_prompts = shared
    for _ in range(2):
        before = len(read)
        evaluate(folder, lm, expected=lm.rank == 0, use_cache=str(folder / "cache"))
        lm.cache_hook.dbdict.close()
        counts.append(len(read) - before)
    (folder / f"read{lm.rank}.json").write_text(json.dumps({"read": counts, "left": left}))
