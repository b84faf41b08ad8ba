"""The table of costs: hours follow from operations, whatever the GPU and their number."""

from __future__ import annotations

import pytest

from .scripts import run


def test_a_line_for_each_student_and_score(capsys: pytest.CaptureFixture[str]) -> None:
    run("estimate_cost.py", "--response_tokens", "200", "--gpu", "A100")
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert "hours on 64 A100" in head
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(table) == 6
    for _, _, _, flop, one, eight, many in table:
        hours = float(one.replace(",", ""))
        assert hours == pytest.approx(float(flop) / (312e12 * 0.45) / 3600, rel=0.05)
        assert float(eight) == pytest.approx(hours / 8, abs=0.06)
        assert float(many) == pytest.approx(hours / 64, abs=0.06)
    assert float(table[3][4].replace(",", "")) > 3 * float(table[0][4].replace(",", ""))
