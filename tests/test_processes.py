"""Processes that do parts of the work: in order, whatever happens to them, and gone in the end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from lnat_plugins import processes
from lnat_plugins.processes import in_processes


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that were started."""
    found: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*args: object, **more: object) -> subprocess.Popen[bytes]:
        found.append(start(*args, **more))  # type: ignore[call-overload]
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    yield found
    assert all(one.returncode is not None for one in found)


def test_results_come_in_order(started: list[subprocess.Popen[bytes]]) -> None:
    items = [300, 1, 2, 200, *range(20)]
    found = [*in_processes(math.factorial, items, 2)]
    assert found == [(item, math.factorial(item)) for item in items]
    assert len(started) == 2


def test_what_a_process_cannot_do_is_none_and_the_others_go_on(
    started: list[subprocess.Popen[bytes]],
) -> None:
    found = dict(in_processes(math.sqrt, [4.0, -1.0, 9.0], 2))
    assert found == {4.0: 2.0, -1.0: None, 9.0: 3.0}


def test_a_process_that_dies_costs_what_it_was_to_do(
    started: list[subprocess.Popen[bytes]],
) -> None:
    lines = ["1 + 1", "__import__('os')._exit(3)", *["2 + 2"] * 10]
    found = [*in_processes(eval, lines, 2)]
    assert [item for item, _ in found] == lines
    assert found[1][1] is None
    assert {value for item, value in found if item == "2 + 2"} <= {4, None}
    assert (lines[2], 4) in found


def test_what_is_printed_there_does_no_harm(started: list[subprocess.Popen[bytes]]) -> None:
    lines = ["print('x' * 99) or 5"] * 3
    assert [value for _, value in in_processes(eval, lines, 2)] == [5, 5, 5]


def test_a_value_that_cannot_be_sent_is_none(started: list[subprocess.Popen[bytes]]) -> None:
    found = [value for _, value in in_processes(eval, ["1", "lambda: 1", "2"], 2)]
    assert found == [1, None, 2]
    assert [value for _, value in in_processes(callable, [1, lambda: 1], 2)][1] is None


def test_one_core_starts_nothing(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "available_cores", lambda: 1)
    assert [*in_processes(math.sqrt, [1.0, 4.0])] == [(1.0, None), (4.0, None)]
    assert started == []


def test_no_more_than_four_processes(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "available_cores", lambda: 64)
    assert [value for _, value in in_processes(math.sqrt, [4.0])] == [2.0]
    assert len(started) == 4


@pytest.mark.parametrize("program", [None, "", "/usr/bin/blender", "/no/such/python3"])
def test_a_program_that_is_not_python_does_all_itself(
    program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert [*in_processes(math.sqrt, [1.0, 4.0], 2)] == [(1.0, None), (4.0, None)]


def test_a_python_that_does_not_begin_as_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\necho something else\nexec sleep 60\n", encoding="utf-8")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(other))
    assert [*in_processes(math.sqrt, [4.0], 2)] == [(4.0, None)]


def test_who_stops_looking_ends_them(started: list[subprocess.Popen[bytes]]) -> None:
    with closing(in_processes(time.sleep, [0.0, *[600.0] * 9], 2)) as found:
        next(found)
    assert len(started) == 2  # that they are gone, the fixture says


SCRIPT = """
    import signal, threading, time
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=time.sleep, args=(1,)).start()
    from lnat_plugins.processes import in_processes
    print("begins", flush=True)
    for item, found in in_processes(eval, ["__import__('os').getpid()"] * 2 + [{last!r}], 2):
        print(found, flush=True)
"""


def test_a_script_without_a_guard_and_with_threads(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(textwrap.dedent(SCRIPT.format(last="3")), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert ran.stdout.count("begins") == 1
    assert ran.stdout.endswith("\n3\n")
    assert ran.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="no signals there")
@pytest.mark.parametrize(
    ("sent", "busy"),
    [(signal.SIGINT, 600), (signal.SIGKILL, 5)],  # what a killed one has asked for is done first
)
def test_they_end_with_the_program(tmp_path: Path, sent: signal.Signals, busy: int) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent(SCRIPT.format(last=f"__import__('time').sleep({busy})")), encoding="utf-8"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, start_new_session=True,
    ) as ran:  # fmt: skip
        assert ran.stdout is not None and ran.stderr is not None
        assert ran.stdout.readline() == "begins\n"
        children = {int(ran.stdout.readline()), int(ran.stdout.readline())}
        os.killpg(ran.pid, sent)
        errors = ran.stderr.read()
    assert ran.returncode != 0
    # the others of the group hear nothing of Ctrl-C, and say nothing
    assert errors.count("Traceback") == (sent == signal.SIGINT)
    for _ in range(600):
        if not any(map(_is_alive, children)):
            return
        time.sleep(0.1)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    raise AssertionError("processes are left over")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):  # ended, and not yet waited for by whoever has inherited it
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    return True
