"""Five layouts of rows, one set; and every row that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from lnat_plugins.errors import DataError
from tests.teacher_set.conftest import Load, row, two

USER = {"role": "user", "content": "p1"}


def said(text: str, **more: Any) -> dict[str, Any]:
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
            {"teacher": "A", "messages": [USER, said("a.")]},
            {"teacher": "B", "messages": [USER, said("b.", info={"x": 1}, tool_calls=None)]},
        ],
        {},
    ),
    (
        "prompt_completion",
        [
            {"prompt": "p1", "completion": "a.", "teacher": "A"},
            {"prompt": [USER], "completion": [said("b.")], "teacher": "B"},
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
    turns = [{"role": "system", "content": ""}, USER, said("first"), {**USER, "content": "again"}]
    rows = [{"teacher": t, "messages": [*turns, said(t)]} for t in "AB"]
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


def test_a_column_of_another_meaning_can_be_ignored(load: Load) -> None:
    rows = two(steps=4, correct="gold", sample=[1])
    columns = {"steps": None, "correct": None, "sample": None}
    for row_ in (response := load(rows, columns=columns).prompts[0].responses):
        assert (row_.steps, row_.correct, row_.sample) == (None, None, 0)
    assert response[0].extra == {"row_steps": 4, "row_correct": "gold", "row_sample": [1]}


BAD_ROWS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"prompt": "p", "response": "r"}, {}, "there is no column 'teacher'.*columns: {teacher:"),
    ({"promt": "p", "response": "r", "teacher": "t"}, {}, "no column 'prompt'.*mean 'promt'"),
    (row(), {"columns": {"correct": "is_right"}}, "no column 'is_right' .*prompt, teacher"),
    (row(), {"columns": {"prompt_id": "id"}}, "no column 'id'"),
    (row(response=""), {}, "column 'response': the text is empty"),
    (row(response=" \n\t"), {}, "column 'response': the text is nothing but white space"),
    (row(response=None), {}, "column 'response': the value is null"),
    (row(response=3), {}, "column 'response': this must be text, not int"),
    (row(prompt=" "), {}, "column 'prompt': the text is nothing but"),
    (row(prompt={"a": 1}), {}, "column 'prompt': this must be text, not dict"),
    (row(teacher=""), {}, "column 'teacher': the text is empty"),
    (row(teacher=7), {}, "column 'teacher': this must be text, not int"),
    (row(response="half \ud83d emoji"), {}, r"a lone surrogate at character 5.*\\ud83d"),
    (row(note="\udc00"), {}, "column 'note': a lone surrogate"),
    (row(prompt_id=1.5), {}, "column 'prompt_id': this must be text, not float"),
    (row(prompt_id=" "), {}, "column 'prompt_id': the text is nothing"),
    (row(correct="yes"), {}, r"`correct` must be true, false, 0, 1 or null \(found 'yes'\)"),
    (row(correct=0.5), {}, "`correct` must be"),
    (row(sample=1.5), {}, "`sample` must be a whole number or text"),
    (row(sample=True), {}, "`sample` must be a whole number or text"),
    (row(steps="r"), {}, "`steps` must be a list of text"),
    (row(steps=["r", 1]), {}, "`steps` must be a list of text"),
    (row(steps=["x"]), {}, "row 1, column 'steps'"),
    (row(steps=["r", ""]), {}, "row 1, column 'steps'"),
    (row(prompt=[]), {}, "this must be a list of turns"),
    (row(prompt=[said("x")]), {}, "the prompt must end with a user turn"),
    (row(prompt=[{"role": "user", "content": " "}]), {}, "turn 1: the text is nothing"),
    (row(prompt=[{"role": "user", "content": ""}]), {}, "last turn: the text is empty"),
]

MESSAGES: list[tuple[Any, str]] = [
    ("hello", "this must be a list of turns"),
    ([USER], "no assistant turn"),
    ([USER, said("x"), USER], "does not end with an assistant turn"),
    ([said("x")], "the prompt must end with a user turn"),
    ([{"role": "system", "content": "s"}, said("x")], "the prompt must end with a user turn"),
    ([{"from": "human", "value": "x"}], "turn 1: a turn must have a `role`.*ShareGPT"),
    (["x"], "turn 1: a turn must have a `role`"),
    ([{"role": "human", "content": "x"}], "unknown role .*'human'.*Known: system"),
    ([USER, said("x", reasoning_content="y")], "turn 2: the turn holds more .*reasoning_content"),
    ([{"role": "user", "content": [{"type": "text"}]}, said("x")], "must be text, not list"),
    ([USER, said("")], "last turn: the text is empty"),
]
BAD_ROWS += [
    ({"teacher": "A", "messages": messages}, {"layout": "messages"}, message)
    for messages, message in MESSAGES
]
BAD_ROWS += [
    ({"prompt": "p", **more}, {"layout": "nested"}, message)
    for more, message in [
        ({"responses": "x"}, "must be a list of responses"),
        ({"responses": []}, "must be a list of responses"),
        ({"responses": ["x"], "teacher": ["A", "B"]}, "must be a list of 1, one for each"),
        ({"responses": ["x", "y"], "correct": True}, "must be a list of 2"),
        ({"responses": [{"text": "x"}]}, "item 1: a response must be text, or .*'text'"),
        ({"responses": [{"think": "x", "answer": None}]}, "item 1, column 'answer': the value is"),
        ({"responses": ["x", ""]}, "item 2, column 'response': the text is empty"),
        ({"responses": [7]}, "item 1, column 'response': this must be text"),
    ]
]
BAD_ROWS += [
    (
        {"prompt": "p", "teacher": "A", "completion": [USER, said("x")]},
        {"layout": "prompt_completion"},
        "a completion must be exactly one assistant turn",
    ),
    (
        {"prompt": "p", "A": "a"},
        {"layout": "wide", "columns": {"responses": ["A", "B"]}},
        "there is no column 'B'",
    ),
    (
        {"prompt": "p", "A": "a", "B": ""},
        {"layout": "wide", "columns": {"responses": ["A", "B"]}},
        "column 'B': the text is empty",
    ),
]


@pytest.mark.parametrize(("bad", "naturalness", "message"), BAD_ROWS)
def test_a_bad_row_is_one_clear_error(
    load: Load, bad: dict[str, Any], naturalness: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load([bad], **naturalness)
    assert "rows.jsonl row 1" in str(caught.value)
    assert caught.value.remedy


def test_a_mistyped_column_of_nested_items_is_refused(load: Load) -> None:
    """Else teachers would be told apart by their place in the list, which is another thing."""
    items = [{"text": "a.", "model": "A", "ok": True}, {"text": "b.", "model": "B", "ok": True}]
    rows = [{"prompt": "p1", "responses": items}]
    for columns, name in (({"teacher": "modle"}, "modle"), ({"correct": "okk"}, "okk")):
        with pytest.raises(DataError, match=f"item 1: there is no column '{name}'"):
            load(rows, layout="nested", columns={"response": "text", **columns})
    kept = load(rows, layout="nested", columns={"response": "text", "teacher": "model"})
    assert kept.teachers == ("A", "B")


def test_wide_rows_may_go_without_an_id(load: Load) -> None:
    rows = [{"prompt": "p1", "prompt_id": 3.5, "A": "a.", "B": "b."}]
    columns = {"responses": ["A", "B"], "prompt_id": None}
    assert load(rows, layout="wide", columns=columns).n_responses == 2
