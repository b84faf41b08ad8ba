"""Rows that cannot be used: left out in every layout, counted by teacher and reason."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set import UnusableRows
from lnat_plugins.teacher_set.responses import NO_RESPONSE
from lnat_plugins.teacher_set.unusable import add, in_words, reason_of
from tests.teacher_set.conftest import Load, jsonl, row, two
from tests.teacher_set.test_bad_input import CASES

NAN = float("nan")
USER = {"role": "user", "content": "good"}

GOOD: dict[str, list[dict[str, Any]]] = {
    "long": [
        {"prompt": "good", "teacher": t, "response": t, "prompt_id": None, "correct": 1}
        for t in "XY"
    ],
    "messages": [
        {"teacher": t, "messages": [USER, {"role": "assistant", "content": t}]} for t in "XY"
    ],
    "prompt_completion": [{"prompt": "good", "teacher": t, "completion": t} for t in "XY"],
    "nested": [
        {
            "prompt": "good",
            "responses": [{"response": t, "teacher": t, "correct": 1} for t in "XY"],
        }
    ],
    "wide": [{"prompt": "good"}],
}

ROWS = [case for case in CASES if case["name"].startswith("row: ") and "rows.jsonl" in str(case)]
BY_ID = ("prompt_id", "half an emoji in the id", "a named id")


def good_rows(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the case's layout that can be used, under the columns that it names."""
    block = case.get("naturalness", {})
    columns = block.get("columns", {})
    layout = block.get("layout", "long")
    if layout == "wide":
        extra = dict.fromkeys(columns.get("correct", {}).values(), True)
        steps = {column: ["x"] for column in columns.get("steps", {}).values()}
        return [{"prompt": "good", **dict.fromkeys(columns["responses"], "x"), **extra, **steps}]

    def renamed(values: Any) -> Any:
        if isinstance(values, list):
            return [renamed(one) for one in values]
        if not isinstance(values, dict):
            return values
        return {columns.get(name, name): renamed(value) for name, value in values.items()}

    found = renamed(GOOD[layout])
    if any(name in case["name"] for name in BY_ID):
        for one in found:
            one[columns.get("prompt_id", "prompt_id")] = "good"
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case["name"])
def test_a_row_that_would_be_an_error_is_left_out_and_counted(
    load: Load, case: dict[str, Any]
) -> None:
    bad = case["files"]["rows.jsonl"] if "files" in case else jsonl(*case["rows"])
    files: dict[str, str | bytes] = {"rows.jsonl": bad + jsonl(*good_rows(case))}
    found = load(files, **case.get("naturalness", {}))
    assert [prompt.text for prompt in found.prompts] == ["good"]
    assert found.n_responses == 2
    counted: dict[str, str] = {}
    for one in found.unusable.values():
        counted = {**one.places, **counted}
    assert counted
    for reason in counted:
        assert found.dropped[reason] >= 1
        assert not re.search(r"\d|found|rows\.jsonl", reason.replace("0, 1 or null", ""))
        assert len(reason) < 110
    assert any(f"DataError: {place}: " in case["error"] for place in counted.values())


def test_the_table_of_rows_covers_every_layout() -> None:
    layouts = {case.get("naturalness", {}).get("layout", "long") for case in ROWS}
    assert layouts == set(GOOD)
    assert len(ROWS) > 90


# containers


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("r.jsonl", '{"prompt": \n', "not valid JSON"),
        ("r.jsonl", "[1]\n", "a row must be an object of named values"),
        ("r.jsonl", b'{"a": "\xe9"}\n', "this is not UTF-8 text"),
        ("r.json", '{"prompt": \n', "not valid JSON"),
    ],
)
def test_a_line_that_is_no_row(load: Load, name: str, text: str | bytes, reason: str) -> None:
    first, second = (jsonl(one).encode() for one in two())
    bad = text if isinstance(text, bytes) else text.encode()
    found = load({name: first + bad + bad + second}, name)
    place = {reason: f"{name} row 2"}
    assert found.unusable[""] == UnusableRows(2, {reason: 2}, place)
    assert found.dropped == {reason: 2}


def test_an_item_of_a_json_list_that_is_no_row(load: Load) -> None:
    found = load({"r.json": json.dumps([*two(), 3, None])}, "r.json")
    assert found.unusable[""].reasons == {"a row must be an object of named values": 2}


@pytest.mark.parametrize(("suffix", "mark"), [("csv", ","), ("tsv", "\t")])
def test_rows_of_a_table(load: Load, suffix: str, mark: str) -> None:
    lines = ["prompt,teacher,response", "p,A,a", "p,B,b", "p,A", "p,A,x,y", "q,A,", "q,A,caf\xe9"]
    text = "\n".join(lines).replace(",", mark).encode("latin-1")
    found = load({f"r.{suffix}": text}, f"r.{suffix}")
    assert found.n_responses == 2
    reasons = {
        "the row has another number of cells than the header": 2,
        "this is not UTF-8 text": 1,
    }
    assert found.unusable[""].reasons == reasons
    assert found.unusable["A"].reasons == {"column 'response': the text is empty": 1}


# by teacher


def test_rows_are_counted_by_teacher_where_one_is_known(load: Load) -> None:
    rows = [*two(), row("p2", "A", ""), row("p3", "A", None), row("p4", "A", NAN)]
    rows += [row("p5", None), row("p5", "B", 3)]
    found = load(rows)
    empty, null = (
        f"column 'response': {what}" for what in ("the text is empty", "the value is null")
    )
    number = "column 'response': this must be text, not int"
    places = {empty: "rows.jsonl row 3", null: "rows.jsonl row 4"}
    places = {reason: f"{place}, column 'response'" for reason, place in places.items()}
    assert found.unusable["A"] == UnusableRows(4, {empty: 1, null: 2}, places)
    assert found.unusable["B"].reasons == {number: 1}
    assert found.unusable[""].reasons == {"column 'teacher': the value is null": 1}
    assert found.unusable["A"].commonest == null


def test_the_teacher_of_a_file_is_known(load: Load) -> None:
    good = jsonl({"prompt": "p", "response": "r"})
    files: dict[str, str | bytes] = {"a.jsonl": good + "{\n", "b.jsonl": good}
    found = load(files, {"A": "a.jsonl", "B": "b.jsonl"})
    assert found.unusable["A"].reasons == {"not valid JSON": 1}
    assert found.unusable["B"] == UnusableRows(1)


def test_a_wide_row_loses_only_the_cells_that_cannot_be_used(load: Load) -> None:
    rows = [
        {"prompt": "p", "A": "a", "B": "b", "C": "", "ok": NAN},
        {"prompt": "q", "A": NAN, "B": "b", "C": "c", "ok": 0.5},
        {"prompt": "r", "A": "a", "B": "b", "ok": 1},
        {"prompt": None, "A": "a", "B": "b", "C": "c", "ok": 1},
        {"prompt": "s", "A": "a", "B": "b", "C": "c", "ok": 1, "note": "\ud83d"},
    ]
    columns = {"responses": ["A", "B", "C"], "correct": {"B": "ok"}}
    found = load(rows, layout="wide", columns=columns, min_teachers=1)
    kept = [(p.text, [(r.teacher, r.correct) for r in p.responses]) for p in found.prompts]
    assert kept == [
        ("p", [("A", None), ("B", None)]),
        ("q", [("C", None)]),
        ("r", [("A", None), ("B", True)]),
    ]
    prompt, note = (
        "column 'prompt': the value is null",
        "column 'note': a lone surrogate, which no tokenizer can read",
    )
    verdict = "column 'ok': `correct` must be a verdict"
    assert found.unusable["A"].reasons == {NO_RESPONSE: 1, prompt: 1, note: 1}
    assert found.unusable["B"].reasons == {verdict: 1, prompt: 1, note: 1}
    empty = "column 'C': the text is empty"
    assert found.unusable["C"].reasons == {
        empty: 1,
        "there is no column 'C'": 1,
        prompt: 1,
        note: 1,
    }
    assert [one.rows for one in found.unusable.values()] == [5, 5, 5]


def test_a_nested_row_loses_only_the_items_that_cannot_be_used(load: Load) -> None:
    items = ["a", NAN, "", "\ud83d", {"response": "b", "correct": NAN}, {"response": 3}, "c"]
    rows = [
        {"prompt": "p", "responses": items, "teacher": ["A"] * 4 + ["B"] * 3, "correct": [1] * 7},
        {"prompt": "q", "responses": ["a", "b"], "teacher": ["A", NAN], "correct": [NAN, 2]},
        {"prompt": "r", "responses": ["a"], "teacher": ["A", "B"]},
        {"prompt": "s", "responses": NAN, "teacher": "A"},
    ]
    found = load(rows, layout="nested", min_teachers=1)
    kept = [
        (p.text, [(r.teacher, r.sample, r.correct) for r in p.responses]) for p in found.prompts
    ]
    # An item left out keeps its number, so that the others are called what they were.
    assert kept[0] == ("p", [("A", 0, True), ("B", 0, True), ("B", 2, True)])
    assert kept[1] == ("q", [("A", 0, None)])
    assert found.unusable["A"].left_out == 4
    assert found.unusable["B"].reasons == {"column 'response': this must be text, not int": 1}
    list_ = "this must be a list with one value for each response"
    assert found.unusable[""].reasons == {
        f"column 'teacher': {list_}": 1,
        "column 'teacher': the value is null": 1,
    }


def test_teachers_that_are_not_wanted_are_not_counted(load: Load) -> None:
    rows = [*two(), row("q", "C", ""), row("q", "C"), row("q", None)]
    assert set(load(rows, teachers=["A", "B"]).unusable) == {"A", "B", ""}


def test_a_row_without_steps_where_steps_are_required(load: Load) -> None:
    rows = [*two(steps=["a."])[:1], row(teacher="B", response="b", steps=["b"]), row("q", "B")]
    found = load(rows, steps="supplied")
    reason = "`steps: supplied` is set, but this response has no steps"
    assert found.unusable["B"].reasons == {reason: 1}


# what stops the set all the same


def test_strict_raises_the_first(load: Load) -> None:
    rows = [*two(), row("q", "A", ""), row("q", "B", None)]
    with pytest.raises(
        DataError, match=r"^rows\.jsonl row 3, column 'response': the text is empty"
    ):
        load(rows, strict=True)
    assert load(two(), strict=True).n_responses == 2


def test_without_a_usable_row_the_error_is_that_of_the_first(load: Load) -> None:
    with pytest.raises(
        DataError, match=r"^rows\.jsonl row 1, column 'response': the text is empty"
    ):
        load([row(response=""), row(teacher=None)])


def test_a_column_that_every_row_of_a_named_teacher_lacks(load: Load) -> None:
    wide = [{"prompt": p, "A": "a", "B": "b"} for p in "pqr"]
    columns = {"responses": {"A": "A", "B": "B", "C": "see"}}
    with pytest.raises(DataError, match=r"^rows\.jsonl row 1: there is no column 'see'"):
        load(wide, layout="wide", columns=columns)
    files: dict[str, str | bytes] = {
        "a.jsonl": jsonl({"prompt": "p", "response": "r"}),
        "b.jsonl": jsonl({"prompt": "p", "output": "r"}),
    }
    with pytest.raises(DataError, match=r"^b\.jsonl row 1: there is no column 'response'"):
        load(files, {"A": "a.jsonl", "B": "b.jsonl"}, min_teachers=1)


def test_a_column_that_some_rows_lack_is_a_reason(load: Load) -> None:
    found = load([*two(), {"prompt": "q", "teacher": "A"}])
    assert found.unusable["A"].reasons == {"there is no column 'response'": 1}


@pytest.mark.parametrize("twice", [row(response="again", sample=0), row("other", prompt_id="x")])
def test_rows_that_contradict_each_other_are_an_error(load: Load, twice: dict[str, Any]) -> None:
    rows = [{**one, "prompt_id": "x"} for one in two()] if "prompt_id" in twice else two()
    with pytest.raises(DataError, match=r"^rows\.jsonl row 3: "):
        load([*rows, twice])


# in words


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("f row 1", "x"),
        ("f row 1, column 'a'", "column 'a': x"),
        ("f row 1, column 'a', turn 3", "column 'a': x"),
        ("f row 1, column 'as', item 2, column \"it's\"", 'column "it\'s": x'),
        ("f row 1, column 'as', item 2, teacher", "column 'as': x"),
        ("f row 1, column 'with \\'both\\' \"'", "column 'with \\'both\\' \"': x"),
    ],
)
def test_a_reason_names_the_column_and_no_place(where: str, expected: str) -> None:
    assert reason_of(DataError("x", where=where)) == expected
    assert reason_of(DataError("x 3", where=where, reason="x")) == expected
    missing = "there is no column 'b'"
    assert reason_of(DataError(missing, where=where)) == missing


def counts(n_rows: int, **reasons: int) -> UnusableRows:
    return UnusableRows(n_rows, reasons, dict.fromkeys(reasons, "f row 1"))


@pytest.mark.parametrize(
    ("unusable", "expected"),
    [
        ({}, ""),
        ({"A": counts(100, x=5)}, ""),
        ({"A": counts(100, x=6)}, "A 6 of 100 (mostly: x)"),
        (
            {"A": counts(100, x=6), "B": counts(10, x=1, y=3), "C": counts(100)},
            "B 4 of 10 (mostly: y), A 6 of 100 (mostly: x)",
        ),
        ({"A": counts(95), "": counts(5, x=5)}, ""),
        ({"A": counts(94), "": counts(6, x=6)}, "all teachers together 6 of 100 (mostly: x)"),
        (
            {"A": counts(90, x=10), "": counts(10, y=10)},
            "A 10 of 90 (mostly: x), all teachers together 20 of 100 (mostly: x)",
        ),
        (
            {t: counts(2, x=1) for t in "ABCDEF"},
            ", ".join(f"{t} 1 of 2 (mostly: x)" for t in "ABCD") + ", 2 more teachers",
        ),
    ],
)
def test_more_than_a_twentieth_is_put_into_words(
    unusable: dict[str, UnusableRows], expected: str
) -> None:
    assert in_words(unusable) == expected


def test_counts_of_several_sets_add_up_and_keep_the_first_place() -> None:
    other = UnusableRows(5, {"y": 1, "z": 2}, {"y": "g row 1", "z": "g row 2"})
    both = add([counts(10, x=1, y=3), other])
    assert both == UnusableRows(
        15, {"x": 1, "y": 4, "z": 2}, {"x": "f row 1", "y": "f row 1", "z": "g row 2"}
    )
