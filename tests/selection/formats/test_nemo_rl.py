"""NeMo RL's JSON lines, and the processor that the card gives for weights."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import four_rows, selection_of
from tests.selection.formats.test_base import rows_of


def test_the_multiplier_is_the_weight(tmp_path: Path) -> None:
    pool = four_rows()
    selection = selection_of(pool, weights=(0.25, 0.75))
    write_training_set(tmp_path / "c", pool, selection, format="nemo_rl")
    rows = rows_of(tmp_path / "c")
    assert [row["loss_multiplier"] for row in rows] == [0.25, 0.75]
    assert all(row["messages"][-1]["role"] == "assistant" for row in rows)
    assert all(turn.keys() == {"role", "content"} for row in rows for turn in row["messages"])


def test_the_processor_of_the_card_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins of the names that it imports, as its own gives 1, or 0 to a row too long."""
    pool = four_rows()
    selection = selection_of(pool, weights=(0.25, 0.75))
    write_training_set(tmp_path / "c", pool, selection, format="nemo_rl")
    card = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    registered: dict[str, Any] = {}
    stand_in = ModuleType("nemo_rl.data.processors")
    vars(stand_in)["register_processor"] = registered.__setitem__
    vars(stand_in)["sft_processor"] = lambda datum, length: {
        "loss_multiplier": 0.0 if length > 9 else 1.0
    }
    for name in ("nemo_rl", "nemo_rl.data"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "nemo_rl.data.processors", stand_in)
    exec(code, {})
    (process,) = registered.values()
    row = rows_of(tmp_path / "c")[0]
    assert [process(row, length)["loss_multiplier"] for length in (5, 10)] == [0.25, 0.0]
