"""Work on large input in processes of our own, in order, whatever program this runs in.

The processes of `multiprocessing` read the user's script again, which then needs a guard, or copy
a process whose threads may hold locks. These run `serve` alone, and speak pickle over pipes that
nobody else has. Whatever one of them cannot do, the caller does itself: errors come from the same
code and in the same order as without them, and a process that dies costs time only.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST: Final = 4
"""Processes at most: the caller puts together what they find, and does not keep up with more."""

_READY: Final = b"lnat-plugins: ready\n"
_CODE: Final = """\
import sys
sys.path[:] = {path!r}
from lnat_plugins.processes import serve
serve()
"""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int | None = None
) -> Generator[tuple[Item, Result | None], None, None]:
    """Each item with what `work` returns for it, in order; None where no process could do it.

    It is None for every item where there is one core only. The processes end with the iterator.

    Args:
        work: a function of a module, which never returns None.
        items: like the results, of types that can be pickled.
        processes: how many; by default one a core, `MOST` at most.
    """
    count = min(MOST, available_cores()) if processes is None else processes
    if count < 2 or not _is_python(sys.executable):
        yield from ((item, None) for item in items)
        return
    started: list[_Process] = []
    free: queue.SimpleQueue[_Process] = queue.SimpleQueue()

    def asked(item: Item) -> Any:
        process = free.get()
        try:
            return process.ask(item)
        finally:
            free.put(process)

    with ThreadPoolExecutor(count, thread_name_prefix="lnat-processes") as threads:
        try:
            for _ in range(count):
                started.append(_Process(work))
                free.put(started[-1])
            waiting: deque[tuple[Item, Future[Any]]] = deque()
            for item in items:
                waiting.append((item, threads.submit(asked, item)))
                if len(waiting) > 2 * count:  # so that few results wait in memory
                    done, found = waiting.popleft()
                    yield done, found.result()
            while waiting:
                done, found = waiting.popleft()
                yield done, found.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in started:  # a thread that waits for one of them goes on, then
                process.end()


class _Process:
    """One of them. It does not hear Ctrl-C; if this process ends, so does it."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._child = subprocess.Popen(
                [sys.executable, "-c", _CODE.format(path=sys.path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._work: Callable[[Any], Any] | None = work

    def ask(self, item: object) -> Any:
        """What the work gives for the item; None where it fails, or the process is gone."""
        if self._child is None:
            return None
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            if self._work is not None:
                if self._child.stdout.readline() != _READY:
                    raise EOFError
                pickle.dump(self._work, self._child.stdin, pickle.HIGHEST_PROTOCOL)
                self._work = None
            pickle.dump(item, self._child.stdin, pickle.HIGHEST_PROTOCOL)
            self._child.stdin.flush()
            return pickle.load(self._child.stdout)
        except Exception:  # noqa: BLE001 - killed, or given a value that cannot be sent
            self.end()
            return None

    def end(self) -> None:
        """Stop it; waits until it is gone."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()


def serve() -> None:
    """What such a process does: the work, item by item, until its input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing else is to stand there
    gc.disable()  # what an item leaves behind is freed without
    with suppress(OSError, EOFError):
        answers.write(_READY)
        answers.flush()
        work = pickle.load(sys.stdin.buffer)
        while True:
            item = pickle.load(sys.stdin.buffer)
            try:
                answer = pickle.dumps(work(item), pickle.HIGHEST_PROTOCOL)
            except Exception:  # noqa: BLE001 - whatever it is, the caller does it again
                answer = pickle.dumps(None)
            answers.write(answer)
            answers.flush()


def _is_python(path: str | None) -> bool:
    """Whether this program is Python itself, not one that has Python inside."""
    return Path(path or "").name.lower().startswith(("python", "pypy"))
