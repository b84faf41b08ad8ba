"""Samples files: which of a folder are read, and whose they are."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.plugins import load_plugins
from lnat_plugins.scores import Scores
from lnat_plugins.scoring.samples import read_scored_set, read_scored_sets
from tests.helpers_samples import (
    DATE,
    record_of,
    samples_line,
    teacher_table,
    write_lines,
    write_run,
)

LATER = "2025-10-04T08-00-00.000001"
TABLE = teacher_table({"QwQ": [-1.0, -1.5], "R1": [-2.0, -1.0]})


def test_of_repeated_runs_the_newest_is_read(tmp_path: Path) -> None:
    older = write_run(tmp_path / "m", TABLE)
    newer = write_run(tmp_path / "m", teacher_table({"QwQ": [-9.0]}), date=LATER)
    scored = read_scored_set([tmp_path])
    assert scored.files == (str(newer),)
    assert scored.skipped == (f"{older}: older than {newer.name}",)
    assert read_scored_set([older]).prompts == ("p0", "p1")


def test_an_older_run_with_fewer_prompts_is_remembered(tmp_path: Path) -> None:
    """Of the same settings; the least of several."""
    for date, prompts, way in (
        ("2026-01-01T00-00-00.0", 3, {}),
        ("2026-01-02T00-00-00.0", 2, {"steps": "line"}),
        ("2026-01-03T00-00-00.0", 5, {}),
        ("2026-01-04T00-00-00.0", 6, {}),
    ):
        table = teacher_table({"A": [-1.0] * prompts, "B": [-2.0] * prompts})
        write_run(tmp_path, table, date=date, in_set=9, way=way)
    (scored,) = read_scored_sets([tmp_path])
    assert (len(scored.prompts), scored.grown_from) == (6, 3)
    (alone,) = read_scored_sets(
        [tmp_path / "samples_local_naturalness_2026-01-04T00-00-00.0.jsonl"]
    )
    assert alone.grown_from == 0
    other = tmp_path / "again"
    for date, prompts in (("2026-01-01T00-00-00.0", 5), ("2026-01-02T00-00-00.0", 5)):
        write_run(other, teacher_table({"A": [-1.0] * prompts}), date=date, in_set=9)
    assert read_scored_sets([other])[0].grown_from == 0


def test_tasks_are_kept_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "m", TABLE, task="maths_b")
    write_run(tmp_path / "m", TABLE, task="maths_a")
    assert [scored.task for scored in read_scored_sets([tmp_path])] == ["maths_a", "maths_b"]
    with pytest.raises(
        DataError, match=r"several tasks are scored here \(found 'maths_a, maths_b'"
    ):
        read_scored_set([tmp_path])


def test_the_samples_of_other_tasks_are_skipped(tmp_path: Path) -> None:
    write_run(tmp_path, TABLE)
    other = write_lines(
        tmp_path / f"samples_gsm8k_{DATE}.jsonl", [{"doc": {"question": "?"}, "resps": [["4"]]}]
    )
    assert read_scored_set([tmp_path]).skipped == (f"{other}: not the scores of a teacher set",)
    with pytest.raises(DataError, match=r"gsm8k_.*line 1: a sample of another task.*log_samples"):
        read_scored_sets([other])
    (tmp_path / f"samples_local_naturalness_{DATE}.jsonl").unlink()
    with pytest.raises(DataError, match=r"no samples file here holds the scores of a teacher set"):
        read_scored_sets([tmp_path])


@pytest.mark.parametrize("splitter", ["sentence@1", "sentence@2"])
def test_a_file_of_an_earlier_version_is_read(tmp_path: Path, splitter: str) -> None:
    """Its records lack what later ones hold, its settings `markers`; it has no narrower window."""
    lines = []
    for prompt_id, own in TABLE.items():
        line = samples_line(prompt_id, [replace(one, splitter=splitter) for one in own])
        records = [json.loads(text) for text in line["filtered_resps"]]
        for record in records:
            for name in ("tag_tokens", "tag_sums", "variants", "token_values"):
                del record[name]
            del record["settings"]["markers"]
        line["filtered_resps"] = [json.dumps(record) for record in records]
        line["resps"] = [[text] for text in line["filtered_resps"]]
        lines.append(line)
    path = write_lines(tmp_path / f"samples_local_naturalness_{DATE}.jsonl", lines)
    scored = read_scored_set([path])
    assert (scored.splitter, scored.windows) == (splitter, ("4", "global"))
    assert "markers" not in scored.settings
    assert [row.record for row in scored.rows] == [
        replace(one, splitter=splitter, settings=scored.settings)
        for own in TABLE.values()
        for one in own
    ]
    assert all(row.record.tag_tokens == () for row in scored.rows)
    assert len(Scores(scored, load_plugins()).tokens()) == 0
    ranking = Scores(scored, load_plugins()).rank(bootstrap_iters=50)
    assert [line.teacher for line in ranking.teachers] == ["QwQ", "R1"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write_run(tmp_path, TABLE)
    assert read_scored_set([path, tmp_path]).duplicates == 0


def test_each_student_has_a_set_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path / "a", TABLE, student="org/two")
    write_run(tmp_path / "b", TABLE, student="org/one")
    assert [scored.student for scored in read_scored_sets([tmp_path])] == ["org/one", "org/two"]


@pytest.mark.parametrize(
    ("results", "student"),
    [
        ({"model_name": "org/tuned"}, "org/tuned"),
        ({"model_name": 7}, "folder"),
        ({"model_name": ["org/tuned"], "config": {"model_args": {"pretrained": "./s"}}}, "./s"),
        ({"model_name": "", "config": {"model_args": {"pretrained": "./s"}}}, "./s"),
        ({"config": {"model_args": {"pretrained": "./s", "dtype": "float32"}}}, "./s"),
        ({"config": {"model_args": "pretrained=./s,dtype=float32"}}, "./s"),
        ({"config": {"model_args": {"pretrained": "./s", "peft": "./lora"}}}, "./lora"),
        ({"config": {"model_args": None}}, "folder"),
        ({"config": None}, "folder"),
        ([], "folder"),
    ],
)
def test_the_student_is_named_by_the_results(tmp_path: Path, results: Any, student: str) -> None:
    path = write_run(tmp_path / "folder", TABLE, student=None)
    assert read_scored_set([path]).student == "folder"
    write_lines(tmp_path / "folder" / f"out_{DATE}.json", [results])
    assert read_scored_set([path]).student == student


def test_a_renamed_file_can_be_read(tmp_path: Path) -> None:
    path = write_run(tmp_path, TABLE).rename(tmp_path / "mine.jsonl")
    scored = read_scored_set([path])
    assert (scored.task, scored.student) == ("unknown", "org/student")


def test_missing_sources_name_the_flag_that_writes_them(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere: no such file or folder\. Run lm_eval with --log"
    ):
        read_scored_sets([tmp_path / "nowhere"])
    with pytest.raises(DataError, match=r"no samples file in this folder\. Run lm_eval with --log"):
        read_scored_sets([tmp_path])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the samples file is empty"),
        (b'{"doc": {"prompt_id"', r"line 1: not valid JSON .*--log_samples again"),
        (b"\xff\xfe", r"line 1: not UTF-8 text"),
        (b"[" * 100_000, r"line 1: not valid JSON"),
        (b"3\n", r"line 1: not a line of a samples file"),
        (b'{"doc": {}}\n', r"line 1: not a line of a samples file"),
        (b'{"doc": {}, "resps": [], "doc": 1}\n', r"line 1: duplicate key 'doc'.*again"),
    ],
)
def test_an_unreadable_file_is_named_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / f"samples_t_{DATE}.jsonl"
    path.write_bytes(content)
    for source in (path, tmp_path):
        with pytest.raises(DataError, match=rf"samples_t_.*{message}"):
            read_scored_sets([source])


def test_a_cut_last_line_is_named(tmp_path: Path) -> None:
    path = write_run(tmp_path, TABLE)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"line 2: not valid JSON"):
        read_scored_sets([path])


def test_a_file_that_is_cut_at_the_end_of_a_line_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", TABLE, in_set=2)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    for source in (path, tmp_path):
        with pytest.raises(DataError) as caught:
            read_scored_sets([source])
        assert str(caught.value) == (
            f"{path}: the file holds 1 prompt, and the results beside it are of 2. The file was "
            "cut or edited: run lm_eval with --log_samples again."
        )
    # Another file may hold what it lacks.
    other = write_run(tmp_path / "b", {"p1": TABLE["p1"]}, in_set=2)
    other_results = next(other.parent.glob("results_*"))
    found = json.loads(other_results.read_text())
    found["n-samples"] = {"local_naturalness": {"original": 2, "effective": 1}}
    other_results.write_text(json.dumps(found))
    (scored,) = read_scored_sets([path, other])
    assert scored.prompts == ("p0", "p1")
    found["n-samples"] = {"local_naturalness": {"original": 3, "effective": 1}}
    other_results.write_text(json.dumps(found))
    with pytest.raises(DataError, match="holds 1 prompt, and the results beside it are of 2"):
        read_scored_sets([path, other])


@pytest.mark.parametrize("in_a_folder", [True, False])
def test_a_pipe_is_not_read(tmp_path: Path, in_a_folder: bool) -> None:
    pipe = tmp_path / "samples_t.jsonl"
    os.mkfifo(pipe)
    kept = os.open(pipe, os.O_RDWR)  # or whoever opens it would wait for ever
    closing = threading.Timer(5, os.close, [kept])
    closing.start()
    try:
        with pytest.raises(DataError, match="this is a pipe, not a file"):
            read_scored_sets([tmp_path if in_a_folder else pipe])
    finally:
        closing.join(0)
        if closing.is_alive():
            closing.cancel()
            os.close(kept)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_cut, "no JSON"),
        (lambda path: path.write_bytes(b""), "no JSON"),
        (lambda path: path.write_bytes(b"\xff{}"), "no JSON"),
        (lambda path: path.write_bytes(b"[" * 100_000), "no JSON"),
        (_pipe, "this is a pipe, not a file"),
        (_folder, "Is a directory"),
    ],
)
def test_results_that_cannot_be_read_do_not_hide_that_the_samples_were_cut(
    tmp_path: Path, damage: Callable[[Path], object], found: str
) -> None:
    path = write_run(tmp_path / "a", TABLE, in_set=2)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    (results,) = path.parent.glob("results_*")
    damage(results)
    for source in (path, tmp_path):
        with pytest.raises(DataError) as caught:
            read_scored_sets([source])
        assert str(caught.value) == (
            f"{results}: the results beside a samples file cannot be read, so nothing says whether "
            f"it is whole (found {found!r}). Copy them again, or remove both files and score again."
        )


def test_results_of_another_run_may_be_unreadable(tmp_path: Path) -> None:
    """Of another date, or of another task in the folder."""
    path = write_run(tmp_path, TABLE)
    (tmp_path / "results_2025-01-02T03-04-05.6.json").write_text("{", encoding="utf-8")
    assert read_scored_set([path]).student == "org/student"
    date = "2025-01-02T03-04-05.6"
    write_lines(tmp_path / f"samples_gsm8k_{date}.jsonl", [{"doc": {"question": "q"}, "resps": []}])
    assert read_scored_set([tmp_path]).student == "org/student"


def test_a_response_of_another_length_than_was_scored_is_refused(tmp_path: Path) -> None:
    line = samples_line("p0", [record_of("QwQ", -1.0)])
    line["doc"]["responses"][0]["response"] += "."
    with pytest.raises(DataError, match="'spans' does not end .*found '10 of 11 characters'"):
        read_scored_sets([write_lines(tmp_path / "x.jsonl", [line])])


def test_a_column_of_an_earlier_version_may_be_called_turn(tmp_path: Path) -> None:
    lines = [samples_line(prompt_id, own) for prompt_id, own in TABLE.items()]
    for line in lines:
        for row in line["doc"]["responses"]:
            row["turn"] = 1
    path = write_lines(tmp_path / f"samples_local_naturalness_{DATE}.jsonl", lines)
    for row in read_scored_set([path]).rows:
        assert (row.candidate.response.turn, row.candidate.response.extra["row_turn"]) == (None, 1)
