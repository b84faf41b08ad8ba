"""`dataset_info.json`: the entry, and what LLaMA-Factory would not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection.training_set import write_training_set

from .builders import pool_of, selection_of


def test_conversations(tmp_path: Path) -> None:
    pool = pool_of(roles=["system", "user", "assistant", "tool"])
    write_training_set(
        tmp_path / "c", pool, selection_of(pool), form="messages", llama_factory=True
    )
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
    pool = pool_of(plain=True)
    write_training_set(tmp_path / "c", pool, selection_of(pool), llama_factory=True)
    assert json.loads((tmp_path / "c" / "dataset_info.json").read_text(encoding="utf-8")) == {
        "lnat": {
            "file_name": "data/train.parquet",
            "formatting": "alpaca",
            "columns": {"prompt": "prompt", "response": "completion"},
        }
    }


def test_conversations_in_two_columns_are_refused(tmp_path: Path) -> None:
    pool = pool_of()
    with pytest.raises(ConfigError, match=r"LLaMA-Factory reads no conv.*Give --format messages"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), llama_factory=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "roles", [["user", "user"], ["user", "system", "user"], ["user", "assistant"], ["system"]]
)
def test_a_conversation_that_would_be_skipped_is_refused(tmp_path: Path, roles: list[str]) -> None:
    pool = pool_of(roles=roles)
    with pytest.raises(DataError, match=r"x\.jsonl line 1: LLaMA-Factory would skip this"):
        write_training_set(
            tmp_path / "c", pool, selection_of(pool), form="messages", llama_factory=True
        )
