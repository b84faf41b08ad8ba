"""Every format gives the same rows, which loader reads a file, and what a loader may give."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set import LOADERS, Loader, Row
from lnat_plugins.teacher_set import load as load_set
from lnat_plugins.teacher_set.config import parse_task
from tests.teacher_set.conftest import Load, jsonl, row, two

ODD = "\nstarts with a newline\r\nCRLF \u2028 line separator, 中文。 🙂 NUL\0 tab\t end  \n"


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_tsv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), dialect="excel-tab")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def packed(name: str, text: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(text.encode())
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as stream:
        stream.write(text.encode())
    return out.getvalue().to_pybytes()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


TEXTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "rows.jsonl": lambda rows: jsonl(*rows),
    "rows.ndjson": lambda rows: jsonl(*rows),
    "rows.json": json.dumps,
    "data.json": lambda rows: json.dumps({"data": rows, "version": 3}),
    "split.json": lambda rows: json.dumps({"train": rows, "test": [1]}),
    "other.json": lambda rows: json.dumps({"test": rows}),
    "pretty.json": lambda rows: json.dumps(rows, indent=2),
    "lines.json": lambda rows: jsonl(*rows),
    "rows.csv": as_csv,
    "rows.tsv": as_tsv,
}
WRITERS: dict[str, Callable[[list[dict[str, Any]]], str | bytes]] = {
    **TEXTS,
    **{
        f"{name}{end}": lambda rows, write=write, end=end: packed(end, write(rows))
        for name, write in TEXTS.items()
        for end in (".gz", ".zst")
    },
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


TEXT_KEPT = ["rows.jsonl", "rows.json", "rows.csv", "rows.tsv", "rows.csv.zst", "rows.jsonl.gz"]


@pytest.mark.parametrize("name", [*TEXT_KEPT, "lines.json", "rows.parquet"])
def test_text_is_kept_to_the_character(load: Load, name: str) -> None:
    text = ODD.replace("\0", "") if "csv" in name or "tsv" in name else ODD
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


def test_json_that_is_too_deep_is_refused(load: Load) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl row 1: values are nested deeper"):
        load({"rows.jsonl": "[" * 100_000})


def test_a_json_file_of_several_splits_gives_the_sets_own(load: Load) -> None:
    text = json.dumps({"train": [row("q")], "test": two()})
    found = load({"rows.json": text}, "rows.json", {"test_split": "test"})
    assert [prompt.text for prompt in found.prompts] == ["p1"]


def test_one_line_is_one_row_also_where_it_holds_a_list(load: Load) -> None:
    text = json.dumps({"prompt": "p", "responses": [{"response": "a"}, {"response": "b"}]})
    assert load({"rows.json": text}, "rows.json", layout="nested").n_responses == 2


def test_a_compressed_file_may_have_several_members(load: Load) -> None:
    for end in (".gz", ".zst"):
        data = b"".join(packed(end, jsonl(one)) for one in two())
        assert load({f"rows.jsonl{end}": data}, f"rows.jsonl{end}").n_responses == 2


def test_a_zst_file_that_is_cut_off_is_refused(load: Load) -> None:
    data = packed(".zst", jsonl(*two()))[:-4]
    with pytest.raises(DataError, match=r"rows\.jsonl\.zst: the file cannot be read: .*cut off"):
        load({"rows.jsonl.zst": data}, "rows.jsonl.zst")


def test_a_loader_may_put_an_error_in_the_place_of_a_row(load: Load) -> None:
    given = [row(), DataError("the record is torn", where="r 2"), row(teacher="B")]
    bars = {"bars": Loader("bars", (".bars",), lambda path, shown: given)}
    found = load({"rows.bars": TEXT}, "rows.bars", loaders=bars)
    assert (found.n_responses, found.unusable[""].places) == (2, {"the record is torn": "r 2"})


# loaders of plugins


def read_bars(path: Path, shown: str) -> Iterator[dict[str, Any]]:
    """`prompt|teacher|response`, a row a line."""
    for line in path.read_text().splitlines():
        yield dict(zip(("prompt", "teacher", "response"), line.split("|"), strict=True))


def read_typeless(path: Path, shown: str) -> Iterator[Row]:
    for number, values in enumerate(read_bars(path, shown)):
        yield Row({**values, "correct": "true"}, f"line {number}", typed=False)


BARS = {"bars": Loader("bars", (".bars",), read_bars)}
TEXT = "p|A|a.\np|B|b.\n"


def test_every_built_in_suffix_has_one_loader() -> None:
    suffixes = [suffix for loader in LOADERS.values() for suffix in loader.suffixes]
    plain = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"]
    packed = {suffix + end for suffix in plain for end in (".gz", ".zst")}
    assert set(suffixes) == {*plain, *packed, ".parquet"}
    assert len(set(suffixes)) == len(suffixes)
    assert all(name == loader.name for name, loader in LOADERS.items())


def test_a_loader_reads_the_files_of_its_suffix(load: Load) -> None:
    found = load({"rows.bars": TEXT}, "rows.bars", loaders=BARS)
    assert [one.text for one in found.prompts[0].responses] == ["a.", "b."]
    assert found.prompts[0].responses[1].where == "rows.bars row 2"


def test_a_folder_gives_the_files_that_some_loader_reads(load: Load) -> None:
    files = {"d/a.bars": TEXT, "d/b.jsonl": jsonl(*two("q")), "d/c.txt": "no rows"}
    assert load(files, "d", loaders=BARS).n_responses == 4
    with pytest.raises(DataError, match="a.bars"):
        load({}, "d/a.bars")


def test_a_row_may_say_itself_where_it_stands_and_that_it_is_text(load: Load) -> None:
    loaders = {"bars": Loader("bars", (".bars",), read_typeless)}
    first = load({"rows.bars": TEXT}, "rows.bars", loaders=loaders).prompts[0].responses[0]
    assert (first.where, first.correct) == ("line 0", True)


def test_a_named_loader_reads_whatever_is_named(load: Load) -> None:
    by_name = {"bars": Loader("bars", (), read_bars)}
    for name in ("rows.txt", "rows.jsonl"):
        found = load({name: TEXT}, name, loaders=by_name, loader="bars")
        assert found.n_responses == 2
    found = load({"d/rows.jsonl": TEXT, "d/notes.md": "x"}, "d", loaders=by_name, loader="bars")
    assert found.n_responses == 2


def test_what_no_loader_reads_names_those_there_are(load: Load) -> None:
    with pytest.raises(
        DataError, match=r"Give one of \.jsonl, .*\.bars, text also as .*, or name a"
    ):
        load({"rows.txt": TEXT}, "rows.txt", loaders=BARS)


@pytest.mark.parametrize("given", [["p", "A", "a."], None, "p|A|a."])
def test_something_else_than_a_row_is_refused(load: Load, given: Any) -> None:
    broken = {"bars": Loader("bars", (".bars",), lambda path, shown: [row(), given])}
    with pytest.raises(DataError, match="rows.bars row 2: loader 'bars' gave .* no row"):
        load({"rows.bars": TEXT}, "rows.bars", loaders=broken)


class Gap:
    """As pandas' `NA`: neither equal to a text nor unequal."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("not known")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Row(None, "here"), "gave a `Row` without named values"),
        (Row(row(), b"here"), "gave a `Row` whose `where` is no text"),
        (Row(row(), "here", "yes"), "gave a `Row` whose `where` is no text, or whose `typed` no"),
        ({**row(), 1: "a"}, "gave a column whose name is no text (found 1)"),
    ],
)
def test_a_row_must_be_of_named_values(load: Load, given: Any, message: str) -> None:
    broken = {"bars": Loader("bars", (".bars",), lambda path, shown: [row(), given])}
    with pytest.raises(DataError) as caught:
        load({"rows.bars": TEXT}, "rows.bars", loaders=broken)
    assert str(caught.value).startswith(f"rows.bars row 2: loader 'bars' {message}")
    assert str(caught.value).endswith(". Fix the plugin that brings the loader.")


def of_rows(*rows: Any) -> dict[str, Loader]:
    return {"bars": Loader("bars", (".bars",), lambda path, shown: rows)}


@pytest.mark.parametrize("value", [np.zeros(2), Gap(), [Gap()], {"a": {"b": np.zeros(2)}}])
def test_what_cannot_be_compared_is_no_matter_in_a_column_that_is_not_read(
    load: Load, value: Any
) -> None:
    found = load(
        {"rows.bars": TEXT}, "rows.bars", loaders=of_rows({**row(), "extra": value}), min_teachers=1
    )
    (one,) = found.prompts[0].responses
    assert (found.unusable["A"].left_out, dict(one.extra)) == (0, {})


@pytest.mark.parametrize("value", [np.zeros(2), Gap()])
@pytest.mark.parametrize("column", ["prompt", "teacher", "response", "correct", "sample", "steps"])
def test_a_row_that_cannot_be_compared_where_it_is_read_is_left_out(
    load: Load, column: str, value: Any
) -> None:
    rows = [row(), row("B"), {"a": Gap()} | row("B") | {"prompt": "q", column: value}]
    found = load({"rows.bars": TEXT}, "rows.bars", loaders=of_rows(*rows), min_teachers=1)
    assert found.n_responses == 2
    (left_out,) = [one for one in found.unusable.values() if one.left_out]
    assert left_out.left_out == 1
    assert f"column '{column}'" in left_out.commonest, left_out


def test_where_leaves_out_a_row_whose_value_cannot_be_compared(load: Load) -> None:
    rows = [row() | {"level": 1}, row("B") | {"level": np.zeros(2)}, row("C") | {"level": 2}]
    found = load(
        {"rows.bars": TEXT}, "rows.bars", loaders=of_rows(*rows), where={"level": 1}, min_teachers=1
    )
    assert found.n_responses == 1
    assert [one.reasons for one in found.unusable.values() if one.left_out] == [
        {"column 'level': the value cannot be compared": 1}
    ]


def test_an_array_deep_in_a_row_is_an_error_where_it_is_read(load: Load) -> None:
    turns = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "a."}]
    odd = [turns[0] | {"tool_calls": np.zeros(2)}, turns[1]]
    rows = [{"teacher": "A", "messages": turns}, {"teacher": "B", "messages": odd}]
    broken = {"bars": Loader("bars", (".bars",), lambda path, shown: rows)}
    with pytest.raises(DataError, match="row 2, column 'messages': the value cannot be compared"):
        load({"rows.bars": TEXT}, "rows.bars", loaders=broken, layout="messages", strict=True)


@pytest.mark.parametrize("column", ["teacher", "sample"])
def test_a_number_that_cannot_be_written_is_no_name(load: Load, column: str) -> None:
    rows = [row(), {**row("B"), column: 10**5000}]
    broken = {"bars": Loader("bars", (".bars",), lambda path, shown: rows)}
    with pytest.raises(DataError, match=f"row 2, column '{column}'"):
        load({"rows.bars": TEXT}, "rows.bars", loaders=broken, strict=True)


def test_a_loader_without_rows_is_an_empty_file(load: Load) -> None:
    silent = {"bars": Loader("bars", (".bars",), lambda path, shown: ())}
    with pytest.raises(DataError, match="rows.bars: there is no row"):
        load({"rows.bars": TEXT}, "rows.bars", loaders=silent)


@pytest.mark.parametrize("depth", [101, 5_000, 200_000])
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_values_nested_too_deep_are_one_line(depth: int, suffix: str, tmp_path: Path) -> None:
    row = '{"prompt": "p", "teacher": "A", "response": "r", "note": %s1%s}'
    path = tmp_path / f"rows{suffix}"
    path.write_text(row % ('{"a":' * depth, "}" * depth), encoding="utf-8")
    spec = parse_task({"task": "t", "dataset_path": str(path)})
    with pytest.raises(DataError, match="nested deeper than 100. Flatten them") as caught:
        load_set(spec)
    assert "\n" not in str(caught.value)
    path.write_text(row % ('{"a":' * 100, "}" * 100), encoding="utf-8")
    spec = parse_task({"task": "t", "dataset_path": str(path), "naturalness": {"min_teachers": 1}})
    assert load_set(spec).n_responses == 1
