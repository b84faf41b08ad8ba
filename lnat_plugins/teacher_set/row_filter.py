"""`naturalness: where`: rows kept by the value of any column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.teacher_set.config import Scalar
from lnat_plugins.teacher_set.fields import known
from lnat_plugins.teacher_set.loaders import Row, incomparable

_ABSENT: Final = object()


class RowFilter:
    """Which rows have one of the allowed values in every named column.

    A name that is no column's is a path into objects: `metadata.domain`. A row without the column
    counts as null there. Numbers compare as numbers; where a file holds nothing but text, numbers,
    true, false and null (an empty cell) are read from the text.

    Args:
        where: column or path -> the allowed values.
        source: the YAML's path, for messages.
    """

    def __init__(self, where: Mapping[str, tuple[Scalar, ...]], source: str) -> None:
        self._where = where
        self._source = source
        self._absent = dict.fromkeys(where)  # columns that no row had so far
        self._columns: dict[str, None] = {}

    def reason_against(self, row: Row) -> str | None:
        """Why the row is left out, naming the column; None if it is kept.

        Raises DataError for a value that cannot be compared.
        """
        for column, allowed in self._where.items():
            value = _look_up(row.values, column)
            if column in self._absent:
                if value is _ABSENT:
                    self._columns |= dict.fromkeys(map(str, row.values))
                else:
                    del self._absent[column]
            value = None if value is _ABSENT else known(value)
            try:
                kept = any(_equal(value, one, row.typed) for one in allowed)
            except Exception:  # noqa: BLE001 - whatever a class of a plugin's raises
                raise incomparable(f"{row.where}, column {column!r}", value) from None
            if not kept:
                return f"column {column!r}: the value is not among those of `where`"
        return None

    def refuse_absent(self) -> None:
        """Raise ConfigError for a column that no row had, after all rows are read."""
        for column in self._absent:
            raise ConfigError(
                "no row has this column", where=f"{self._source}: naturalness: where",
                found=column, remedy=did_you_mean(column, self._columns),
            )  # fmt: skip


def _look_up(values: Mapping[str, Any], column: str) -> Any:
    if column in values:
        return values[column]
    found: Any = values
    for part in column.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _ABSENT
        found = found[part]
    return found


def _equal(value: Any, allowed: Scalar, typed: bool) -> bool:
    if not typed and isinstance(value, str) and not isinstance(allowed, str):
        if allowed is None:
            return value == ""
        if isinstance(allowed, bool):
            return value.strip().lower() == str(allowed).lower()
        return _number(value) == allowed
    if isinstance(value, bool) or isinstance(allowed, bool):
        return value is allowed
    return bool(value == allowed)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
