"""Killed runs, in short: `make torture` kills more of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.torture import differences


def test_killed_runs_give_the_same_when_they_are_resumed(repo: Path, tmp_path: Path) -> None:
    script = [sys.executable, "-W", "ignore", str(repo / "tests" / "torture.py")]
    done = subprocess.run(
        [*script, "--seed", "18", "--count", "3", "--prompts", "6"],
        capture_output=True, text=True, cwd=tmp_path, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *kills, last = done.stdout.splitlines()
    assert re.fullmatch(r"seed 18: [1-3] of 3 killed, 0 differences", last)
    assert [line.split(": ")[1] for line in kills] == ["time", "write", "pair"]
    assert "write: killed" in done.stdout


def test_a_difference_is_found() -> None:
    one = {"a": {"totals": {"4": -1.0}}, "b": {}}
    assert differences(one, {"a": {"totals": {"4": -1.0}}, "b": {}}) == []
    assert differences(one, {"a": {"totals": {"4": -1.5}}}) == ["a", "b"]
    assert differences({}, one) == ["a", "b"]
