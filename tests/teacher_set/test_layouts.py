"""Five layouts of rows, one set. Rows that cannot be used: test_bad_input.py."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.layouts import parse_row, reward_of
from lnat_plugins.teacher_set.loaders import Row
from tests.teacher_set.conftest import Load, row, two

USER = {"role": "user", "content": "p1"}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


SAME: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("long", two(), {}),
    (
        "long",
        [{"q": "p1", "m": "A", "out": "a."}, {"q": "p1", "m": "B", "out": "b."}],
        {"columns": {"prompt": "q", "teacher": "m", "response": "out"}},
    ),
    ("long", [row([USER], "A", "a."), row([USER], "B", "b.")], {}),
    ("wide", [{"prompt": "p1", "A": "a.", "B": "b."}], {"columns": {"responses": ["A", "B"]}}),
    (
        "wide",
        [{"prompt": "p1", "a_out": "a.", "b_out": "b."}],
        {"columns": {"responses": {"A": "a_out", "B": "b_out"}}},
    ),
    (
        "messages",
        [
            {"teacher": "A", "messages": [USER, assistant("a.")]},
            {"teacher": "B", "messages": [USER, assistant("b.", info={"x": 1}, tool_calls=None)]},
        ],
        {},
    ),
    (
        "prompt_completion",
        [
            {"prompt": "p1", "completion": "a.", "teacher": "A"},
            {"prompt": [USER], "completion": [assistant("b.")], "teacher": "B"},
        ],
        {},
    ),
    ("nested", [{"prompt": "p1", "responses": ["a.", "b."], "teacher": ["A", "B"]}], {}),
    (
        "nested",
        [
            {
                "prompt": "p1",
                "responses": [
                    {"teacher": "A", "response": "a."},
                    {"teacher": "B", "response": "b."},
                ],
            }
        ],
        {},
    ),
]


@pytest.mark.parametrize(("layout", "rows", "naturalness"), SAME)
def test_every_layout_says_the_same_set(
    load: Load, layout: str, rows: list[dict[str, Any]], naturalness: dict[str, Any]
) -> None:
    assert load(rows, layout=layout, **naturalness).fingerprint == load(two()).fingerprint


def test_a_conversation_keeps_every_turn_before_the_last_answer(load: Load) -> None:
    turns = [
        {"role": "system", "content": ""},
        USER,
        assistant("first"),
        {**USER, "content": "again"},
    ]
    rows = [{"teacher": t, "messages": [*turns, assistant(t)]} for t in "AB"]
    prompt = load(rows, layout="messages").prompts[0]
    assert [m["role"] for m in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.text == "\n\np1\n\nfirst\n\nagain"
    assert [r.text for r in prompt.responses] == ["A", "B"]


def test_thinking_and_answer_are_joined_by_a_template(load: Load) -> None:
    items = [{"think": "so {answer}", "answer": "4"}, {"think": "hm", "answer": "5"}]
    rows = [{"prompt": "p", "responses": items}]
    first = load(rows, layout="nested").prompts[0].responses[0]
    assert first.text == "<think>\nso {answer}\n</think>\n\n4"
    own = load(rows, layout="nested", think_template="[{think}]{answer}").prompts[0]
    assert [r.text for r in own.responses] == ["[so {answer}]4", "[hm]5"]
    assert [r.teacher for r in own.responses] == ["response_0", "response_1"]


def test_nested_items_may_share_a_teacher_and_bring_verdicts(load: Load) -> None:
    rows = [
        {"prompt": "p", "teacher": "A", "responses": ["x", "y"], "correct": [True, None]},
        {"prompt": "p", "teacher": "B", "responses": [{"response": "z", "correct": 0, "n": 3}]},
    ]
    x, y, z = load(rows, layout="nested").prompts[0].responses
    assert [(r.teacher, r.sample) for r in (x, y, z)] == [("A", 0), ("A", 1), ("B", 0)]
    assert [r.correct for r in (x, y, z)] == [True, None, False]
    assert (z.extra, z.where) == ({"n": 3}, "rows.jsonl row 2, column 'responses', item 1")


def test_wide_cells_without_a_response_are_counted(load: Load) -> None:
    rows = [
        {"prompt": "p", "A": "a", "B": None, "C": "c", "A_ok": 1, "topic": "t"},
    ]
    columns = {"responses": ["A", "B", "C"], "correct": {"A": "A_ok"}}
    teacher_set = load(rows, layout="wide", columns=columns)
    assert teacher_set.dropped == {"the teacher has no response in its column": 1}
    a, c = teacher_set.prompts[0].responses
    assert (a.correct, c.correct, a.extra) == (True, None, {"topic": "t"})


def test_other_columns_travel_along_as_far_as_json_can_hold_them(load: Load) -> None:
    rows = [row(source={"a": [1]}, score=float("nan"), steps=None), row(teacher="B")]
    extra = load(rows).prompts[0].responses[0].extra
    assert extra == {"source": {"a": [1]}}


@pytest.mark.parametrize("value", [b"x", {1, 2}, float("inf"), object(), {"a": [float("nan")]}])
def test_a_column_that_json_cannot_hold_drops_only_itself(value: Any) -> None:
    row_ = Row({**row(), "first": 1, "odd": value, "last": [2]}, "row 1")
    spec = DataSpec("t", "t.yaml", Path(), "rows.jsonl")
    (found,) = parse_row(row_, spec, None, Counter())
    assert found.response.extra == {"first": 1, "last": [2]}


def test_a_column_of_another_meaning_can_be_ignored(load: Load) -> None:
    rows = two(steps=4, correct="gold", sample=[1])
    columns = {"steps": None, "correct": None, "sample": None}
    for row_ in (response := load(rows, columns=columns).prompts[0].responses):
        assert (row_.steps, row_.correct, row_.sample) == (None, None, 0)
    assert response[0].extra == {"row_steps": 4, "row_correct": "gold", "row_sample": [1]}


def test_the_columns_of_nested_items_may_be_named(load: Load) -> None:
    items = [{"text": "a.", "model": "A", "ok": True}, {"text": "b.", "model": "B", "ok": True}]
    rows = [{"prompt": "p1", "responses": items}]
    columns = {"response": "text", "teacher": "model", "correct": "ok"}
    kept = load(rows, layout="nested", columns=columns)
    assert kept.teachers == ("A", "B")
    assert [r.correct for r in kept.prompts[0].responses] == [True, True]
    assert kept.prompts[0].responses[0].extra == {}


def test_wide_rows_may_go_without_an_id(load: Load) -> None:
    rows = [{"prompt": "p1", "prompt_id": 3.5, "A": "a.", "B": "b."}]
    columns = {"responses": ["A", "B"], "prompt_id": None}
    assert load(rows, layout="wide", columns=columns).n_responses == 2


def test_the_teacher_of_a_file_outranks_those_in_its_rows() -> None:
    nested = {"prompt": "p", "responses": [{"response": "x", "teacher": "inner"}]}
    spec = DataSpec("t", "t.yaml", Path(), "rows.jsonl", layout="nested")
    (found,) = parse_row(Row(nested, "row 1"), spec, "outer", Counter())
    assert found.response.teacher == "outer"
    spec = DataSpec("t", "t.yaml", Path(), "rows.jsonl")
    (found,) = parse_row(Row(row(teacher="inner"), "row 1"), spec, "outer", Counter())
    assert (found.response.teacher, found.response.extra) == ("outer", {"row_teacher": "inner"})


def _turns(teacher: Any) -> dict[str, Any]:
    return {"messages": [USER, assistant("r")], "teacher": teacher}


SHAPES: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "long": ("long", lambda teacher: row(teacher=teacher)),
    "messages": ("messages", _turns),
    "an item": ("nested", lambda t: {"prompt": "p", "responses": [{"content": "r", "teacher": t}]}),
    "a list beside": ("nested", lambda t: {"prompt": "p", "responses": ["r"], "teacher": [t]}),
    "the row": ("nested", lambda t: {"prompt": "p", "responses": ["r"], "teacher": t}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("teacher", "name"),
    [
        (0, "0"), (7, "7"), (-1, "-1"), (2.0, "2"), ("0", "0"),
        *((none, None) for none in (None, "", " ", False, True, 0.5, {})),
    ],
)  # fmt: skip
def test_a_whole_number_names_a_teacher_in_every_layout(
    load: Load, shape: str, teacher: Any, name: str | None
) -> None:
    """As docs/teacher_sets.md says of the field: text, or a whole number."""
    layout, write = SHAPES[shape]
    block = {"layout": layout, "min_teachers": 1, "strict": True}
    if name is None:
        with pytest.raises(DataError, match="column 'teacher': (the value is null|the text|this)"):
            load([write(teacher)], **block)
    else:
        assert load([write(teacher)], **block).teachers == (name,)


# the column `reward`


@pytest.mark.parametrize(("extra", "expected"), [({}, None), ({"reward": None}, None)])
def test_no_reward_is_none(extra: dict[str, Any], expected: None) -> None:
    assert reward_of(extra, "row 1") is expected


@pytest.mark.parametrize("value", [0, -1.5, 3])
def test_a_reward_is_a_number(value: float) -> None:
    assert reward_of({"reward": value}, "row 1") == value


@pytest.mark.parametrize("value", ["0.5", True, math.nan, math.inf, [1.0]])
def test_another_reward_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match=r"row 1: column 'reward' is not a number"):
        reward_of({"reward": value}, "row 1")
