"""Kills scoring runs that have a cache, at random moments, and compares what the next run gives.

    python tests/torture.py --seed 0 --count 20

Every third kill each:

- time: at a random moment of a run, from its first look into the cache to its end;
- write: within two milliseconds after a process began to keep the records of a prompt;
- pair: one of two runs that share a cache; the other must end well, too.

After each kill the cache must be whole and hold prompts with all their responses; the next run must
read the student for the others alone, and give the very records of a run without a cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # before torch is loaded
    # At the end of the path, so that the installed package is tested, not the checkout's.
    sys.path.append(str(Path(__file__).parents[1]))

from lnat_plugins.engine.engine import Engine
from lnat_plugins.harness.cache import SUFFIX, RecordCache
from lnat_plugins.harness.record_file import RecordFile
from lnat_plugins.scoring.engine_backend import EngineBackend
from tests import helpers_students
from tests.harness.lab import evaluate, hf, records, rows, write_set

KINDS = ("time", "write", "pair")
TEACHERS = ("QwQ", "R1")
BEGAN, WRITES = b"b", b"w"


class Run(NamedTuple):
    """A process that scores, and the pipe through which it says where it is."""

    pid: int
    news: int

    def wait_for(self, sign: bytes, times: int = 1, seconds: float = 120) -> bool:
        """Whether the process gives that sign so many times before it ends."""
        end = time.monotonic() + seconds
        while times and (left := end - time.monotonic()) > 0:
            if not select.select([self.news], [], [], left)[0]:
                break
            if not (byte := os.read(self.news, 1)):
                return False
            times -= byte == sign
        return not times

    def kill(self) -> bool:
        """Whether the process was still there to be killed."""
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            return False
        os.kill(self.pid, signal.SIGKILL)
        return os.WIFSIGNALED(os.waitpid(self.pid, 0)[1])

    def end(self) -> None:
        """Waits for it."""
        status = os.waitpid(self.pid, 0)[1]
        assert status == 0, f"a run that was not killed ended with {status}"


def start(folder: Path, out: Path, cache: Path | None) -> Run:
    """Scores the set in another process; its records and its readings go to a file."""
    reads, writes = os.pipe()
    if pid := os.fork():
        os.close(writes)
        return Run(pid, reads)
    status = 1
    try:
        with (folder / "log.txt").open("a") as log, redirect_stdout(log), redirect_stderr(log):
            _score(folder, out, cache, lambda sign: os.write(writes, sign))
        status = 0
    except BaseException as error:  # noqa: BLE001 - the parent reads the status
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def _score(folder: Path, out: Path, cache: Path | None, say: Callable[[bytes], Any]) -> None:
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
    say(b"e")
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


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The responses whose records are not the same."""
    return [key for key in {**expected, **found} if expected.get(key) != found.get(key)]


def torture(folder: Path, seed: int, count: int, n_prompts: int) -> tuple[int, list[str]]:
    """Runs that were killed before they ended, and what broke; prints a line for each."""
    draw = random.Random(seed)
    write_set(folder, rows(TEACHERS, n_prompts))

    def finished(name: str, cache: Path | None) -> tuple[dict[str, Any], int, float]:
        run = start(folder, folder / name, cache)
        run.wait_for(BEGAN)
        begin = time.monotonic()
        run.wait_for(b"e")
        seconds = time.monotonic() - begin
        run.end()
        os.close(run.news)
        values = json.loads((folder / name).read_text())
        return values["records"], values["read"], seconds

    expected, n_read, _ = finished("whole.json", None)
    assert n_read == n_prompts
    _, _, seconds = finished("first.json", folder / "first")
    broken, n_killed = [], 0
    for i in range(count):
        kind, cache = KINDS[i % len(KINDS)], folder / f"cache{i}"
        run = start(folder, folder / "killed.json", cache)
        other = start(folder, folder / "other.json", cache) if kind == "pair" else None
        if kind == "write":
            run.wait_for(WRITES, draw.randint(1, n_prompts))
            time.sleep(draw.uniform(0, 0.002))
        else:
            run.wait_for(BEGAN)
            time.sleep(draw.uniform(0, seconds * (2 if other else 1)))
        was_there = run.kill()
        n_killed += was_there
        os.close(run.news)
        problems = []
        if other is not None:
            other.end()
            os.close(other.news)
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


def main() -> int:
    """Runs it in a folder that is removed, unless something broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20, help="kills")
    parser.add_argument("--prompts", type=int, default=12)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lnat-torture-") as folder:
        n_killed, broken = torture(Path(folder), args.seed, args.count, args.prompts)
    print(f"seed {args.seed}: {n_killed} of {args.count} killed, {len(broken)} differences")
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
