"""Conversations as responses: what is read of a row, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.teacher_set.whole_conversations import for_template, read_conversation
from tests.harness.lab import write_set

SHARED = Path(__file__).parents[3] / "shared" / "data"
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "What is 3 + 4?"}
CALLING = {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": '{"a": 3}'}}],
}  # fmt: skip
ANSWERED = {"role": "tool", "tool_call_id": "1", "content": " "}
DONE = {"role": "assistant", "content": "7", "reasoning_content": "Three and four."}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}


def read(*turns: Any, scripted: Any = None) -> Any:
    return read_conversation(list(turns), scripted, "<think>{think}</think>{answer}", "row 1")


def one_set(folder: Path, rows: Sequence[Mapping[str, Any]], **block: Any) -> Any:
    keys = {"layout": "messages", "turns": "all", "steps": "turn"}
    return load_teacher_set(write_set(folder, rows, block=keys | block))


def row(teacher: str, *turns: Mapping[str, Any], **columns: Any) -> dict[str, Any]:
    return {"prompt_id": "p", "teacher": teacher, "messages": list(turns), **columns}


def test_openai_turns() -> None:
    found = read(SYSTEM, ASKED, CALLING, ANSWERED, DONE)
    assert found.opening == (SYSTEM, ASKED)
    assert found.turns == (
        SYSTEM, ASKED, {"role": "assistant", "content": "", "tool_calls": [{"id": "1", **CALL}]},
        ANSWERED, DONE,
    )  # fmt: skip
    call = '{"name": "add", "arguments": {"a": 3}}'
    assert found.reply.answer == f"{call}\n\n<think>Three and four.</think>7"


@pytest.mark.parametrize("as_text", [True, False])
def test_sharegpt_turns(as_text: bool) -> None:
    call: Any = {"name": "add", "arguments": {"a": 3}}
    found = read(
        {"from": "human", "value": "What is 3 + 4?"},
        {"from": "function_call", "value": json.dumps(call) if as_text else call},
        {"from": "observation", "value": "7"},
        {"from": "gpt", "value": "It is 7."},
    )
    assert found.turns == (
        ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "7"}, {"role": "assistant", "content": "It is 7."},
    )  # fmt: skip


def test_calls_as_text_and_arguments_that_are_no_object() -> None:
    calls = [{"function": {"name": "add", "arguments": "3"}}, {"name": "sub"}]
    turn = {"role": "assistant", "content": "Now.", "tool_calls": json.dumps(calls)}
    functions = [call["function"] for call in read(ASKED, turn).turns[1]["tool_calls"]]
    assert functions == [{"name": "add", "arguments": "3"}, {"name": "sub", "arguments": {}}]


def test_a_scripted_turn_is_of_the_opening() -> None:
    greeting = {"role": "assistant", "content": "Hello."}
    found = read(SYSTEM, greeting, ASKED, DONE, scripted=[1])
    assert found.opening == (SYSTEM, greeting, ASKED)
    assert found.turns[1] == {**greeting, "scripted": True}
    assert found.reply.answer == "<think>Three and four.</think>7"
    assert for_template(found.turns) == [SYSTEM, greeting, ASKED, DONE]


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": "Now.", "tool_calls": "null"},
        {"role": "assistant", "content": "Now.", "tool_calls": "[]"},
        {"role": "assistant", "content": "Now.", "tool_calls": []},
        {"role": None, "from": "gpt", "value": "Now."},
        {"role": "assistant", "from": None, "value": None, "content": "Now."},
    ],
)
def test_a_turn_without_calls(turn: Any) -> None:
    assert read(ASKED, turn).turns[1] == {"role": "assistant", "content": "Now."}


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": [], "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "value": None, "tool_calls": json.dumps([CALL])},
        {"role": "Assistant", "tool_calls": CALL},
        {"from": "gpt", "value": None, "tool_calls": [CALL]},
        {"from": "function_call", "value": json.dumps([CALL["function"]])},
        {"role": None, "from": "function_call", "content": None, "value": CALL["function"]},
    ],
)
def test_a_turn_that_only_calls(turn: Any) -> None:
    known = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert read(ASKED, turn).turns[1] == known


def test_several_calls_at_once() -> None:
    calls = [{"name": "add", "arguments": {}}, {"name": "sub", "arguments": {}}]
    turn = read(ASKED, {"from": "function_call", "value": calls}).turns[1]
    assert [call["function"] for call in turn["tool_calls"]] == calls


@pytest.mark.parametrize("empty", [None, [], ""])
def test_an_empty_turn_has_nothing_to_score(empty: Any) -> None:
    said = {"from": "observation", "value": empty}
    turns = read(ASKED, {"from": "gpt", "value": empty}, said, DONE).turns
    assert turns[1] == EMPTY
    assert turns[2] == {"role": "tool", "content": ""}


@pytest.mark.parametrize("scripted", [1, [1], 1.0, [1.0], "1", "[1]", (1,)])
def test_forms_of_scripted(scripted: Any) -> None:
    found = read(SYSTEM, EMPTY, ASKED, DONE, scripted=scripted)
    assert found.turns[1] == {**EMPTY, "scripted": True}


@pytest.mark.parametrize("scripted", [None, [], "", "[]", "null", math.nan])
def test_no_scripted_turn(scripted: Any) -> None:
    assert not any("scripted" in turn for turn in read(ASKED, DONE, scripted=scripted).turns)


EMPTY = {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("turns", "scripted", "message"),
    [
        ("text", None, "must be a list of turns"),
        ([], None, "must be a list of turns"),
        ([SYSTEM, ASKED], None, "no turn that the teacher wrote"),
        ([ASKED, EMPTY], None, "no turn that the teacher wrote"),
        ([ASKED, DONE], [1], "no turn that the teacher wrote"),
        ([DONE, ASKED, DONE], None, "must be a user's.*greeting"),
        ([SYSTEM, DONE], None, "must be a user's"),
        ([ASKED, DONE], [0], "places of assistant turns"),
        ([ASKED, DONE], [2], "places of assistant turns"),
        ([ASKED, DONE], [True], "places of assistant turns"),
        ([ASKED, DONE], "x", "places of assistant turns"),
        ([ASKED, DONE], "[0]", "places of assistant turns"),
        ([ASKED, DONE], 1.5, "places of assistant turns"),
        ([ASKED, {"role": "assistant"}], None, "a turn must have a `role`"),
        ([ASKED, {"role": "assistant", "contents": "7"}], None, "a turn must have a `role`"),
        ([ASKED, {3: 4, "role": "user"}], None, "a turn must have a `role`.*'3', 'role'"),
        ([{"role": "user", "content": None}, DONE], None, "the value is null"),
        ([ASKED, {"from": "function_call", "value": "[]"}], None, "a call of a tool must be"),
        ([ASKED, {"from": "function_call", "value": None}], None, "a call of a tool must be"),
        ([{**ASKED, "tool_calls": [CALL]}, DONE], None, "only an assistant turn calls tools"),
        ([ASKED, {**CALLING, "tool_calls": "{"}], None, "row 1, turn 2: a call of a tool must be"),
        ([ASKED, {**CALLING, "tool_calls": [1]}], None, "a call of a tool must be"),
        ([ASKED, {**CALLING, "tool_calls": [{"function": {}}]}], None, "a call of a tool must be"),
        ([ASKED, {"role": "assistant", "content": 7}], None, "row 1, turn 2: this must be text"),
        ([ASKED, {"role": "assistant", "content": "\ud800"}], None, "lone surrogate"),
        ([ASKED, {"role": "robot", "content": "7"}], None, "unknown role"),
        ([ASKED, "text"], None, "a turn must have a `role`"),
    ],
)
def test_what_cannot_be_used(turns: Any, scripted: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_conversation(turns, scripted, "{think}{answer}", "row 1")


def test_rows_of_one_id_are_joined_behind_openings_of_their_own(tmp_path: Path) -> None:
    other = {"role": "system", "content": "Be long."}
    rows = [
        row("a", SYSTEM, ASKED, DONE, reward=1),
        row("b", other, ASKED, CALLING, ANSWERED, DONE),
    ]
    (prompt,) = one_set(tmp_path, rows).prompts
    assert prompt.messages == (SYSTEM, ASKED)
    assert [response.turns[0] for response in prompt.responses] == [SYSTEM, other]
    assert prompt.responses[0].extra == {"reward": 1}
    middle = {"role": "system", "content": "Go on."}
    rows[1]["messages"].insert(3, middle)
    (prompt,) = one_set(tmp_path, rows, system="common").prompts
    assert prompt.responses[1].turns[3] == middle
    assert [response.turns[0] for response in prompt.responses] == [SYSTEM, SYSTEM]
    assert [len(response.turns) for response in prompt.responses] == [3, 6]
    bare = one_set(tmp_path, [row("a", ASKED, DONE), rows[1]], system="common").prompts[0]
    assert [response.turns[0] for response in bare.responses] == [ASKED, other]


def test_rows_without_ids_are_joined_by_their_openings(tmp_path: Path) -> None:
    rows = [row("a", ASKED, DONE), row("b", ASKED, CALLING, ANSWERED, DONE), row("a", ASKED, DONE)]
    for one in rows:
        del one["prompt_id"]
    (prompt,) = one_set(tmp_path, rows).prompts
    assert [(one.teacher, one.sample) for one in prompt.responses] == [("a", 0), ("b", 0), ("a", 1)]


def test_a_system_column_comes_first(tmp_path: Path) -> None:
    rows = [row(teacher, ASKED, DONE, system="Be brief.") for teacher in "ab"]
    (prompt,) = one_set(tmp_path, rows).prompts
    assert prompt.messages == (SYSTEM, ASKED)
    assert all(response.turns == (SYSTEM, ASKED, DONE) for response in prompt.responses)


def test_tools_of_a_file(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    (tmp_path / "tools.json").write_text(json.dumps(tools), encoding="utf-8")
    rows = [row(teacher, ASKED, DONE, tools="tools.json") for teacher in "ab"]
    found = one_set(tmp_path, rows, tools="tools.json")
    assert all(one.extra["tools"] == tools for one in found.prompts[0].responses)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read"), ("{", "cannot be read"), ("{}", "no list of objects")],
)
def test_a_file_of_tools_that_cannot_be_used(
    text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "tools.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"tools.json: `naturalness: tools` .*{message}"):
        one_set(tmp_path, [row(teacher, ASKED, DONE) for teacher in "ab"], tools="tools.json")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"layout": "long"}, "Set `layout: messages`"),
        ({"columns": {"response": "answer"}}, "reads whole conversations"),
        ({"steps": "supplied"}, "cut, not supplied"),
        ({"preset": "lalp-v2", "steps": "turn"}, "cut, not supplied"),
        ({"turns": "last", "system": "common"}, "Add `turns: all`"),
        ({"turns": "last", "tools": "tools.json"}, "Add `turns: all`"),
        ({"turns": "some"}, "turns"),
    ],
)
def test_settings_that_exclude_each_other(
    block: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        one_set(tmp_path, [row(teacher, ASKED, DONE) for teacher in "ab"], **block)


def test_a_log_of_a_terminal(tmp_path: Path) -> None:
    """Commands as text, what the terminal says as turns of a user, and whether it was resolved."""
    log = [
        {"role": "system", "content": "Write one command."},
        {"role": "user", "content": "Make the tests pass."},
        {"role": "assistant", "content": "I look.\n```bash\nls\n```", "extra": {"cost": 0.1}},
        {"role": "user", "content": "<returncode>0</returncode>\n<output>\na.py\n</output>"},
        {"role": "assistant", "content": "```bash\nsubmit\n```"},
        {"role": "user", "content": ""},
    ]
    rows = [
        {"task": "t1", "model": model, "trajectory": log, "resolved": resolved}
        for model, resolved in (("a", True), ("b", False))
    ]
    columns = {
        "messages": "trajectory", "teacher": "model", "prompt_id": "task", "correct": "resolved",
    }  # fmt: skip
    (prompt,) = one_set(tmp_path, rows, columns=columns).prompts
    assert [one.correct for one in prompt.responses] == [True, False]
    assert [turn["role"] for turn in prompt.messages] == ["system", "user"]
    turns = prompt.responses[0].turns
    assert turns is not None
    assert [turn["content"] for turn in turns] == [turn["content"] for turn in log]
    assert prompt.responses[0].text == f"{log[2]['content']}\n\n{log[4]['content']}"


def test_what_is_scored_is_in_the_fingerprints(tmp_path: Path) -> None:
    def fingerprint(answer: str) -> str:
        turns = (ASKED, CALLING, {**ANSWERED, "content": answer}, DONE)
        found = one_set(tmp_path, [row(teacher, *turns) for teacher in "ab"])
        return str(found.fingerprint)

    assert fingerprint("7") == fingerprint("7") != fingerprint("8")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize(
    ("name", "n_prompts", "n_responses"),
    [("agents_tau", 50, 200), ("multiturn_mint", 62, 496)],
)
def test_real_conversations_are_read_as_they_are(
    name: str, n_prompts: int, n_responses: int, tmp_path: Path
) -> None:
    keys = {"layout": "messages", "turns": "all", "steps": "turn"}
    config = {"task": name, "dataset_path": str(SHARED / f"{name}.jsonl"), "naturalness": keys}
    found = load_teacher_set(config)
    assert (len(found.prompts), found.n_responses, found.dropped) == (n_prompts, n_responses, {})
    scripted = [
        turn for prompt in found.prompts for one in prompt.responses for turn in one.turns or ()
        if turn.get("scripted")
    ]  # fmt: skip
    assert len(scripted) == (200 if name == "agents_tau" else 0)
