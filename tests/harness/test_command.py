"""The whole `lm_eval` command in a process of its own. Slow: it scans all of lm-eval's tasks."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.scoring.samples import read_scored_set
from tests.helpers_students import assert_near

from .lab import rows, truths, write_set

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def student_folder(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def lm_eval(student: Path, tasks: Path, out: Path) -> subprocess.CompletedProcess[str]:
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={student},dtype=float32",
        "--tasks": str(tasks),
        "--limit": "2",
        "--device": "cpu",
        "--output_path": str(out),
    }
    arguments = [part for option in options.items() for part in option]
    return subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *arguments, "--log_samples"],
        cwd=out.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_a_run_prints_a_table_and_writes_the_samples(
    student_folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    path = write_set(tmp_path / "sets", rows())
    done = lm_eval(student_folder, path, tmp_path / "out")
    assert done.returncode == 0, done.stderr[-4000:]
    expected = truths(model, tokenizer, rows(prompts=2))
    cells = [
        [cell.strip() for cell in line.split("|")]
        for line in done.stdout.splitlines()
        if line.startswith("|") and "/" in line
    ]
    values = {row[5]: (row[6], row[7]) for row in cells}
    for teacher in ("QwQ", "R1"):
        own = [one.local("4") for (_, name), one in expected.items() if name == teacher]
        arrow, value = values[f"local_naturalness/{teacher}"]
        assert arrow == "↑"
        assert_near(float(value), statistics.fmean(own), 1e-3)
        assert values[f"coverage/{teacher}"] == ("", "1.0000")
    found = read_scored_set([tmp_path / "out"])
    assert found.prompts == ("p0", "p1")
    assert Path(found.student).name == student_folder.name
    for row in found.rows:
        assert row.record.path == "packed"
        assert_near(row.record.sums["4"], expected[row.prompt_id, row.teacher].sums["4"])


def test_a_missing_column_is_one_line_and_exit_code_2(student_folder: Path, tmp_path: Path) -> None:
    bad = [{name: value for name, value in row.items() if name != "response"} for row in rows()]
    done = lm_eval(student_folder, write_set(tmp_path / "sets", bad), tmp_path / "out")
    assert done.returncode == 2
    ours = [line for line in done.stderr.splitlines() if line.startswith("lnat: error: ")]
    assert len(ours) == 1
    assert "my_teachers.jsonl" in ours[0] and "'response'" in ours[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.glob("out/**/*.json*"))
