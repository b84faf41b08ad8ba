"""The formats that the package reads: JSON lines, JSON, CSV, TSV and parquet.

Text comes out exactly as it is in the file; a byte-order mark at the very start is not text. Text
files may be compressed (.gz, .zst).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final, cast

from lnat_plugins.errors import DataError
from lnat_plugins.files import RepeatedKeyError, parse_json, repeated
from lnat_plugins.teacher_set.fields import too_deep
from lnat_plugins.teacher_set.loaders import COMPRESSED, Loader, Row

_BOM: Final = b"\xef\xbb\xbf"
_NOT_UTF8: Final = "this is not UTF-8 text"
_MARKS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_NO_BYTE: Final = re.compile("[\udc80-\udcff]")  # of bytes that are no UTF-8, by surrogateescape


def _open(path: Path) -> BinaryIO:
    """The file's bytes, uncompressed."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if suffix == ".zst":
        import pyarrow

        file = pyarrow.OSFile(str(path))
        return cast(BinaryIO, io.BufferedReader(pyarrow.CompressedInputStream(file, "zstd")))
    return path.open("rb")


def _read_jsonl(path: Path, shown: str) -> Iterator[Row | DataError]:
    with _open(path) as lines:
        yield from _parse_lines(lines, shown)


def _parse_lines(lines: Iterable[bytes], shown: str) -> Iterator[Row | DataError]:
    # splitting bytes at b"\n" only: str.splitlines would also cut at U+2028
    for number, raw in enumerate(lines, start=1):
        where = f"{shown} row {number}"
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if line.strip():
            try:
                yield _row(_parse_json(line, where), where)
            except DataError as error:
                yield error


def _read_json(path: Path, shown: str, split: str) -> Iterator[Row | DataError]:
    with _open(path) as file:
        data = file.read().removeprefix(_BOM)
    lines = io.BytesIO(data)
    first_two = [*islice(filter(bytes.strip, lines), 2)]
    lines.seek(0)
    if len(first_two) == 2 and all(line.lstrip().startswith(b"{") for line in first_two):
        yield from _parse_lines(lines, shown)  # no JSON text begins like this
        return
    marked: list[_Repeated] = []

    def mark(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            marked.append(values := _Repeated(values))
            values.key = repeated(pairs)
        return values

    content = _parse_json(data, shown, json.JSONDecoder(object_pairs_hook=mark).decode)
    if isinstance(content, _Repeated):
        raise _twice(content.key, shown)
    for number, values in enumerate(_rows_of(content, split, shown), start=1):
        where = f"{shown} row {number}"
        try:
            # only its own row cannot be used
            if marked and (key := _repeated_in(values)) is not None:
                raise _twice(key, where)
            yield _row(values, where)
        except DataError as error:
            yield error


def _rows_of(content: Any, split: str, shown: str) -> list[Any]:
    """The list of rows in a .json file's content: all of it, under "data", or under a split."""
    if isinstance(content, list):
        return content
    if isinstance(content, dict) and content:
        for name in (split, "data"):
            if isinstance(content.get(name), list):
                return cast(list[Any], content[name])
        if not all(isinstance(rows, list) for rows in content.values()):
            return [content]  # a line, and the only one
        if len(content) == 1:
            return cast(list[Any], next(iter(content.values())))
        raise DataError(
            f"the file holds several lists of rows, and none is the split {split!r}",
            where=shown, found=", ".join(content),
            remedy=f"name one of them: `test_split: {next(iter(content))}` (lnat init: --split)",
        )  # fmt: skip
    raise DataError(
        'a .json file must hold a list of rows, {"data": [...]}, {"train": [...]}, or a row a line',
        where=shown, found=content, remedy='write [{"prompt": ..., "response": ...}, ...]',
    )  # fmt: skip


class _Repeated(dict[str, Any]):
    """An object of JSON with a duplicate key."""

    key: str


def _repeated_in(values: Any) -> str | None:
    """A duplicate key in an object, at any depth."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _Repeated):
            return value.key
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return None


def _twice(key: str, where: str) -> DataError:
    return DataError(
        f"duplicate key {key!r}", where=where, remedy="keep one of them",
        reason="duplicate key",
    )  # fmt: skip


def _parse_json(data: bytes, where: str, parse: Callable[[str], Any] = parse_json) -> Any:
    try:
        return parse(data.decode("utf-8"))
    except RepeatedKeyError as cause:
        raise _twice(cause.key, where) from None
    except UnicodeDecodeError as cause:
        raise DataError(
            _NOT_UTF8, where=where, found=data[max(0, cause.start - 10) : cause.end + 10],
            remedy="save the file as UTF-8",
        ) from None  # fmt: skip
    except json.JSONDecodeError as cause:
        line = f"line {cause.lineno} " if cause.lineno > 1 else ""
        raise DataError(
            f"not valid JSON: {cause.msg.removesuffix(' at')} at {line}column {cause.colno}",
            where=where, found=cause.doc[max(0, cause.pos - 20) : cause.pos + 20],
            remedy="the text may be cut off; write the file again", reason="not valid JSON",
        ) from None  # fmt: skip
    except RecursionError:
        raise too_deep(where) from None
    except ValueError as cause:
        what = f"not readable JSON: {cause}"
        raise DataError(
            what, where=where, remedy="write the file again", reason="not readable JSON"
        ) from None


def _row(values: Any, where: str) -> Row:
    if not isinstance(values, dict):
        raise DataError(
            "a row must be an object of named values",
            where=where, found=values,
            remedy='write {"prompt": ..., "response": ..., "teacher": ...}',
        )  # fmt: skip
    return Row(values, where)


def _read_table(path: Path, shown: str, *, delimiter: str, kind: str) -> Iterator[Row | DataError]:
    """CSV or TSV, with cells in double quotes where they hold delimiters or line breaks."""
    broken = False  # whether some bytes are no UTF-8
    try:
        try:
            header, *records = _cells(path, delimiter, "strict")
        except UnicodeDecodeError:
            header, *records = _cells(path, delimiter, "surrogateescape")
            broken = True
    except csv.Error as cause:
        remedy = "write the file again, or as .jsonl"
        raise DataError(f"not valid {kind}: {cause}", where=shown, remedy=remedy) from None
    if broken and any(map(_NO_BYTE.search, header)):
        raise DataError(_NOT_UTF8, where=f"{shown} header", remedy="save the file as UTF-8")
    other = [mark for mark in ";\t|," if mark in header[0]] if len(header) == 1 else []
    if other:
        raise DataError(
            f"the cells seem to be separated by {_MARKS[other[0]]}, not by {_MARKS[delimiter]}",
            where=f"{shown} header", found=header[0],
            remedy=f"write the file again as {kind}, or as .jsonl",
        )  # fmt: skip
    if len(set(header)) < len(header):
        raise DataError(
            "duplicate column name",
            where=f"{shown} header", found=header, remedy="rename one of them",
        )  # fmt: skip
    for number, record in enumerate(records, start=1):
        where = f"{shown} row {number}"
        if len(record) != len(header):
            yield DataError(
                f"the row has {len(record)} cells, the header {len(header)}",
                where=where, found=record,
                remedy="put cells that hold delimiters or line breaks in double quotes",
                reason="the row has another number of cells than the header",
            )  # fmt: skip
        elif broken and any(map(_NO_BYTE.search, record)):
            yield DataError(_NOT_UTF8, where=where, remedy="save the file as UTF-8")
        else:
            yield Row(dict(zip(header, record, strict=True)), where, typed=False)


def _cells(path: Path, delimiter: str, errors: str) -> list[list[str]]:
    """The header and the rows of a table, as text; lines without a cell are skipped."""
    # the default limit is 131,072 characters a cell; a trace is often longer
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with _open(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors=errors, newline="")
            read = csv.reader(text, strict=True, delimiter=delimiter)
            return [cells for cells in read if cells] or [[]]
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, shown: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=1024))
            for number, values in enumerate(chain.from_iterable(batches), start=1):
                yield Row(values, f"{shown} row {number}")
    except pyarrow.ArrowException as cause:
        raise DataError(
            f"not a readable parquet file: {str(cause).splitlines()[0].rstrip('.')}",
            where=shown, remedy="the file may be cut off; write it again",
        ) from None  # fmt: skip


def _text(*suffixes: str) -> tuple[str, ...]:
    """The suffixes of text files, with those of the same files compressed."""
    return tuple(suffix + packed for packed in ("", *COMPRESSED) for suffix in suffixes)


LOADERS: Final = MappingProxyType(
    {
        loader.name: loader
        for loader in (
            Loader("jsonl", _text(".jsonl", ".ndjson"), _read_jsonl),
            Loader("json", _text(".json"), _read_json, by_split=True),
            Loader("csv", _text(".csv"), partial(_read_table, delimiter=",", kind="CSV")),
            Loader("tsv", _text(".tsv"), partial(_read_table, delimiter="\t", kind="TSV")),
            Loader("parquet", (".parquet",), _read_parquet),
        )
    }
)
"""The loaders that ship with the package, by name."""
