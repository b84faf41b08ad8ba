"""Controls of conversations: by hand, and in a ranking of scored ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import score
from lnat_plugins.ranking.conversations import CONTROLS, conversation_controls, says_error
from lnat_plugins.report.traces import tags_in
from tests.helpers_students import student
from tests.ranking.builders import rank_rows, table
from tests.scoring.test_whole_conversations import conversations, marked, teacher_set


def call(name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": str(len(arguments)), "type": "function", "function": function}


def says(content: str, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    turn = {"role": "assistant", "content": content, **more}
    return {**turn, "tool_calls": list(calls)} if calls else turn


def tool(content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    "text",
    [
        "Error: Flight HAT142 not found",
        "Observation:\n-----\nIndexError                 Traceback (most recent call last)",
        'Traceback (most recent call last):\n  File "a.py"',
        "json.decoder.JSONDecodeError: Expecting value",
        '{"error": "no such user"}',
        '{"error": {"code": 5}, "result": null}',
        "ok\nbash: gti: command not found",
        "cat: a.txt: No such file or directory\n",
        "done\n(exit code: 2)",
        "Process exited with status 127",
        "<returncode>1</returncode>\n<output>\n</output>",
        '{"returncode": -9, "output": ""}',
        "exception: no route",
        '{"exit_code": 1}',
        "exit_code=1",
        "<exit_code>1</exit_code>",
        "exitcode: 1",
        '{"success": false, "error": "bad"}',
        '{"errors": ["x"]}',
        "E   AssertionError: assert 3 == 4",
        '"error"',
    ],
)
def test_what_says_that_something_failed(text: str) -> None:
    assert says_error(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "There were no errors.",
        "errors: 0",
        '{"error": null, "result": 7}',
        '{"error": ""}',
        "{'error': None}",
        '{"error": false}',
        "error: 0",
        "exit code 0",
        "exit_code=0",
        "error rate 0.01",
        "Error-free.",
        '{"success": true, "error": null}',
        '{"errors": []}',
        "<returncode>0</returncode>\n<output>\n1 error\n</output>",
        "Maybe there’s an error in the system.",
        "The file Error.md was read.",
        "command not found is what bash says",
    ],
)
def test_what_says_nothing_of_it(text: str) -> None:
    assert not says_error(text)


def test_time_is_linear_in_the_text() -> None:
    for text in ("\n" * 200_000, " " * 200_000, "a." * 100_000, "x" * 200_000, '"{[' * 70_000):
        assert not says_error(text)


def test_counts_by_hand() -> None:
    turns = [
        user("Do it."),
        says("Hello", scripted=True),
        user("Error: this is the prompt's."),
        says("", call("look", a=1)),
        tool("Error: no such thing"),
        says("Again.", {**call("look", a=1), "id": "other"}),
        tool("7"),
        says("", call("look", a=2)),
        tool("8"),
        says("scripted", call("look", a=1), scripted=True),
        tool("KeyError: 'a'"),
        says(""),
        user("Error: users say no errors where there are tools."),
        says("Done."),
        user("Thanks."),
        says(" Done.\n"),
        says("", reasoning_content="Hm."),
    ]
    assert dict(zip(CONTROLS, conversation_controls(turns), strict=True)) == {
        "n_turns": 7.0, "tool_errors": 2 / 4, "repeated_actions": 2 / 7, "empty_turns": 1 / 7,
    }  # fmt: skip


def test_without_tools_users_answer() -> None:
    turns = [user("?"), says("ls"), user("bash: ls: command not found"), says("ls"), user("a.txt")]
    assert conversation_controls(turns) == (2.0, 0.5, 0.5, 0.0)
    assert conversation_controls([user("?"), says("Seven.")]) == (1.0, 0.0, 0.0, 0.0)


def traces() -> list[list[dict[str, Any]]]:
    """Of three teachers; the second repeats itself, the third gets errors."""
    calm = [user("What is 3 + 4?"), says("Let me see."), tool("7"), says("So 3 + 4 = 7. Done.")]
    loops = [user("What is 3 + 4?"), *[says("Wait."), tool("7")] * 3, says("Seven.")]
    fails = [user("What is 3 + 4?"), says("Now."), tool("Error: no"), says("Next one."), tool("7")]
    return [calm, loops, [*fails, says("Seven.")]]


def test_a_ranking_of_conversations_shows_them(tmp_path: Path) -> None:
    rows = [
        {**row, "prompt_id": f"p{i}", "teacher": teacher}
        for i in range(6)
        for row, teacher in zip(conversations(*traces()), ("Qwen3", "B", "QwQ"), strict=True)
    ]
    model = student("llama", max_position_embeddings=1024)
    scores = score(model, marked(), teacher_set(tmp_path, rows, windows=["1", "global"]))
    ranking = scores.rank(bootstrap_iters=50)
    of_teacher = {line.teacher: line.controls for line in ranking.teachers}
    assert [of_teacher[name]["n_turns"] for name in ("Qwen3", "B", "QwQ")] == [2.0, 4.0, 3.0]
    assert of_teacher["B"]["repeated_actions"] == 0.5
    assert of_teacher["QwQ"]["tool_errors"] == 0.5
    assert [one.control for one in ranking.confounds.correlations][4:] == list(CONTROLS)
    assert "|n_turns|tool_errors|repeated_actions|empty_turns|" in ranking.to_markdown()


def test_other_responses_have_none_of_them() -> None:
    ranking = rank_rows(table({"A": [-1.0, -1.1, -1.2], "B": [-1.3, -1.2, -1.1]}))
    assert not {*CONTROLS} & ranking.teachers[0].controls.keys()


def test_a_page_marks_no_tags_in_conversations(tmp_path: Path) -> None:
    """The first turn mentions a tag, the second closes one: together they would be a pair."""
    turns = [user("?"), says("I write <answer> here. Now."), tool("7"), says("So 7</answer>")]
    rows = conversations(turns, turns[:2])
    model = student("llama", max_position_embeddings=1024)
    scores = score(model, marked(), teacher_set(tmp_path, rows, windows=["1"]))
    assert tags_in(scores.scored.rows[0]) == []
