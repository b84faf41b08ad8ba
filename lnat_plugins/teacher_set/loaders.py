"""Loaders: JSON lines, JSON, CSV and parquet files as rows, with the row's number kept.

Text comes out exactly as it is in the file; a byte-order mark at the very start is not text. A file
that cannot be read, or a row that is not a set of named values, is a DataError with file and row.
The loader is the one for the file's suffix, or the one that `naturalness: loader:` names.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import NAME_RULE, ConfigError, DataError, LnatError, is_name, require


class Row(NamedTuple):
    """One row: its values by column, and where it is ("traces.jsonl row 12").

    typed: False where the file holds nothing but text (CSV): "true", "1" and an empty cell are then
        read as what they say.
    """

    values: Mapping[str, Any]
    where: str
    typed: bool = True


@dataclass(frozen=True)
class Loader:
    """A named way to read a file.

    Attributes:
        name: as written after `naturalness: loader:`.
        suffixes: of the files it reads by default, in lower case (".jsonl"); none for a loader
            that is only used where it is named.
        read: (path, the file's name in messages) -> its rows, in order. A row is a `Row`, or a
            mapping of column to value, which is then counted from 1. Text must come out as it
            is in the file. Raises DataError with file and row for what it cannot read.
        owner: the plugin that registered it, for messages; set by the registry.

    Raises ConfigError for a field that is not as above.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, str], Iterable[Row | Mapping[str, Any]]]
    owner: str = ""

    def __post_init__(self) -> None:
        require("loader", self, "name", is_name(self.name), NAME_RULE)
        suffixes: object = self.suffixes
        valid = isinstance(suffixes, tuple) and all(
            isinstance(suffix, str) and re.fullmatch(r"\.[a-z0-9_]+", suffix) for suffix in suffixes
        )
        must_be = 'a tuple of lower-case suffixes such as (".jsonl",)'
        require("loader", self, "suffixes", valid, must_be)
        require("loader", self, "read", callable(self.read), "a function")


def by_suffix(loaders: Mapping[str, Loader]) -> dict[str, Loader]:
    """Suffix -> the loader that reads such files by default."""
    return {suffix: loader for loader in loaders.values() for suffix in loader.suffixes}


def read_file(path: Path, shown: str, loader: Loader) -> Iterator[Row]:
    """The rows of one file; `shown` names it in messages.

    Raises DataError for a file that cannot be opened and whatever the loader finds, ConfigError
    with the loader's owner where the loader fails in another way.
    """
    try:
        for number, row in enumerate(loader.read(path, shown), start=1):
            where = f"{shown} row {number}"
            if isinstance(row, Row):
                yield row
            elif isinstance(row, Mapping):
                yield Row(row, where)
            else:
                raise DataError(
                    f"loader {loader.name!r} gave something that is no row of named values",
                    where=where, found=row, remedy="fix the plugin that brings the loader",
                )  # fmt: skip
    except LnatError:
        raise
    except FileNotFoundError:
        raise DataError("no such file", where=shown, remedy="check `dataset_path`") from None
    except OSError as cause:
        what = f"the file cannot be read: {cause.strerror or cause}"
        raise DataError(what, where=shown, remedy="check the path and its permissions") from cause
    except Exception as cause:
        what = f"loader {loader.name} failed: {type(cause).__name__}: {cause}"
        raise ConfigError(what, where=loader.owner, remedy="fix the plugin") from cause


def loader_of(path: Path, shown: str, loaders: Mapping[str, Loader]) -> Loader:
    """The loader for the file's suffix; DataError if there is none."""
    known = by_suffix(loaders)
    suffix = path.suffix.lower()
    if suffix not in known:
        raise DataError(
            "this kind of file is not read", where=shown, found=path.suffix or path.name,
            remedy=f"give one of {', '.join(known)}, or name a loader under `naturalness: loader`",
        )  # fmt: skip
    return known[suffix]


def _read_jsonl(path: Path, shown: str) -> Iterator[Row]:
    with path.open("rb") as lines:
        # splitting bytes at b"\n" only: str.splitlines would also cut at U+2028
        for number, raw in enumerate(lines, start=1):
            where = f"{shown} row {number}"
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if line.strip():
                yield _row(_parse_json(line, where), where)


def _read_json(path: Path, shown: str) -> Iterator[Row]:
    content = _parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), shown)
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DataError(
            'a .json file must hold a list of rows, or {"data": [...]}',
            where=shown, found=content,
            remedy="if every line is a row of its own, name the file .jsonl",
        )  # fmt: skip
    for number, values in enumerate(rows, start=1):
        yield _row(values, f"{shown} row {number}")


def _parse_json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as cause:
        raise DataError(
            "this is not UTF-8 text", where=where,
            found=data[max(0, cause.start - 10) : cause.end + 10], remedy="save the file as UTF-8",
        ) from None  # fmt: skip
    except json.JSONDecodeError as cause:
        line = f"line {cause.lineno} " if cause.lineno > 1 else ""
        remedy = "the text may be cut off; write the file again"
        if cause.msg == "Extra data":
            remedy = "if every line is a row of its own, name the file .jsonl"
        raise DataError(
            f"not valid JSON: {cause.msg.removesuffix(' at')} at {line}column {cause.colno}",
            where=where, found=cause.doc[max(0, cause.pos - 20) : cause.pos + 20], remedy=remedy,
        ) from None  # fmt: skip
    except (ValueError, RecursionError) as cause:
        what = f"not readable JSON: {cause}"
        raise DataError(what, where=where, remedy="write the file again") from None


def _row(values: Any, where: str) -> Row:
    if not isinstance(values, dict):
        raise DataError(
            "a row must be an object of named values",
            where=where, found=values,
            remedy='write {"prompt": ..., "response": ..., "teacher": ...}',
        )  # fmt: skip
    return Row(values, where)


def _read_csv(path: Path, shown: str) -> Iterator[Row]:
    # the default limit is 131,072 characters a cell; a trace is often longer
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *records = [cells for cells in csv.reader(file, strict=True) if cells] or [[]]
    except UnicodeDecodeError as cause:
        what = f"this is not UTF-8 text: {cause.reason} at byte {cause.start}"
        raise DataError(what, where=shown, remedy="save the file as UTF-8") from None
    except csv.Error as cause:
        remedy = "write the file again, or as .jsonl"
        raise DataError(f"not valid CSV: {cause}", where=shown, remedy=remedy) from None
    finally:
        csv.field_size_limit(limit)
    if len(set(header)) < len(header):
        raise DataError(
            "duplicate column name",
            where=f"{shown} header", found=header, remedy="rename one of them",
        )  # fmt: skip
    for number, record in enumerate(records, start=1):
        where = f"{shown} row {number}"
        if len(record) != len(header):
            raise DataError(
                f"the row has {len(record)} cells, the header {len(header)}",
                where=where, found=record,
                remedy="put cells that hold commas or line breaks in double quotes",
            )  # fmt: skip
        yield Row(dict(zip(header, record, strict=True)), where, typed=False)


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
            f"not a readable parquet file: {str(cause).splitlines()[0]}",
            where=shown, remedy="the file may be cut off; write it again",
        ) from None  # fmt: skip


LOADERS: Final[Mapping[str, Loader]] = MappingProxyType(
    {
        loader.name: loader
        for loader in (
            Loader("jsonl", (".jsonl", ".ndjson"), _read_jsonl),
            Loader("json", (".json",), _read_json),
            Loader("csv", (".csv",), _read_csv),
            Loader("parquet", (".parquet",), _read_parquet),
        )
    }
)
"""The loaders that ship with the package, by name."""
