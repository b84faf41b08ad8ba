"""Processes that are killed: forked, so that imports are done, and with a pipe for signs."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psutil  # type: ignore[import-untyped]

BEGAN, ENDED = b"b", b"e"
SECONDS = 240
"""After so many, a run that gives no sign has broken."""

Say: TypeAlias = Callable[[bytes], object]


class Run(NamedTuple):
    """A process, the first of a group of its own.

    Args:
        news: the pipe on which it says where it is.
        log: what it prints.
    """

    pid: int
    news: int
    log: Path

    def wait_for(self, sign: bytes, times: int = 1, seconds: float = SECONDS) -> bool:
        """Whether the process gives that sign so many times before it ends."""
        end = time.monotonic() + seconds
        while times and (left := end - time.monotonic()) > 0:
            if not select.select([self.news], [], [], left)[0]:
                break
            if not (byte := os.read(self.news, 1)):
                return False
            times -= byte == sign
        return not times

    def moments(self) -> dict[bytes, float]:
        """Sign -> when it came first, until the last one."""
        found: dict[bytes, float] = {}
        while ENDED not in found and (byte := os.read(self.news, 1)):
            found.setdefault(byte, time.monotonic())
        return found

    def kill(self) -> bool:
        """Whether the process was still there to be killed, alone."""
        os.kill(self.pid, signal.SIGKILL)
        return self._ended_with() == signal.SIGKILL

    def kill_group(self) -> bool:
        """As `kill`, together with all that it has started."""
        os.killpg(self.pid, signal.SIGKILL)
        return self._ended_with() == signal.SIGKILL

    def workers(self) -> list[psutil.Process]:
        """What it has started and is alive."""
        return [*filter(_is_alive, psutil.Process(self.pid).children(recursive=True))]

    def end(self, codes: Sequence[int] = (0,)) -> None:
        """Waits for it, and for a code that it may end with."""
        ended = self._ended_with()
        said = self.log.read_text(errors="replace")[-3000:]
        assert ended in [code << 8 for code in codes], f"it ended with {ended}:\n{said}"

    def _ended_with(self) -> int:
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.news)
        return status


def start(work: Callable[[Say], None], log: Path) -> Run:
    """Works in another process; what it prints is added to a file."""
    reads, writes = os.pipe()
    if pid := os.fork():
        os.close(writes)
        return Run(pid, reads, log)
    status = 1
    try:
        os.setsid()
        os.close(reads)
        with log.open("a") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        work(lambda sign: os.write(writes, sign))
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the parent reads the status
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def are_gone(processes: list[psutil.Process], seconds: float = 30) -> bool:
    """Whether they end by themselves; a zombie has ended."""
    end = time.monotonic() + seconds
    while any(map(_is_alive, processes)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
