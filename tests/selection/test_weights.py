"""Row weights from a file: how they are read, joined and refused, and what a selection does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import choose
from lnat_plugins.selection.arrange import arrange
from lnat_plugins.selection.weights import (
    RowWeight,
    check_output,
    join_weights,
    read_weights,
    text_digest,
    write_weights,
)
from tests.selection.builders import FakeStudent, pool_of, row, select, spec_of, table

POOL = table({"A": [-1.0, -2.0, -3.0], "B": [-2.0, -1.0, -4.0]})


def line(prompt: str, teacher: str, weight: float | None, **more: Any) -> str:
    values = {"lnat_weight": weight, "prompt_id": prompt, "teacher": teacher, **more}
    return json.dumps(values, ensure_ascii=False)


def file_of(folder: Path, *lines: str) -> str:
    path = folder / "weights.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return file_of(
        tmp_path,
        line("p0", "A", 0.5, sample=0, response=text_digest("A 0 on p0")),
        line("p0", "B", 0.75),
        "",
        line("p1", "A", 1, response=text_digest("another text")),
        line("p1", "B", None, reason="no token to score"),
        line("p2", "A", 1.25, kl=0.97, tokens=12),
        line("p9", "A", 7.0),
    )


def test_every_chosen_row_weighs_what_the_file_says(file: str) -> None:
    found = select(POOL, strategy="all", weights=file)
    assert dict(zip(found.indices, found.weights, strict=True)) == {0: 0.5, 1: 0.75, 4: 1.25}
    assert found.weighted
    assert dict(found.reasons) == {
        2: "it has no weight: the file's is of another text",
        3: "it has no weight: no token to score",
        5: "it has no weight: the file has no line for it",
    }
    assert found.eligible == (0, 1, 4)
    assert found.settings["weights"] == file


def test_rows_without_a_weight_are_neither_scored_nor_chosen(file: str) -> None:
    student = FakeStudent()
    found = select(POOL, student, strategy="best", weights=file)
    assert student.scored == [[0, 1, 4]]
    assert found.indices == (0, 4) and found.weights == (0.5, 1.25)
    # B is the better one of p1, and has no weight; nothing of that prompt is left.
    assert select(POOL, strategy="best").indices == (0, 3, 4)


def test_a_strategy_without_scores_takes_them_too(file: str) -> None:
    assert select(POOL, strategy="shortest", weights=file).weights == (0.5, 1.25)


def test_rows_are_drawn_by_them(file: str) -> None:
    spec = spec_of(strategy="all", weights=file, resample=True, seed=3)
    drawn = arrange(choose(POOL, FakeStudent(), spec), spec)
    assert len(drawn.rows) == 3 and set(drawn.weights) == {1.0}
    counts = dict.fromkeys((0, 1, 4), 0)
    for seed in range(300):
        spec = spec_of(strategy="all", weights=file, resample=True, seed=seed)
        for index in arrange(choose(POOL, FakeStudent(), spec), spec).rows:
            counts[index] += 1
    total = 0.5 + 0.75 + 1.25
    for index, weight in {0: 0.5, 1: 0.75, 4: 1.25}.items():
        assert counts[index] / 300 == pytest.approx(3 * weight / total, abs=0.1)


def test_samples_are_told_apart(tmp_path: Path) -> None:
    pool = pool_of(row("p0", "A", text="x"), row("p0", "A", text="y", sample=1))
    file = file_of(tmp_path, line("p0", "A", 0.5, sample=1), line("p0", "A", 2.5))
    found = select(pool, strategy="all", weights=file)
    assert found.weights == (2.5, 0.5)


def test_a_file_of_other_rows_leaves_nothing(tmp_path: Path) -> None:
    file = file_of(tmp_path, line("p7", "A", 0.5))
    with pytest.raises(DataError) as caught:
        select(POOL, strategy="all", weights=file)
    assert str(caught.value) == (
        "sft.yaml: selection: the selection would be empty (6 rows: it has no weight: the file has "
        "no line for it). Loosen the setting that dropped most of them."
    )


def test_written_and_read_back(tmp_path: Path) -> None:
    rows = (
        RowWeight("p0", "A", 0, text_digest("A 0 on p0"), 0.1 + 0.2, 1e-17, 3),
        RowWeight('p"0', "B\u2028", "x", "", 0.0),
        RowWeight("p1", "A", 0, text_digest("\ud800"), math.nan, reason="too\nlong"),
    )
    path = tmp_path / "out.jsonl"
    write_weights(path, rows)
    read = list(read_weights(path).values())
    assert [*map(repr, read[:2])] == [*map(repr, rows[:2])]
    assert math.isnan(read[2].lnat_weight) and read[2].reason == "too\nlong"
    assert [row.tokens for row in read] == [3, 0, 0]
    known, reasons = join_weights(POOL.rows, read_weights(path))
    assert (
        known == {0: 0.1 + 0.2} and reasons[2] == "it has no weight: the file's is of another text"
    )
    assert path.read_text(encoding="utf-8").startswith('{"lnat_weight": 0.30000000000000004, ')
    check_output(path)
    other = tmp_path / "other.jsonl"
    other.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="a file that lnat did not write is in the way"):
        check_output(other)
    check_output(other, overwrite=True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["[1]"], "line 1: this is no JSON object (found '[1]')."),
        ([line("p0", "A", 1), "{"], "line 2: this is no JSON object (found '{')."),
        (['{"lnat_weight": 1, "lnat_weight": 2}'], "line 1: this is no JSON object"),
        (['{"lnat_weight": NaN}'], "line 1: this is no JSON object"),
        ([line("p0", "A", -0.5)], "line 1: lnat_weight: this must be a number, 0 or more, or null"),
        (['{"lnat_weight": "1", "prompt_id": "p", "teacher": "A"}'], "line 1: lnat_weight: this"),
        (['{"prompt_id": "p", "teacher": "A"}'], "line 1: the key `lnat_weight` is missing"),
        ([line("p0", "A", 1, sampel=1)], "unknown key (found 'sampel'). Did you mean 'sample'?"),
        (
            [line("p0", "A", 1), line("p0", "A", 2, sample=0)],
            "line 2: a second weight of one response (found 'prompt 'p0', teacher 'A', sample 0'",
        ),
    ],
)
def test_a_line_that_cannot_be_read(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_weights(file_of(tmp_path, *lines), "sft.yaml: selection: weights")
    text = str(caught.value)
    assert message in text.replace('"', "'") or message in text
    assert "\n" not in text and "weights.jsonl" in text


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    where = "lnat select: weights"
    with pytest.raises(DataError) as caught:
        read_weights(tmp_path / "none.jsonl", where)
    assert str(caught.value).startswith(
        f"{where}: the file of weights cannot be read: No such file"
    )
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_weights(tmp_path, where)
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is no UTF-8 text"):
        read_weights(tmp_path / "b", where)


def test_nothing_is_scored_where_it_cannot_be_read(tmp_path: Path) -> None:
    student = FakeStudent()
    with pytest.raises(DataError, match="sft.yaml: selection: weights: the file of weights"):
        select(POOL, student, weights=str(tmp_path / "none.jsonl"))
    assert student.scored == []
