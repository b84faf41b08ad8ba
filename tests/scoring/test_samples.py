"""Scores read back: what comes out of samples files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.samples import read_scored_set, read_scored_sets
from lnat_plugins.teacher_set import UnusableRows
from tests.helpers_samples import (
    DATE,
    make_record,
    record_of,
    samples_line,
    teacher_table,
    write_lines,
    write_run,
)

TABLE = teacher_table({"QwQ": [-1.0, -1.5], "R1": [-2.0, -1.0]})


def test_a_run_comes_back_as_it_was_scored(tmp_path: Path) -> None:
    path = write_run(tmp_path / "org__student", TABLE)
    scored = read_scored_set([tmp_path])
    assert (scored.task, scored.student) == ("local_naturalness", "org/student")
    assert scored.prompts == ("p0", "p1")
    assert scored.teachers == ("QwQ", "R1")
    assert [(row.prompt_id, row.teacher, row.sample) for row in scored.rows] == [
        ("p0", "QwQ", 0),
        ("p0", "R1", 0),
        ("p1", "QwQ", 0),
        ("p1", "R1", 0),
    ]
    assert scored.rows[1].record == TABLE["p0"][1]
    assert scored.rows[1].correct is True
    assert scored.windows == ("4", "global")
    assert (scored.splitter, scored.paths) == ("sentence@1", ("packed",))
    assert scored.files == (str(path),)
    assert scored.skipped == ()
    assert scored.duplicates == 0


def test_the_texts_come_back_as_they_were_read(tmp_path: Path) -> None:
    line = samples_line("p0", [make_record("QwQ"), make_record("R1")])
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": "What?"}]
    line["doc"]["messages"] = turns
    text = "One.\u2028 Two.  ".ljust(20, ".")
    line["doc"]["responses"][0] |= {
        "response": text,
        "steps": [text[:5], text[5:]],
        "year": [1, "x"],
    }
    scored = read_scored_set([write_lines(tmp_path / "x.jsonl", [line])])
    first, second = scored.rows
    assert (first.text, first.candidate.response.steps, first.candidate.response.extra) == (
        text,
        (text[:5], text[5:]),
        {"year": [1, "x"]},
    )
    assert (second.text, second.candidate.response.steps, second.candidate.response.extra) == (
        "x" * 20,
        None,
        {},
    )
    assert first.candidate.messages == tuple(turns)
    del line["doc"]["messages"]
    scored = read_scored_set([write_lines(tmp_path / "x.jsonl", [line])])
    assert scored.rows[0].candidate.messages == ({"role": "user", "content": "What?"},)


def test_shards_are_merged_and_rows_met_twice_counted_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"p0": TABLE["p0"]})
    near = dataclasses.replace(
        TABLE["p0"][0], sums={"4": (-10.0 - 5e-10,), "global": (-10.0,)}, path="batched"
    )
    write_run(tmp_path / "b", {"p0": [near], "p1": TABLE["p1"]})
    scored = read_scored_set([tmp_path / "a", tmp_path / "b"])
    assert len(scored.rows) == 4
    assert scored.duplicates == 1
    assert scored.prompts == ("p0", "p1")
    assert scored == read_scored_set([tmp_path])


def test_undefined_sums_are_the_same_undefined_sums(tmp_path: Path) -> None:
    table = {"p0": [record_of("QwQ", math.nan), record_of("R1", -1.0)]}
    write_run(tmp_path / "a", table)
    write_run(tmp_path / "b", table)
    assert read_scored_set([tmp_path]).duplicates == 2


@pytest.mark.parametrize("value", [-1.0 - 1e-6, math.nan])
def test_one_row_with_two_numbers_is_refused(tmp_path: Path, value: float) -> None:
    write_run(tmp_path / "a", {"p0": [record_of("QwQ", -1.0)]})
    write_run(tmp_path / "b", {"p0": [record_of("QwQ", value)]})
    with pytest.raises(DataError, match=r"sample 0 has other numbers") as caught:
        read_scored_sets([tmp_path])
    for folder in "ab":
        assert f"{tmp_path / folder}" in str(caught.value)
    assert str(caught.value).count("line 1, prompt 'p0', teacher 'QwQ'") == 2


def test_one_row_with_two_verdicts_is_refused(tmp_path: Path) -> None:
    for correct in (True, False):
        line = samples_line("p0", [record_of("QwQ", -1.0)], correct=correct)
        write_lines(tmp_path / f"{correct}" / f"samples_t_{DATE}.jsonl", [line])
        write_lines(tmp_path / f"{correct}" / f"results_{DATE}.json", [{"model_name": "s"}])
    with pytest.raises(DataError, match=r"sample 0 has other numbers"):
        read_scored_sets([tmp_path])


def test_one_row_with_two_texts_of_one_length_is_refused(tmp_path: Path) -> None:
    line = samples_line("p0", [make_record("QwQ")])
    write_lines(tmp_path / "a" / f"samples_t_{DATE}.jsonl", [line])
    line["doc"]["responses"][0]["response"] = "y" * 20
    write_lines(tmp_path / "b" / f"samples_t_{DATE}.jsonl", [line])
    for folder in "ab":
        write_lines(tmp_path / folder / f"results_{DATE}.json", [{"model_name": "s"}])
    with pytest.raises(DataError, match=r"sample 0 has other numbers, another text or another"):
        read_scored_sets([tmp_path])


@pytest.mark.parametrize("change", [{"settings_hash": "f" * 12}, {"splitter": "sentence@2"}])
@pytest.mark.parametrize("prompt", ["p1", "p0"])  # the same row with the same numbers, too
def test_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], prompt: str) -> None:
    write_run(tmp_path / "a", {"p0": [make_record("QwQ")]})
    write_run(tmp_path / "b", {prompt: [make_record("QwQ", **change)]})
    with pytest.raises(DataError, match=r"b.samples.*scored with other settings than .*a.samples"):
        read_scored_sets([tmp_path])


def test_one_id_for_two_prompts_is_refused(tmp_path: Path) -> None:
    for prompt in ("What is two?", "What is three?"):
        line = samples_line("p0", [record_of("QwQ", -1.0)])
        line["doc"]["prompt"] = prompt
        write_lines(tmp_path / prompt[8:12] / f"samples_t_{DATE}.jsonl", [line])
        write_lines(tmp_path / prompt[8:12] / f"results_{DATE}.json", [{"model_name": "s"}])
    with pytest.raises(DataError, match=r"prompt 'p0' is another prompt than at"):
        read_scored_sets([tmp_path])


def test_a_response_may_hold_any_line_separator(tmp_path: Path) -> None:
    text = "a\u2028b\x85c\r\nd".ljust(20, ".")
    line = samples_line("p0", [make_record("QwQ")])
    line["doc"]["responses"][0]["response"] = text
    path = write_lines(tmp_path / "x.jsonl", [line])
    assert read_scored_set([path]).rows[0].text == text


def test_a_prompt_without_responses_still_counts(tmp_path: Path) -> None:
    write_run(tmp_path, {**TABLE, "p2": []})
    assert read_scored_set([tmp_path]).prompts == ("p0", "p1", "p2")


def bad_lines() -> list[dict[str, Any]]:
    text = (Path(__file__).parents[1] / "data" / "bad_samples_lines.yaml").read_text("utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("case", bad_lines(), ids=lambda case: str(case)[:60])
def test_a_bad_line_is_refused_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = samples_line("p0", [make_record("QwQ"), make_record("R1")])
    for key, value in case.get("prompt", {}).items():
        line["doc"][key] = value
    for key, value in case.get("second_response", {}).items():
        line["doc"]["responses"][1][key] = value
    if "without" in case:
        del line["doc"]["responses"][1][case["without"]]
    line |= case.get("line", {})
    write_lines(Path("x.jsonl"), [line])
    with pytest.raises(DataError) as caught:
        read_scored_sets(["x.jsonl"])
    assert str(caught.value) == f"x.jsonl line 1{case['error']}"


def test_a_file_without_any_response_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [samples_line("p0", [])])
    with pytest.raises(DataError, match=r"x\.jsonl: no scored response in the samples file"):
        read_scored_sets([path])


# rows of the teacher set that could not be used

UNUSABLE = {
    "QwQ": UnusableRows(10, {"null": 2}, {"null": "rows.jsonl row 3"}),
    "R1": UnusableRows(10),
    "": UnusableRows(1, {"not valid JSON": 1}, {"not valid JSON": "rows.jsonl row 9"}),
}


def test_what_the_task_says_of_unusable_rows_is_read(tmp_path: Path) -> None:
    table = teacher_table({"QwQ": [-1.0, -2.0], "R1": [-2.0, -1.0]})
    path = write_run(tmp_path / "a", table, unusable=UNUSABLE)
    for source in (tmp_path, path):
        found = read_scored_set([source])
        assert found.unusable == UNUSABLE
        assert set(found.only(["R1"]).unusable) == {"R1", ""}
    write_run(tmp_path / "older", table)
    assert read_scored_set([tmp_path / "older"]).unusable == {}


@pytest.mark.parametrize(
    ("data", "factor"), [("0123456789ab", 1), ("another", 2)], ids=["same data", "other data"]
)
def test_files_of_one_set_count_once_and_of_two_sets_together(
    tmp_path: Path, data: str, factor: int
) -> None:
    for name, own in (("a", "0123456789ab"), ("b", data)):
        values = [-1.0, -2.0] if name == "a" else [-1.0, -2.0, -3.0]
        table = teacher_table({"QwQ": values, "R1": values})
        write_run(tmp_path / name, table, unusable=UNUSABLE, data=own)
    found = read_scored_set([tmp_path]).unusable
    assert {t: (one.rows, one.left_out) for t, one in found.items()} == {
        t: (factor * one.rows, factor * one.left_out) for t, one in UNUSABLE.items()
    }
    assert found["QwQ"].places == {"null": "rows.jsonl row 3"}


@pytest.mark.parametrize("about", [3, {"unusable": 3}, {"unusable": {"A": {"rows": "x"}}}, {}])
def test_results_that_say_something_else_say_nothing(tmp_path: Path, about: Any) -> None:
    path = write_run(tmp_path, teacher_table({"A": [-1.0], "B": [-2.0]}), unusable={})
    (results,) = tmp_path.glob("results_*.json")
    task = {"local_naturalness": {"metadata": {"naturalness": about}}}
    results.write_text(json.dumps({"configs": task}), encoding="utf-8")
    assert read_scored_set([path]).unusable == {}
