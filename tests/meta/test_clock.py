"""Nothing is decided by the time of a file or of the day, since a clock may be set back.

Durations are measured by clocks that only go forward; what is done already is known by contents.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FORWARD = {"time.monotonic", "time.perf_counter", "time.sleep"}
OF_FILES = {"st_mtime", "st_mtime_ns", "st_ctime", "st_ctime_ns", "getmtime", "getctime"}
OF_THE_DAY = {"now", "utcnow", "today"}
NAMES_A_FILE = {"lnat_plugins/on_ray/run.py": ["datetime.now"]}
"""lm-eval has the date in a samples file's name; nothing is decided by it."""


def clocks(source: str) -> Iterator[str]:
    """Attributes that read the time of a file or of the day."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute):
            continue
        name = ast.unparse(node)
        of_process = name.startswith("time.") and name not in FORWARD
        of_day = node.attr in OF_THE_DAY and ("datetime" in name or "date." in name)
        if node.attr in OF_FILES or of_process or of_day:
            yield f"{node.lineno}: {name}"


@pytest.mark.parametrize("folder", ["lnat_plugins", "hooks", "tasks"])
def test_no_clock_that_may_be_set_back_is_read(repo: Path, folder: str) -> None:
    found = {
        name: read
        for file in sorted((repo / folder).rglob("*.py"))
        if (read := [*clocks(file.read_text(encoding="utf-8"))])
        and [one.partition(": ")[2] for one in read]
        != NAMES_A_FILE.get(name := file.relative_to(repo).as_posix())
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    ["path.stat().st_mtime", "os.path.getmtime(x)", "time.time()", "datetime.datetime.now()"],
)
def test_such_a_clock_is_found(source: str) -> None:
    assert [*clocks(source)]


@pytest.mark.parametrize("source", ["time.monotonic()", "path.stat().st_size", "self.now"])
def test_other_names_are_not_found(source: str) -> None:
    assert not [*clocks(source)]
