"""examples/benchmark/benchmark_metrics.py: what it counts and refuses. No clock is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .scripts import run

SCRIPT = "benchmark/benchmark_metrics.py"


def test_the_table_and_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cost.json"
    with pytest.raises(SystemExit) as end:
        run(SCRIPT, "--limit", 1, "--repeats", 1, "--output_path", out)
    assert end.value.code == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [row.split("|")[1].strip() for row in rows] == ["local and global", "every metric"]
    counts = json.loads(out.read_text())["counts"]
    two, every = counts["local and global"], counts["every metric"]
    # The response once more without its prompt, and each last token for its activation.
    assert two["projected_tokens"] < every["projected_tokens"] < 2 * two["projected_tokens"]
    assert two["body_tokens"] < every["body_tokens"] < 1.5 * two["body_tokens"]


@pytest.mark.parametrize("text", ["", "not json\n", '{"response": "?"}\n'])
def test_bad_input_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        run(SCRIPT, "--data", data)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("benchmark_metrics: error:")
