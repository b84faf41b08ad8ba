"""The table of row weights, by hand; the file is tested with what reads it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.nce import NceWeights
from lnat_plugins.selection.weights import RowWeight, read_weights


def result() -> NceWeights:
    rows = (
        RowWeight("p0", "A", 0, "aa", 0.6, 0.1, 4),
        RowWeight("p1", "A", 0, "bb", 1.0, 0.5, 6),
        RowWeight("p0", "B", 0, "cc", math.nan, math.nan, 0, "no token to score"),
    )
    return NceWeights("maths", rows, 1234, 2.0)


def test_the_table() -> None:
    assert result().to_markdown(["right", "wrong"]).splitlines() == [
        "task: maths, 3 responses",
        "positive: right, negative: wrong",
        "weight = 0.5 + tanh(KL), KL of negative from positive in nats per token; 1,234 tokens "
        "read by each student, 2 seconds",
        "",
        "|Teacher|Responses|  KL  |Mean weight|Lowest|Highest|Undefined|",
        "|-------|--------:|-----:|----------:|-----:|------:|--------:|",
        "|A      |        2|0.3000|     0.8000|0.6000| 1.0000|        0|",
        "|B      |        1|   N/A|        N/A|   N/A|    N/A|        1|",
        "",
        "1 undefined: no token to score.",
        "A weight says how far the two students are apart on a response, not which of them is "
        "right.",
    ]
    assert repr(result()) == "<NceWeights of 3 responses of maths>"


def test_the_file_is_read_back_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "nce.jsonl"
    for _ in range(2):
        result().write(file)
    read = list(read_weights(file).values())
    assert read[:2] == list(result().rows[:2])
    assert math.isnan(read[2].lnat_weight) and read[2].reason == "no token to score"
    other = tmp_path / "other.jsonl"
    other.write_text('{"prompt_id": "p0"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="did not write"):
        result().write(other)
    result().write(other, overwrite=True)
    assert other.read_bytes() == file.read_bytes()
