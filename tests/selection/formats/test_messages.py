"""verl, Open Instruct, Unsloth: messages of roles and contents, and the limit of tokens."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import four_rows, selection_of
from tests.selection.formats.test_base import rows_of

VERL_READS = {"images", "videos", "tools", "enable_thinking"}
"""Columns that verl's sft data set gives to the template, beside `messages`."""


@pytest.mark.parametrize("name", ["verl", "open_instruct", "unsloth"])
def test_a_turn_is_a_role_and_a_content(tmp_path: Path, name: str) -> None:
    pool = four_rows(roles=["system", "user"])
    write_training_set(tmp_path / "c", pool, selection_of(pool), format=name)
    for row in rows_of(tmp_path / "c"):
        assert [list(turn) for turn in row["messages"]] == [["role", "content"]] * 3
        assert all(isinstance(text, str) for turn in row["messages"] for text in turn.values())


def test_no_column_of_a_row_reaches_verl_s_template(tmp_path: Path) -> None:
    pool = four_rows([dict.fromkeys(("images", "enable_thinking"), True)] * 4)
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="verl", longest=77)
    names = pq.read_schema(tmp_path / "c" / "data/train.parquet").names
    assert not VERL_READS & {*names}
    card = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    assert "data.train_files=data/train.parquet data.max_length=77\n" in card
