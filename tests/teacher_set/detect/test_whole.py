"""Agent traces are recognised, and read whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import init_teacher_set
from lnat_plugins.errors import ConfigError, DataError

CALL = {"type": "function", "function": {"name": "look", "arguments": {}}}


def trace(
    teacher: str, task: int = 0, *, calls: bool = True, end: str = "assistant"
) -> list[dict[str, Any]]:
    first = {"role": "assistant", "content": f"{teacher} looks at the files in the folder."}
    found = [
        {"role": "user", "content": f"Please make test {task} pass again."},
        {**first, "tool_calls": [CALL]} if calls else first,
        {"role": "tool" if calls else "user", "content": f"a.py b.py {teacher}"},
        {"role": "assistant", "content": f"{teacher} says that all tests pass now."},
    ]
    return found if end == "assistant" else [*found, {"role": "user", "content": "Thank you."}]


def write(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(**options: Any) -> list[dict[str, Any]]:
    return [
        {"prompt_id": f"p{i}", "teacher": teacher, "messages": trace(teacher, i, **options)}
        for i in range(4)
        for teacher in ("first", "second")
    ]


def block(path: Path, **options: Any) -> Any:
    return init_teacher_set(path, output_path="-", **options).detected.config["naturalness"]


@pytest.mark.parametrize("end", ["assistant", "user"])
def test_calls_of_tools_say_that_all_turns_count(end: str, tmp_path: Path) -> None:
    new = init_teacher_set(write(tmp_path, rows_of(end=end)), output_path="-")
    assert new.detected.config["naturalness"] == {"layout": "messages", "turns": "all"}
    assert new.teacher_set.prompts[0].responses[0].turns is not None
    text = new.to_text()
    assert "every turn of the assistant is scored" in text
    assert "for the last turn alone: --turns last" in text
    assert "# steps: turn" in new.yaml


def test_ids_join_traces_whose_openings_differ(tmp_path: Path) -> None:
    rows = rows_of()
    for i, row in enumerate(rows):
        row["messages"][0]["content"] += " " * (i % 3) + "now"
        row["messages"].insert(0, {"role": "assistant", "content": "Hello!"})
        row["messages"].insert(0, {"role": "system", "content": "Be brief."})
        row["scripted"] = [1]
    new = init_teacher_set(write(tmp_path, rows), output_path="-")
    assert len(new.teacher_set.prompts) == 4
    assert "scripted" not in new.detected.unused


def test_without_calls_it_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path, rows_of(calls=False))
    with pytest.raises(ConfigError, match="begin alike and differ.*--turns all"):
        init_teacher_set(path, output_path="-")
    assert block(path, turns="all") == {"layout": "messages", "turns": "all"}
    ending = write(tmp_path, rows_of(calls=False, end="user"))
    with pytest.raises(ConfigError, match="end with a turn of the user.*--turns all"):
        init_teacher_set(ending, output_path="-")
    assert block(ending, turns="all")["turns"] == "all"


def test_a_column_of_another_name(tmp_path: Path) -> None:
    rows = [
        {"id": row["prompt_id"], "model": row["teacher"], "trajectory": row["messages"],
         "resolved": row["teacher"] == "first"}
        for row in rows_of()
    ]  # fmt: skip
    new = init_teacher_set(write(tmp_path, rows), output_path="-")
    columns = new.detected.config["naturalness"]["columns"]
    assert columns["messages"] == "trajectory"
    assert [one.correct for one in new.teacher_set.prompts[0].responses] == [True, False]


def test_thinking_beside_the_content_is_named(tmp_path: Path) -> None:
    rows = rows_of()
    for row in rows:
        row["messages"][1]["reasoning_content"] = "I think about it."
    new = init_teacher_set(write(tmp_path, rows), output_path="-")
    assert new.detected.roles["thinking"] == "messages, beside the turns' content"


def test_the_last_turn_alone_where_that_is_wanted(tmp_path: Path) -> None:
    rows = [
        {"teacher": teacher, "messages": [*trace("same")[:3], trace(teacher)[3]]}
        for teacher in ("first", "second")
    ]
    path = write(tmp_path, rows)
    assert block(path)["turns"] == "all"
    # The calls of earlier turns are then more than is scored.
    with pytest.raises(DataError, match="does not load.*tool_calls"):
        init_teacher_set(path, output_path="-", turns="last")


def test_no_conversations(tmp_path: Path) -> None:
    rows = [{"prompt": "What is 3 + 4?", "response": f"It is {t}.", "teacher": t} for t in "ab"]
    with pytest.raises(ConfigError, match="no column holds conversations"):
        init_teacher_set(write(tmp_path, rows), output_path="-", turns="all")
    with pytest.raises(ConfigError, match="--turns.*no such choice"):
        init_teacher_set(write(tmp_path, rows), output_path="-", turns="some")


@pytest.mark.parametrize("turn", [None, "text", []])
def test_a_turn_that_is_none_is_told_of(turn: Any, tmp_path: Path) -> None:
    rows = rows_of()
    rows[3]["messages"] = [*rows[3]["messages"][:2], turn]
    new = init_teacher_set(write(tmp_path, rows), output_path="-")
    assert sum(new.teacher_set.dropped.values()) >= 1


@pytest.mark.parametrize("options", [{"layout": "long"}, {"response": "messages"}])
def test_options_that_do_not_go_together(options: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--turns: whole conversations have no column of resp"):
        init_teacher_set(write(tmp_path, rows_of()), output_path="-", turns="all", **options)
