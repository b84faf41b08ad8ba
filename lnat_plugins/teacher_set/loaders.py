"""Loaders: what reads one kind of file, and how a file finds its loader.

Knows nothing of any file format or of which columns matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lnat_plugins.errors import ConfigError, DataError, did_you_mean


class Row(NamedTuple):
    """One row: its values by column, and where it stands ("traces.jsonl row 12").

    typed: False where the file holds nothing but text (CSV), so that "true", "1" and
        an empty cell have to be read as what they say.
    """

    values: Mapping[str, Any]
    where: str
    typed: bool = True


@dataclass(frozen=True)
class Loader:
    """A named way to read a file.

    Attributes:
        name: as written after `naturalness: loader:`.
        suffixes: of the files it reads unasked, in lower case (".jsonl"); none for a loader that
            is only used where it is named.
        read: (path, the file's name in messages) -> its rows, in order. A row is a `Row`, or a
            plain mapping of column to value, which is then counted from 1. Text must come out as
            it stands in the file. Raises DataError with file and row for what it cannot read.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, str], Iterable[Row | Mapping[str, Any]]]


def by_suffix(loaders: Mapping[str, Loader]) -> dict[str, Loader]:
    """Suffix -> the loader that reads such files unasked."""
    return {suffix: loader for loader in loaders.values() for suffix in loader.suffixes}


def get_loader(name: str, where: str, loaders: Mapping[str, Loader]) -> Loader:
    """The loader of that name.

    Raises:
        ConfigError: there is none; offers the nearest.
    """
    if name not in loaders:
        raise ConfigError(
            "unknown loader", where=where, found=name, remedy=did_you_mean(name, loaders)
        )
    return loaders[name]


def read_file(path: Path, shown: str, loader: Loader) -> Iterator[Row]:
    """The rows of one file; `shown` names it in messages.

    Raises:
        DataError: a file that is not there or cannot be opened, and whatever the loader finds.
    """
    try:
        for number, row in enumerate(loader.read(path, shown), start=1):
            yield row if isinstance(row, Row) else _counted(row, f"{shown} row {number}", loader)
    except FileNotFoundError:
        raise DataError("no such file", where=shown, remedy="check `dataset_path`") from None
    except OSError as cause:
        raise DataError(
            f"the file cannot be read: {cause.strerror or cause}",
            where=shown,
            remedy="check the path and its permissions",
        ) from cause


def loader_of(path: Path, shown: str, loaders: Mapping[str, Loader]) -> Loader:
    """The loader that the file's suffix asks for.

    Raises:
        DataError: none reads such files.
    """
    known = by_suffix(loaders)
    suffix = path.suffix.lower()
    if suffix not in known:
        raise DataError(
            "this kind of file is not read",
            where=shown,
            found=path.suffix or path.name,
            remedy=f"give one of {', '.join(known)}, or name a loader under `naturalness: loader`",
        )
    return known[suffix]


def _counted(values: object, where: str, loader: Loader) -> Row:
    if not isinstance(values, Mapping):
        raise DataError(
            f"loader {loader.name!r} gave something that is no row of named values",
            where=where,
            found=values,
            remedy="mend the plugin that brings the loader",
        )
    return Row(values, where)
