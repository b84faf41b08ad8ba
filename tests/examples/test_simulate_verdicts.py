"""examples/benchmark/simulate_verdicts.py: what its tables hold. The figures are not judged."""

from __future__ import annotations

import pytest

from .scripts import run

SCRIPT = "benchmark/simulate_verdicts.py"


def test_three_tables_of_shares(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(
            *(SCRIPT, "--replications", 20, "--bootstrap_iters", 50),
            *("--teachers", 2, 3, "--prompts", 12, "--noises", "normal", "t3"),
        )
    assert end.value.code == 0
    tables = capsys.readouterr().out.strip().split("\n\n")
    errors, stated, needed = (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for table in tables
    )
    assert [len(rows) - 2 for rows in (errors, stated, needed)] == [12, 10, 10]
    for rows in (errors, stated, needed):
        assert {len(row) for row in rows} == {len(rows[0])}
    for row in errors[2:]:
        held, sole, wrong = map(float, row[5:8])
        assert 0 <= wrong <= sole <= 1 and held > 0.5
    for row in needed[2:]:
        assert sum(map(float, row[3:6])) == pytest.approx(1, abs=0.002)
