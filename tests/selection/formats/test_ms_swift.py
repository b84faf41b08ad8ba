"""ms-swift's JSON lines: `loss_scale` where weights differ, and only keys that its reader keeps."""

from __future__ import annotations

from pathlib import Path

from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import four_rows, selection_of
from tests.selection.formats.test_base import rows_of

TURN_KEYS = {"role", "content", "loss", "loss_scale"}
ROLES = {"system", "user", "tool_call", "tool_response", "tool", "assistant"}


def test_the_weight_is_the_scale_of_the_response(tmp_path: Path) -> None:
    pool = four_rows(roles=["system", "user"])
    selection = selection_of(pool, weights=(0.25, 0.75))
    write_training_set(tmp_path / "c", pool, selection, format="ms_swift")
    rows = rows_of(tmp_path / "c")
    scales = [[turn.get("loss_scale") for turn in row["messages"]] for row in rows]
    assert scales == [[None, None, 0.25], [None, None, 0.75]]
    assert [row["channel"] for row in rows] == ["R1", "QwQ"]
    for row in rows:
        assert all(turn.keys() <= TURN_KEYS for turn in row["messages"])
        assert all(turn["role"] in ROLES for turn in row["messages"])
    card = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    assert "--is_binary_loss_scale false\n" in card


def test_without_weights_no_switch_is_needed(tmp_path: Path) -> None:
    pool = four_rows()
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="ms_swift")
    assert "loss_scale" not in (tmp_path / "c" / "data/train.jsonl").read_text(encoding="utf-8")
    assert "loss_scale false" not in (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
