"""What a loader is: a named way to read files as rows, chosen by suffix or by name.

The loader is the one for the file's suffix, or the one that `naturalness: loader:` names. A file
that cannot be read is a DataError with the file's name; a row that is not a set of named values is
a DataError in its place among the rows, so that the other rows can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import (
    NAME_RULE,
    PASSES_ON,
    ConfigError,
    DataError,
    LnatError,
    class_and_text,
    is_name,
    require,
)
from lnat_plugins.files import require_regular

COMPRESSED: Final = (".gz", ".zst")
"""Suffixes of compressed files, behind that of the text in them."""


class Row(NamedTuple):
    """One row: its values by column, and where it is ("traces.jsonl row 12").

    typed: False where the file holds nothing but text (CSV, TSV): "true", "1" and an empty cell
        are then read as what they say.
    """

    values: Mapping[str, Any]
    where: str
    typed: bool = True


@dataclass(frozen=True)
class Loader:
    """A named way to read a file.

    Attributes:
        name: as written after `naturalness: loader:`.
        suffixes: of the files it reads by default, in lower case (".jsonl", ".jsonl.gz"); none for
            a loader that is only used where it is named.
        read: (path, the file's name in messages) -> its rows, in order. A row is a `Row`, or a
            mapping of column to value, which is then counted from 1, or a DataError in the place
            of a row that cannot be read, which is then left out. Text must come out as it is in
            the file. Raises DataError for a file that it cannot read.
        owner: the plugin that registered it, for messages; set by the registry.
        by_split: whether `read` takes the set's split ("train") as its third argument.

    Raises ConfigError for a field that is not as above.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Iterable[Row | Mapping[str, Any] | DataError]]
    owner: str = ""
    by_split: bool = False

    def __post_init__(self) -> None:
        require("loader", self, "name", is_name(self.name), NAME_RULE)
        suffixes: object = self.suffixes
        valid = isinstance(suffixes, tuple) and all(
            isinstance(suffix, str) and re.fullmatch(r"(\.[a-z0-9_]+)+", suffix)
            for suffix in suffixes
        )
        must_be = 'a tuple of lower-case suffixes such as (".jsonl",)'
        require("loader", self, "suffixes", valid, must_be)
        require("loader", self, "read", callable(self.read), "a function")


def by_suffix(loaders: Mapping[str, Loader]) -> dict[str, Loader]:
    """Suffix -> the loader that reads such files by default."""
    return {suffix: loader for loader in loaders.values() for suffix in loader.suffixes}


def suffix_of(path: PurePath, suffixes: Collection[str]) -> str:
    """The longest of the suffixes that the file's name ends with; "" if it ends with none."""
    parts = path.name.lower().split(".")
    longest_first = (".".join(["", *parts[i:]]) for i in range(1, len(parts)))
    return next((suffix for suffix in longest_first if suffix in suffixes), "")


def kinds_of_file(suffixes: Collection[str]) -> str:
    """The suffixes in words: ".jsonl, .csv, text also as .gz or .zst"."""
    packed = [suffix for suffix in suffixes if suffix.endswith(COMPRESSED)]
    plain = ", ".join(suffix for suffix in suffixes if suffix not in packed)
    return f"{plain}, text also as {' or '.join(COMPRESSED)}" if packed else plain


def read_file(
    path: Path, shown: str, loader: Loader, split: str = "train"
) -> Iterator[Row | DataError]:
    """The rows of one file; `shown` names it in messages. An error stands for a row without values.

    Raises DataError for a file that cannot be opened and whatever the loader finds, ConfigError
    with the loader's owner where the loader fails in another way.
    """
    require_regular(path, DataError, shown)
    try:
        read = loader.read(path, shown, split) if loader.by_split else loader.read(path, shown)
        for number, row in enumerate(read, start=1):
            if isinstance(row, Mapping):
                row = Row(row, f"{shown} row {number}")
            yield (
                row
                if isinstance(row, DataError)
                else _checked(row, f"{shown} row {number}", loader)
            )
    except (LnatError, *PASSES_ON):
        raise
    except FileNotFoundError:
        raise DataError("no such file", where=shown, remedy="check `dataset_path`") from None
    except EOFError as cause:
        what = f"the compressed file is cut off: {cause}"
        raise DataError(what, where=shown, remedy="write the file again") from None
    except OSError as cause:
        what = f"the file cannot be read: {cause.strerror or cause}"
        remedy = "check the path and its permissions"
        if cause.strerror is None:  # of a decompressor
            remedy = "the file may be cut off, or not be compressed; write it again"
        raise DataError(what, where=shown, remedy=remedy) from cause
    except BaseException as cause:
        what = f"loader {loader.name} failed: {class_and_text(cause)}"
        raise ConfigError(what, where=loader.owner, remedy="fix the plugin") from cause


def _checked(row: object, where: str, loader: Loader) -> Row:
    """The row that a loader gave; DataError if it is none. Values are checked as they are read."""

    def refused(what: str, found: object) -> DataError:
        what = f"loader {loader.name!r} gave {what}"
        return DataError(what, where=where, found=found, remedy=_FIX)

    if not isinstance(row, Row):
        raise refused("something that is no row of named values", row)
    values: object = row.values
    if not isinstance(values, Mapping):
        raise refused("a `Row` without named values", row)
    facts: tuple[object, object] = row.where, row.typed
    if not isinstance(facts[0], str) or not isinstance(facts[1], bool):
        raise refused("a `Row` whose `where` is no text, or whose `typed` no truth value", facts)
    if not _TEXT.issuperset(map(type, values)):
        for name in values:
            if not isinstance(name, str):
                raise refused("a column whose name is no text", name)
    return row


def refuse_incomparable(row: Row, columns: Iterable[str]) -> None:
    """Raise DataError if one of the row's columns holds, at any depth, what cannot be compared."""
    for column in columns:
        for value in _incomparable_in(row.values.get(column)):
            raise incomparable(f"{row.where}, column {column!r}", value)


def incomparable(where: str, value: object) -> DataError:
    """The error for what can be compared with no text, as arrays of numpy, and pandas' `NA`."""
    return DataError("the value cannot be compared", where=where, found=value, remedy=_FIX)


def comparable(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row's values without the columns that hold, at any depth, what cannot be compared."""
    return {name: one for name, one in values.items() if not [*_incomparable_in(one)]}


def _incomparable_in(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif not _is_comparable(one):
            yield one


def _is_comparable(value: Any) -> bool:
    try:
        bool(value == "")
    except Exception:  # noqa: BLE001 - whatever a class of the plugin's raises
        return False
    return True


_FIX: Final = "fix the plugin that brings the loader"
_TEXT: Final = frozenset({str})


def loader_of(path: Path, shown: str, loaders: Mapping[str, Loader]) -> Loader:
    """The loader for the file's suffix; DataError if there is none."""
    known = by_suffix(loaders)
    suffix = suffix_of(path, known)
    if not suffix:
        raise DataError(
            "this kind of file is not read", where=shown, found=path.suffix or path.name,
            remedy=f"give one of {kinds_of_file(known)}, or name a loader under "
            "`naturalness: loader`",
        )  # fmt: skip
    return known[suffix]
