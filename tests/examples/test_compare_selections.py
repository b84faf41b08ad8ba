"""Metrics and strategies side by side: each has a line, what cannot choose has its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lnat_plugins import read_scores
from tests.cli.select_runs import write_run

from .scripts import run


def test_a_line_for_each_and_the_overlap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "out")
    run("compare_selections.py", tmp_path / "out")
    printed = capsys.readouterr().out
    orders, chosen, overlap = re.split(r"^(?:Chosen|Overlap): .*$", printed, flags=re.MULTILINE)
    assert "local_naturalness" in orders
    scores = read_scores(tmp_path / "out")
    best = scores.select("best")
    (line,) = re.findall(r"^best +(\d.*)$", chosen, re.MULTILINE)
    tokens = sum(scores.rows[index].record.n_tokens for index in best.indices)
    assert line.split()[:2] == [str(len(best.indices)), str(tokens)]
    for name in ("best by global_naturalness", "random", "diverse", "top_k", "all"):
        assert re.search(rf"^{name} ", chosen, re.MULTILINE)
    rows = [line.split() for line in overlap.splitlines() if re.match(r"\d+ ", line)]
    numbers = [[float(cell) for cell in row[-len(rows) :]] for row in rows]
    assert len(rows) == len(re.findall(r"^\S.* \d+ +\d+ ", chosen, re.MULTILINE))
    for i, row in enumerate(numbers):
        assert row[i] == 1.0 and row == [other[i] for other in numbers]
    every = set(scores.select("all").indices)
    share = round(len(best.indices) / len(every), 2)
    of_all = next(i for i, row in enumerate(rows) if row[1] == "all")
    of_best = next(i for i, row in enumerate(rows) if row[1:2] == ["best"] and row[2] != "by")
    assert numbers[of_all][of_best] == share < 1


def test_what_cannot_choose_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "out")
    run("compare_selections.py", tmp_path / "out", "--strategies", "best", "threshold")
    printed = capsys.readouterr().out
    assert re.search(r"^- not chosen by threshold: .*threshold.*$", printed, re.MULTILINE)
