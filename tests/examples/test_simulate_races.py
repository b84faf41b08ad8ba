"""examples/benchmark/simulate_races.py: what its tables hold. The figures are not judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from .scripts import run

SCRIPT = "benchmark/simulate_races.py"


def tables(printed: str) -> dict[str, list[list[str]]]:
    parts = printed.strip().split("\n\n")
    return {
        name: [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for name, table in zip(parts[::2], parts[1::2], strict=True)
    }


def test_tables_of_made_up_noise(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(
            *(SCRIPT, "--runs", 4, "--prompts", 40, "--teachers", 2, 3),
            *("--noises", "normal", "rare, announced"),
        )
    assert end.value.code == 0
    found = tables(capsys.readouterr().out)
    assert list(found) == ["errors", "effects", "needed"]
    assert [len(rows) - 2 for rows in found.values()] == [4, 16, 8]
    for rows in found.values():
        assert {len(row) for row in rows} == {len(rows[0])}


def test_tables_of_step_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    lines = []
    for prompt in range(30):
        for teacher, shift in (("R1", 0.0), ("QwQ", 2.0)):
            local = (shift + generator.normal(size=40)).tolist()
            row = {"set": "made up", "prompt": str(prompt), "teacher": teacher, "local": local}
            row |= {"global": [each + 0.1 for each in local], "tokens": [20] * 40}
            lines.append(json.dumps(row))
    lines.append(json.dumps({**row, "prompt": "30", "local": [None] * 40}))
    path = tmp_path / "steps.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(SystemExit):
        run(SCRIPT, "--scores", path, "--runs", 20, "--tables", "sets", "estimates", "races")
    found = tables(capsys.readouterr().out)
    assert [len(rows) for rows in found.values()] == [3, 3, 3]
    assert found["sets"][2][:2] == ["made up", "30 × 2"]
    assert found["races"][2][2] == "QwQ" and float(found["races"][2][4]) == 1.0
    for rows in found.values():
        assert {len(row) for row in rows} == {len(rows[0])}


def test_tables_of_a_file_need_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(SCRIPT, "--tables", "races")
    assert end.value.code == 2 and "need --scores" in capsys.readouterr().err
