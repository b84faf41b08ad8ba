"""examples/benchmark/benchmark_files.py: valid files, and what it prints. No clock is judged."""

from __future__ import annotations

import json
import multiprocessing
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers_programs import prepared

from .scripts import EXAMPLES, run

SCRIPT = "benchmark/benchmark_files.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="os.wait4")


def test_a_line_a_command_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = prepared()
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: quick)
    out = tmp_path / "cost.json"
    arguments = ["--prompts", 4, 8, "--teachers", 2, "--steps", 6_000, "--commands", "rank"]
    with pytest.raises(SystemExit) as end:
        run(SCRIPT, *arguments, "--output_path", out, "--folder", tmp_path)
    said = capsys.readouterr()
    assert end.value.code == 0, said.err
    rows = [line for line in said.out.splitlines() if line.startswith("| ")][1:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "rank", "rank", "report, 2 × 6,000 steps",
    ]  # fmt: skip
    assert "- rank, 4 to 8 prompts: CPU time grows by" in said.out
    found = json.loads(out.read_text())["measured"]
    assert [one["prompts"] for one in found] == [4, 8, 1]
    assert all(0 < one["peak"] < 4_000 and one["output"] > 0 for one in found)
    assert not [path for path in tmp_path.iterdir() if path != out]


def test_a_command_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmark"))
    measured = runpy.run_path(str(EXAMPLES / SCRIPT))["measured"]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        measured("rank", 1, ["rank", "nowhere"], None)
    assert "nowhere: no such file or folder" in caught.value.stderr
