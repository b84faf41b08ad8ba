"""Kills scoring runs that have a cache, at random moments, and compares what the next run gives.

Every third kill each:

- time: at a random moment of a run, from its first look into the cache to its end;
- write: within two milliseconds after a process began to keep the records of a prompt;
- pair: one of two runs that share a cache; the other must end well, too.

After each kill the cache must be whole and hold prompts with all their responses; the next run must
read the student for the others alone, and give the very records of a run without a cache.
"""

from __future__ import annotations

import functools
import json
import random
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from lnat_plugins.engine.engine import Engine
from lnat_plugins.harness.cache import SUFFIX, RecordCache
from lnat_plugins.harness.record_file import RecordFile
from lnat_plugins.scoring.engine_backend import EngineBackend
from tests import helpers_students
from tests.harness.lab import evaluate, hf, records, rows, write_set
from tests.torture.killing import differences
from tests.torture.processes import BEGAN, ENDED, Run, Say, start

KINDS = ("time", "write", "pair")
TEACHERS = ("QwQ", "R1")
WRITES = b"w"


def _score(folder: Path, out: Path, cache: Path | None, say: Say) -> None:
    write, score = RecordFile.write, Engine.score_all
    n_read = []

    def watched_write(self: RecordFile) -> None:
        say(WRITES)
        write(self)

    def watched_score(self: Engine, reads: Any) -> Any:
        n_read.extend(one.prompt for one in reads)
        return score(self, reads)

    def watched_open(self: RecordCache, lm: Any) -> None:
        say(BEGAN)
        opened(self, lm)

    opened = RecordCache.__init__
    RecordFile.write, Engine.score_all = watched_write, watched_score  # type: ignore[method-assign]
    RecordCache.__init__ = watched_open  # type: ignore[method-assign]
    EngineBackend.at_once = 160  # type: ignore[assignment, method-assign]  # one or two prompts
    sys.argv = ["torture"]
    lm = hf(helpers_students.student("llama"), helpers_students.tokenizer())
    options = {} if cache is None else {"use_cache": str(cache)}
    found = records(evaluate(folder, lm, **options))
    say(ENDED)
    values = {" ".join(map(str, key)): record for key, record in found.items()}
    out.write_text(json.dumps({"records": values, "read": len(n_read)}))


def kept_prompts(cache: Path) -> int:
    """Prompts in the cache; a damaged one, or a part of a prompt, is an error."""
    path = Path(f"{cache}{SUFFIX}")
    if not path.exists():
        return 0
    RecordFile(path).close()
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (count,) = opened.execute("SELECT count(*) FROM records").fetchone()
    assert count % len(TEACHERS) == 0, f"{count} records are no whole prompts"
    return int(count) // len(TEACHERS)


def torture(
    folder: Path, draw: random.Random, count: int, n_prompts: int = 12
) -> tuple[int, list[str]]:
    """Runs that were killed before they ended, and what broke; prints a line for each."""

    def scoring(name: str, cache: Path | None) -> Run:
        work = functools.partial(_score, folder, folder / name, cache)
        return start(work, folder / "log.txt")

    write_set(folder, rows(TEACHERS, n_prompts))

    def finished(name: str, cache: Path | None) -> tuple[dict[str, Any], int, float]:
        run = scoring(name, cache)
        run.wait_for(BEGAN)
        begin = time.monotonic()
        run.wait_for(ENDED)
        seconds = time.monotonic() - begin
        run.end()
        values = json.loads((folder / name).read_text())
        return values["records"], values["read"], seconds

    expected, n_read, _ = finished("whole.json", None)
    assert n_read == n_prompts
    _, _, seconds = finished("first.json", folder / "first")
    broken, n_killed = [], 0
    for i in range(count):
        kind, cache = KINDS[i % len(KINDS)], folder / f"cache{i}"
        run = scoring("killed.json", cache)
        other = scoring("other.json", cache) if kind == "pair" else None
        if kind == "write":
            run.wait_for(WRITES, draw.randint(1, n_prompts))
            time.sleep(draw.uniform(0, 0.002))
        else:
            run.wait_for(BEGAN)
            time.sleep(draw.uniform(0, seconds * (2 if other else 1)))
        was_there = run.kill()
        n_killed += was_there
        problems = []
        if other is not None:
            other.end()
            beside = json.loads((folder / "other.json").read_text())["records"]
            problems += [f"beside: {key}" for key in differences(expected, beside)]
        kept = kept_prompts(cache)
        found, n_read, _ = finished("resumed.json", cache)
        problems += [f"resumed: {key}" for key in differences(expected, found)]
        if n_read != n_prompts - kept:
            problems.append(f"{n_read} prompts read, {kept} of {n_prompts} were kept")
        done = "killed" if was_there else "had ended"
        print(f"{i + 1}: {kind}: {done}, {kept} of {n_prompts} prompts kept; {problems or 'ok'}")
        broken += [f"{i + 1}: {problem}" for problem in problems]
    return n_killed, broken
