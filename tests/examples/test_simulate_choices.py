"""examples/benchmark/simulate_choices.py: what its tables hold. The figures are not judged."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.helpers_students import student, tokenizer

from .scripts import run

SCRIPT = "benchmark/simulate_choices.py"


def test_tables_of_a_small_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer().save_pretrained(tmp_path / "student")
    student("llama").save_pretrained(tmp_path / "student")
    draw = random.Random(2)
    words = "first second so three four seven wait now".split()
    lines = [
        {"prompt_id": f"p{i}", "prompt": f"{i} + 1?", "teacher": teacher,
         "response": " ".join(" ".join(draw.choices(words, k=4)).title() + "." for _ in range(8))}
        for i in range(14) for teacher in ("R1", "QwQ")
    ]  # fmt: skip
    data, records = tmp_path / "data.jsonl", tmp_path / "records.jsonl"
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    options = ["--prompts", 12, "--window", 1, "--strides", 2, 4, "--stride", 4, "--runs", 3,
               "--error", 0.3, "--errors", 0.3, 0.2, "--records", records]  # fmt: skip
    printed = []
    for _ in range(2):  # scored, and read again
        with pytest.raises(SystemExit) as end:
            run(SCRIPT, data, tmp_path / "student", *options)
        assert end.value.code == 0
        printed.append(capsys.readouterr().out)
    assert printed[0].splitlines()[-10:] == printed[1].splitlines()[-10:]
    parts = printed[1].strip().split("\n\n")
    assert parts[::2] == ["strides", "errors"]
    tables = [[line.strip("| ").split(" | ") for line in part.splitlines()] for part in parts[1::2]]
    assert [[row[0] for row in table[2:]] for table in tables] == [["2", "4"], ["0.3", "0.2"]]
    for table in tables:
        assert {len(row) for row in table} == {10}
        assert all(row[6].endswith(" of 12") and float(row[2]) > 0 for row in table[2:])
    assert len(records.read_text("utf-8").splitlines()) == 24
