"""Names of columns, kinds of values, teachers of files, sampling, and text that is shown."""

from __future__ import annotations

from typing import Any

import pytest

from lnat_plugins.teacher_set.detect.file_teachers import teachers_of_files
from lnat_plugins.teacher_set.detect.names import differing_parts, is_model_name, read_name
from lnat_plugins.teacher_set.detect.profile import Table, kind_of, varies
from lnat_plugins.teacher_set.detect.sample import spread
from lnat_plugins.teacher_set.detect.text import shown_text
from lnat_plugins.teacher_set.loaders import Row


@pytest.mark.parametrize(
    ("name", "role", "rest", "number"),
    [
        ("response", "response", "", ""),
        ("generated_solution", "response", "", ""),
        ("r1_solution_2", "response", "r1", "2"),
        ("response_gpt_4", "response", "gpt_4", ""),
        ("QwQ-output", "response", "QwQ", ""),
        ("gemini_thinking_trajectory", "think", "gemini", ""),
        ("deepseek_grade", "correct", "deepseek", ""),
        ("deepseek_grade_reason", "", "", ""),
        ("final_response", "response", "final", ""),
        ("final_answer", "reference", "final", ""),
        ("ground_truth_solution", "reference", "ground_truth", ""),
        ("prompt_text", "prompt", "prompt", ""),
        ("problem_type", "", "", ""),
        ("generation_model", "teacher", "", ""),
        ("teacher", "teacher", "", ""),
        ("user_model", "prompt", "user", ""),
        ("system_prompt", "system", "", ""),
        ("QwQ-32B", "", "QwQ-32B", ""),
    ],
)
def test_what_a_name_says(name: str, role: str, rest: str, number: str) -> None:
    found = read_name(name)
    assert (found.role, found.rest, found.number) == (role, rest, number)


def test_names_of_models() -> None:
    assert all(map(is_model_name, ("QwQ", "r1", "gpt-4o", "claude-3", "phi-4", "my-7b")))
    assert not any(map(is_model_name, ("draft", "human", "first", "prompt", "a", "version1")))


USER, REPLY = {"role": "user", "content": "p"}, {"from": "gpt", "value": "r"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, ""), ("", ""), (float("nan"), ""), ([], ""), ("x", "text"), (1.5, "number"),
        (True, "bool"), ([USER, REPLY], "conversation"), ([USER], "turns"),
        ([REPLY, USER], "turns"), ([REPLY], "reply"), ([REPLY, REPLY], "objects"),
        ({"choices": []}, "reply"), ({"content": "r", "role": "assistant"}, "reply"),
        ({"a": 1}, "object"), (["a", None], "texts"), ([True, 0, 1.0], "verdicts"),
        ([1, 2], "list"), ([{"model": "A"}], "objects"), ([{"text": "a", "index": 0}], "replies"),
        ([{"type": "text", "text": "a"}], "reply"),
    ],
)  # fmt: skip
def test_kinds_of_values(value: Any, kind: str) -> None:
    assert kind_of(value) == kind


def test_a_setting_is_no_free_text_and_names_repeat() -> None:
    rows = [{"reasoning": "on", "text": f"This is text {i}.", "who": f"m{i % 2}"} for i in range(9)]
    table = Table({"a": rows})
    free = {name: column.is_free for name, column in table.columns.items()}
    assert free == {"reasoning": False, "text": True, "who": False}
    assert table.columns["who"].is_names
    assert not table.columns["reasoning"].varied


def test_variation_within_prompts() -> None:
    assert varies(["a", "b", "c", "c"], ["p", "p", "q", "q"]) == 0.5
    assert varies(["a", "b"], ["p", "q"]) is None


@pytest.mark.parametrize(
    ("files", "path", "teacher_from"),
    [
        (["run_r1_v2.jsonl", "run_qwq_v2.jsonl"],
         {"r1": "run_r1_v2.jsonl", "qwq": "run_qwq_v2.jsonl"}, ""),
        (["qwen2.json.gz", "qwen3.json.gz"], {"qwen2": "qwen2.json.gz", "qwen3": "qwen3.json.gz"},
         ""),
        (["r1.part1.jsonl", "r1.part2.jsonl", "q.part1.jsonl"],
         {"r1": ["r1.part1.jsonl", "r1.part2.jsonl"], "q": "q.part1.jsonl"}, ""),
        (["d/a/x.json", "d/b/x.json"], "d/*/x.json", "parent_dir"),
        (["a/x.json", "a/y.json", "b/x.json"], "*/*.json", "parent_dir"),
        (["a/x.json", "b/y.csv"], ["a/x.json", "b/y.csv"], "parent_dir"),
    ],
)  # fmt: skip
def test_teachers_of_files(files: list[str], path: Any, teacher_from: str) -> None:
    found = teachers_of_files(files)
    assert found is not None
    assert (found.dataset_path, found.teacher_from) == (path, teacher_from)
    assert set(found.by_file) == set(files)


@pytest.mark.parametrize(
    "files",
    [
        ["train.jsonl"],
        ["train.jsonl", "test.jsonl"],
        ["train/0.jsonl", "test/0.jsonl"],
        ["data-00000-of-00002.parquet", "data-00001-of-00002.parquet"],
        ["1.jsonl", "2.jsonl"],
        ["out_seed1.jsonl", "out_seed2.jsonl"],
        ["gen1/a.json", "gen2/a.json"],
    ],
)
def test_splits_and_shards_are_no_teachers(files: list[str]) -> None:
    assert teachers_of_files(files) is None


def test_differing_parts_are_cut_at_separators() -> None:
    assert differing_parts(["a_r1_x", "a_r2_x"]) == ["r1", "r2"]
    assert differing_parts(["a", "a_b"]) == ["a", "a_b"]


def test_rows_are_spread_over_a_file() -> None:
    rows = [Row({"n": i}, "") for i in range(10_000)]
    found = [row.values["n"] for row in spread(rows, 400) if isinstance(row, Row)]
    assert found == sorted(set(found))
    assert found[:200] == list(range(200))
    assert len(found) == 400
    assert max(found) > 8000
    assert [r.values["n"] for r in spread(rows[:90], 100) if isinstance(r, Row)] == [*range(90)]


def test_white_space_is_visible_in_eight_lines() -> None:
    assert shown_text(" a\tb \nc") == ["·a→b·⏎", "c"]
    long = shown_text("\n".join(map(str, range(50))))
    assert long == ["0⏎", "1⏎", "2⏎", "3⏎", "[... 43 more lines ...]", "47⏎", "48⏎", "49"]
    assert len(shown_text("x" * 5000)) == 8
