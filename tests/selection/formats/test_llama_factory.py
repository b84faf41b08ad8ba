"""`dataset_info.json` for v0, messages in parts for v1, and what either would not read."""

from __future__ import annotations

import json
from pathlib import Path

from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import four_rows, selection_of
from tests.selection.formats.test_base import rows_of


def test_conversations(tmp_path: Path) -> None:
    pool = four_rows(roles=["system", "user", "assistant", "tool"])
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="llama_factory")
    assert json.loads((tmp_path / "c" / "dataset_info.json").read_text(encoding="utf-8")) == {
        "lnat": {
            "file_name": "data/train.parquet",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
                "observation_tag": "tool",
                "function_tag": "function_call",
            },
        }
    }


def test_plain_text(tmp_path: Path) -> None:
    pool = four_rows(plain=True)
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="llama_factory")
    assert json.loads((tmp_path / "c" / "dataset_info.json").read_text(encoding="utf-8")) == {
        "lnat": {
            "file_name": "data/train.parquet",
            "formatting": "alpaca",
            "columns": {"prompt": "prompt", "response": "completion"},
        }
    }


def test_v1_reads_the_weight_at_the_response(tmp_path: Path) -> None:
    pool = four_rows(roles=["system", "user"])
    selection = selection_of(pool, weights=(0.25, 0.75))
    write_training_set(tmp_path / "c", pool, selection, format="llama_factory")
    for row, weight in zip(rows_of(tmp_path / "c", "data/v1.jsonl"), (0.25, 0.75), strict=True):
        assert [turn["loss_weight"] for turn in row["messages"]] == [0.0, 0.0, weight]
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
        assert all(
            [part.keys() for part in turn["content"]] == [{"type", "value"}]
            for turn in row["messages"]
        )
    card = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    assert "v0 reads no weights of rows, and trains on all of them alike; v1 does" in card
