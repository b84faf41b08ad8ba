"""Files and folders: every format gives the same rows, and what cannot be read says so."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.teacher_set import load as load_defined
from lnat_plugins.teacher_set.config import parse_task
from tests.teacher_set.conftest import Load, jsonl, row, two

ODD = "\nstarts with a newline\r\nCRLF \u2028 line separator, 中文。 🙂 NUL\0 tab\t end  \n"


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


WRITERS = {
    "rows.jsonl": lambda rows: jsonl(*rows),
    "rows.json": json.dumps,
    "data.json": lambda rows: json.dumps({"data": rows}),
    "rows.csv": as_csv,
    "rows.parquet": as_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_set(load: Load, name: str) -> None:
    rows = [row("p1", t, f"{t} says.", correct=True, k=str(i)) for i, t in enumerate("AB")]
    ours = load({name: WRITERS[name](rows)}, name)
    assert ours.fingerprint == load(rows).fingerprint
    assert ours.teachers == ("A", "B")
    first = ours.prompts[0].responses[0]
    assert (first.text, first.correct, first.extra) == ("A says.", True, {"k": "0"})
    assert first.where == f"{name} row 1"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_text_is_kept_to_the_character(load: Load, name: str) -> None:
    text = ODD.replace("\0", "") if name == "rows.csv" else ODD
    rows = [row(text, "A", text), row(text, "B", "b")]
    prompt = load({name: WRITERS[name](rows)}, name).prompts[0]
    assert prompt.responses[0].text == text
    assert prompt.messages == ({"role": "user", "content": text},)


def test_json_lines_count_empty_lines_and_skip_a_byte_order_mark(load: Load) -> None:
    text = b"\xef\xbb\xbf" + jsonl(row()).encode() + b"\r\n\n" + jsonl(row(teacher="B")).encode()
    first, second = load({"rows.jsonl": text}).prompts[0].responses
    assert (first.where, second.where) == ("rows.jsonl row 1", "rows.jsonl row 4")


def test_csv_reads_cells_as_what_they_say(load: Load) -> None:
    head = "prompt,teacher,response,correct,steps\n"
    text = head + 'p,A,x. y.,True,"[""x. "", ""y.""]"\np,B,b,0,\np,C,c,,\n'
    a, b, c = load({"rows.csv": text}, "rows.csv").prompts[0].responses
    assert (a.correct, b.correct, c.correct) == (True, False, None)
    assert (a.steps, b.steps) == (("x. ", "y."), None)


def test_csv_cells_may_be_long(load: Load) -> None:
    long = "word " * 60_000
    assert load({"r.csv": as_csv([row(response=long), row(teacher="B")])}, "r.csv").n_responses == 2


BAD_FILES: list[tuple[str, str | bytes, str]] = [
    ("rows.jsonl", jsonl(row()) + '{"prompt": "p', r"rows\.jsonl row 2: not valid JSON.*cut off"),
    ("rows.jsonl", '["a"]\n', r"rows\.jsonl row 1: a row must be an object"),
    ("rows.jsonl", b'{"prompt": "\xe9"}\n', r"rows\.jsonl row 1: this is not UTF-8 text"),
    ("rows.jsonl", "[" * 100_000, r"rows\.jsonl row 1: not readable JSON"),
    ("rows.jsonl", "\n", r"rows\.jsonl: there is no row"),
    ("rows.json", jsonl(*two()), r"rows\.json: not valid JSON: Extra data.*name the file .jsonl"),
    ("rows.json", '{"rows": []}', "must hold a list of rows"),
    ("rows.json", json.dumps([row(), 3]), r"rows\.json row 2: a row must be an object"),
    ("rows.csv", "prompt,response\na,b,c\n", r"rows\.csv row 1: the row has 3 cells, the header 2"),
    ("rows.csv", "prompt,prompt\na,b\n", "a column name appears twice"),
    ("rows.csv", 'prompt,response\na,"b\n', r"rows\.csv: not valid CSV"),
    ("rows.csv", b"prompt\n\xe9\n", r"rows\.csv: this is not UTF-8 text"),
    ("rows.csv", "", r"rows\.csv: there is no row"),
    ("rows.parquet", "PAR1 nothing", r"rows\.parquet: not a readable parquet file"),
    ("rows.txt", "x", r"rows\.txt: this kind of file is not read .*'\.txt'.*\.jsonl"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_bad_file_is_one_clear_error(
    load: Load, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load({name: content}, name)


def test_a_missing_file_and_a_folder_in_its_place_are_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        load({}, "gone.jsonl")
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(DataError, match="leads to no data"):
        load({}, "rows.jsonl")


# where rows are, and whose they are


def test_paths_start_from_the_yaml_not_from_the_working_directory(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load({"deep/rows.jsonl": jsonl(*two())}, "deep/rows.jsonl").n_responses == 2


def test_a_dictionary_starts_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two()))
    monkeypatch.chdir(tmp_path)
    spec = parse_task({"task": "t", "dataset_path": "rows.jsonl"})
    assert load_defined(spec).n_responses == 2


BY_TEACHER = {
    "QwQ/a.jsonl": jsonl({"prompt": "p1", "response": "q1"}),
    "QwQ/b.jsonl": jsonl({"prompt": "p2", "response": "q2"}),
    "R1/a.jsonl": jsonl({"prompt": "p1", "response": "r1"}, {"prompt": "p2", "response": "r2"}),
    "R1/.hidden.jsonl": "not read",
    "R1/notes.txt": "not read",
}


@pytest.mark.parametrize(
    ("path", "naturalness"),
    [
        ("data/*/*.jsonl", {"teacher_from": "parent_dir"}),
        ("data", {"teacher_from": "parent_dir"}),
        ({"QwQ": ["data/QwQ/a.jsonl", "data/QwQ/b.jsonl"], "R1": "data/R1/*.jsonl"}, {}),
        ({"QwQ": "data/QwQ", "R1": "data/R1"}, {}),
    ],
)
def test_a_file_may_name_its_teacher(load: Load, path: Any, naturalness: dict[str, str]) -> None:
    teacher_set = load({f"data/{n}": t for n, t in BY_TEACHER.items()}, path, **naturalness)
    assert teacher_set.teachers == ("QwQ", "R1")
    texts = [[r.text for r in prompt.responses] for prompt in teacher_set.prompts]
    assert texts == [["q1", "r1"], ["q2", "r2"]]
    assert teacher_set.prompts[0].responses[0].where == "data/QwQ/a.jsonl row 1"


def test_a_files_name_may_be_the_teacher(load: Load) -> None:
    files = {f"{t}.jsonl": jsonl({"prompt": "p", "response": t}) for t in ("QwQ", "R1")}
    teacher_set = load(files, ["QwQ.jsonl", "R1.jsonl"], teacher_from="file_stem")
    assert teacher_set.teachers == ("QwQ", "R1")


def test_a_named_file_outranks_a_teacher_column_which_is_kept(load: Load) -> None:
    files = {"a.jsonl": jsonl(row(teacher="x")), "b.jsonl": jsonl(row(teacher="y"))}
    teacher_set = load(files, {"A": "a.jsonl", "B": "b.jsonl"})
    assert teacher_set.teachers == ("A", "B")
    assert teacher_set.prompts[0].responses[0].extra == {"row_teacher": "x"}


def test_lm_evals_data_files_are_read_from_the_yamls_folder(load: Load) -> None:
    keys = {"dataset_kwargs": {"data_files": {"train": "rows.jsonl"}}}
    assert load(two(), "json", keys).n_responses == 2


def test_a_pattern_without_a_file_and_useless_arguments_are_refused(load: Load) -> None:
    with pytest.raises(DataError, match=r"dataset_path: this leads to no data .*'\*\.jsonl'"):
        load({}, "*.jsonl")
    with pytest.raises(ConfigError, match=r"`dataset_kwargs` only reach datasets .*'revision'"):
        load(two(), keys={"dataset_kwargs": {"revision": "main"}})
