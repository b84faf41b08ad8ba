"""`where`: rows kept by the value of any column."""

from __future__ import annotations

from typing import Any

import pytest

from tests.teacher_set.conftest import Load, jsonl, row, two

NAN = float("nan")


def kept(load: Load, where: dict[str, Any], values: list[Any]) -> list[str]:
    """The names of the prompts whose rows are kept; "p0" has the first value, and so on."""
    rows = [row(f"p{i}", t, **value) for i, value in enumerate(values) for t in "AB"]
    return [prompt.text for prompt in load(rows, where=where).prompts]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"k": "stop"}, "0"),
        ({"k": ["stop", "length"]}, "01"),
        ({"k": 1}, "23"),
        ({"k": 1.0}, "23"),
        ({"k": True}, "4"),
        ({"k": None}, "567"),
        ({"k": [None, "stop", 1]}, "023567"),
        ({"k": "1"}, "8"),
        ({"k": "Stop"}, ""),
        ({"k": False}, "9"),
        ({"k": 0}, ""),
    ],
)
def test_values_are_compared_by_their_kind(
    load: Load, where: dict[str, Any], expected: str
) -> None:
    listed: list[Any] = ["stop", "length", 1, 1.0, True, None, NAN]
    values = [{"k": value} for value in listed] + [{}, {"k": "1"}, {"k": False}, {"k": "last"}]
    always = {"k": [*(where["k"] if isinstance(where["k"], list) else [where["k"]]), "last"]}
    assert kept(load, always, values) == [f"p{i}" for i in expected] + ["p10"]


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [(1, "01"), (1.5, "2"), (True, "34"), (None, "5"), ("1", "0"), (["1.0", False], "16")],
)
def test_cells_of_a_table_are_read_as_what_they_say(
    load: Load, allowed: Any, expected: str
) -> None:
    cells = ["1", "1.0", "1.5", "true", "True", "", "FALSE", "z"]
    lines = [f"p{i},{t},r,{cell}\n" for i, cell in enumerate(cells) for t in "AB"]
    text = "prompt,teacher,response,k\n" + "".join(lines)
    listed = allowed if isinstance(allowed, list) else [allowed]
    found = load({"r.csv": text}, "r.csv", where={"k": [*listed, "z"]})
    assert [prompt.text for prompt in found.prompts] == [f"p{i}" for i in expected] + ["p7"]


def test_a_dotted_path_looks_into_objects_unless_a_column_has_that_name(load: Load) -> None:
    values: list[Any] = [
        {"metadata": {"domain": {"name": "math"}}},
        {"metadata": {"domain": "math"}},
        {"metadata": "math"},
        {"metadata.domain.name": "math", "metadata": {"domain": {"name": "code"}}},
        {"metadata.domain.name": "code", "metadata": {"domain": {"name": "math"}}},
    ]
    assert kept(load, {"metadata.domain.name": "math"}, values) == ["p0", "p3"]


def test_every_column_must_hold(load: Load) -> None:
    values = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}]
    assert kept(load, {"a": 1, "b": [1, 3]}, values) == ["p0"]


def test_what_is_left_out_is_counted_under_its_column_and_not_as_unusable(load: Load) -> None:
    rows = [*two(k="stop"), row("q", "A", "", k="length"), row("q", "B", k="length"), row("q", "C")]
    found = load(rows, where={"k": "stop"})
    assert found.dropped == {"column 'k': the value is not among those of `where`": 3}
    assert {one.left_out for one in found.unusable.values()} == {0}


def test_the_filter_reads_whole_rows_of_every_layout(load: Load) -> None:
    rows = [{"prompt": p, "A": "a", "B": "b", "k": p} for p in "pq"]
    found = load(rows, layout="wide", columns={"responses": ["A", "B"]}, where={"k": "p"})
    assert [prompt.text for prompt in found.prompts] == ["p"]
    assert found.dropped == {"column 'k': the value is not among those of `where`": 1}
    nested = [{"prompt": p, "responses": ["a", "b"], "k": p} for p in "pq"]
    assert load(nested, layout="nested", where={"k": "q"}).prompts[0].text == "q"


def test_a_column_may_be_in_one_file_only(load: Load) -> None:
    files: dict[str, str | bytes] = {"a.jsonl": jsonl(*two()), "b.jsonl": jsonl(*two("q", k=1))}
    assert [p.text for p in load(files, ["a.jsonl", "b.jsonl"], where={"k": 1}).prompts] == ["q"]


def test_no_filter_is_none(load: Load) -> None:
    assert load(two(), where=None).n_responses == load(two(), where={}).n_responses == 2
