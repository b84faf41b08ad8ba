"""Rows with labels: those whose verdict is known, and both kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import DataError
from lnat_plugins.selection.formats import FORMATS, Chosen
from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import pool_of, row, select
from tests.selection.formats.test_base import rows_of

POOL = pool_of(
    row("p0", "A", -1.0, correct=True),
    row("p0", "B", -2.0, correct=False),
    row("p0", "C", -3.0),
    row("p1", "A", -2.0, correct=False, text="7"),
    row("p1", "B", -1.0, correct=False, text="7"),
)


def test_every_row_with_a_verdict_is_written_with_it(tmp_path: Path) -> None:
    selection = select(POOL, strategy="all")
    write_training_set(tmp_path, POOL, selection, format="kto")
    rows = rows_of(tmp_path)
    assert [row["label"] for row in rows] == [True, False, False]
    assert [row["completion"][0]["content"] for row in rows] == ["A 0 on p0", "B 0 on p0", "7"]
    assert [row["lnat_score"] for row in rows] == [-1.0, -2.0, -2.0]
    assert [row["lnat_index"] for row in rows] == [0, 1, 3]
    assert FORMATS["kto"].said(Chosen(POOL, selection)) == [
        "Labels: 1 true, 2 false. Left out: 1 chosen row not known to be correct or wrong."
    ]


def test_rows_stand_in_the_order_of_the_selection_and_as_often(tmp_path: Path) -> None:
    whole = select(POOL, strategy="all")
    order = (3, 2, 0, 0, 1)
    drawn = replace(whole, sequence=order, settings={"order": "hard_to_easy"})
    write_training_set(tmp_path, POOL, drawn, format="kto")
    assert [row["lnat_index"] for row in rows_of(tmp_path)] == [3, 0, 0, 1]
    assert FORMATS["kto"].said(Chosen(POOL, drawn))[0].startswith("Labels: 2 true, 2 false.")
    config = yaml.safe_load((tmp_path / "kto.yaml").read_text(encoding="utf-8"))
    assert config["train_sampling_strategy"] == "sequential"


@pytest.mark.parametrize(
    ("block", "missing"),
    [({"strategy": "all", "require_correct": True}, "wrong"), ({"strategy": "best"}, "wrong")],
)
def test_one_label_alone_is_refused(tmp_path: Path, block: dict[str, Any], missing: str) -> None:
    pool = pool_of(*POOL.rows[:3])
    with pytest.raises(DataError, match=f"no chosen row is known to be {missing}, and KTO needs"):
        write_training_set(tmp_path / "c", pool, select(pool, **block), format="kto")
    wrong = pool_of(*POOL.rows[3:])
    with pytest.raises(DataError, match="no chosen row is known to be correct"):
        write_training_set(tmp_path / "c", wrong, select(wrong, strategy="all"), format="kto")
