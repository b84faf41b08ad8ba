"""Layouts of public sets: the rows, the block of the YAML and what is read stand in a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.files import read_yaml
from lnat_plugins.teacher_set import TeacherSet
from lnat_plugins.teacher_set import load as load_defined
from lnat_plugins.teacher_set.config import parse_task
from lnat_plugins.teacher_set.fields import correctness
from lnat_plugins.teacher_set.prompts import Candidates
from tests.teacher_set.conftest import Load, jsonl, row, two

TABLE = Path(__file__).parents[1] / "data" / "layouts.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def read(load: Load, case: dict[str, Any]) -> TeacherSet:
    files = {"rows.jsonl": case["rows"], **case.get("files", {})}
    texts = {name: jsonl(*rows) for name, rows in files.items()}
    return load(texts, case.get("paths", "rows.jsonl"), **case["naturalness"])


def test_the_names_of_the_table_are_distinct() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_layout_is_read_whole(load: Load, case: dict[str, Any]) -> None:
    found = read(load, case)
    turns = [[list(turn.values()) for turn in prompt.messages] for prompt in found.prompts]
    assert turns == case["prompts"]
    texts = [[[r.teacher, r.sample, r.text] for r in prompt.responses] for prompt in found.prompts]
    assert texts == case["responses"]
    responses = [response for prompt in found.prompts for response in prompt.responses]
    if "parts" in case:
        assert [r.parts and list(r.parts) for r in responses] == case["parts"]
    if "correct" in case:
        assert [r.correct for r in responses] == case["correct"]
    if "extra" in case:
        assert [r.extra for r in responses] == case["extra"]
    if "columns" in case:
        assert {part: list(own) for part, own in found.columns.items()} == case["columns"]
    if "dropped" in case:
        assert found.dropped == case["dropped"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_yaml_of_six_lines_is_enough(case: dict[str, Any]) -> None:
    block = json.dumps(case["naturalness"].get("columns", {}))
    others = [key for key in case["naturalness"] if key not in ("columns", "min_teachers")]
    # class, task, dataset_path, `naturalness:` with the columns, and one other key or two
    assert 4 + (1 if others else 0) + (1 if block != "{}" else 0) <= 6


YES = [True, 1, 1.0, "1", "1.0", "True", "yes", "CORRECT", "right", "Pass"]
NO = [False, 0, 0.0, "0", "0.0", "false", "No", "incorrect", "WRONG", "fail"]


def test_verdicts_in_words_and_numbers() -> None:
    assert {correctness(value, "") for value in YES} == {True}
    assert {correctness(value, "") for value in NO} == {False}
    assert {correctness(value, "") for value in (None, float("nan"), "")} == {None}


def test_a_column_of_thinking_that_is_not_read_is_named(load: Load) -> None:
    rows = two(reasoning="Because. " * 40)
    (note,) = load(rows).notes
    assert note.startswith("the column 'reasoning' holds long text in 2 rows and is not read")
    assert load(rows, columns={"think": "reasoning"}).notes == ()
    assert load(rows, columns={"think": None}).notes == ()
    assert load(two(reasoning="on")).notes == ()


def test_repeated_responses_and_alpacas_history_are_noted(load: Load) -> None:
    rows = [row("p", "A", "x"), row("p", "A", "x"), row("p", "B", "x")]
    assert load(rows).notes == ("1 responses repeat another one of their teacher word for word",)
    (note,) = load(two(history=[["a", "b"]])).notes
    assert note.startswith("the column 'history' holds earlier turns in 2 rows")
    assert load(two(history=[])).notes == ()


def test_prompts_that_differ_in_earlier_thinking_are_two(load: Load) -> None:
    def turns(thinking: str) -> list[dict[str, str]]:
        earlier = {"role": "assistant", "content": "q", "reasoning_content": thinking}
        user = {"role": "user", "content": "p"}
        return [user, earlier, user, {"role": "assistant", "content": "r"}]

    rows = [{"messages": turns(one), "teacher": t} for one in "xy" for t in "AB"]
    one, two = load(rows, layout="messages").prompts
    assert (one.messages[1]["reasoning_content"], two.messages[1]["reasoning_content"]) == (
        "x",
        "y",
    )


def test_candidates_know_the_parts(load: Load) -> None:
    found = load([{**one, "reasoning_content": "hm"} for one in two()])
    assert [c.parts for c in Candidates.of_prompts(found.prompts).rows] == [
        ("hm", "a."),
        ("hm", "b."),
    ]


def test_two_different_requests_under_one_id_are_an_error(load: Load) -> None:
    requests = [
        {"custom_id": "q", "body": {"messages": [{"role": "user", "content": one}]}} for one in "ab"
    ]
    files = {"rows.jsonl": jsonl({"custom_id": "q"}), "prompts.jsonl": jsonl(*requests)}
    with pytest.raises(Exception, match="two different prompts share the id 'q'") as caught:
        load(files, {"A": "rows.jsonl"}, layout="batch", prompts="prompts.jsonl")
    # Nor is the file open for as long as the error is there.
    opened = {str(one.resolve()) for one in Path("/proc/self/fd").glob("*")}
    assert caught.value is not None and not [one for one in opened if "prompts.jsonl" in one]


CUT = {"batch_output": {"layout": "batch", "prompts": "prompts.jsonl"}}


def test_the_made_up_public_sets_load(shared: Path) -> None:
    folders = sorted(shared.glob("cases/layout_*"))
    if not folders:
        pytest.skip("no cases beside the shared data")
    for folder in folders:
        path = folder / "teachers.yaml"
        config = read_yaml(path)
        if block := CUT.get(folder.name.removeprefix("layout_")):
            config["naturalness"] = block
        assert len(load_defined(parse_task(config, path)).teachers) == 2, folder.name
