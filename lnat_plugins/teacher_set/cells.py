"""The cells of a row, read by the fields of its layout.

A cell that is null, or NaN as pandas writes a gap, counts as not filled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.teacher_set.columns import FieldColumns
from lnat_plugins.teacher_set.fields import check_json, check_unicode, checked_text, known
from lnat_plugins.teacher_set.unusable import NO_COLUMN

RESERVED: Final = (
    "teacher",
    "sample",
    "response",
    "correct",
    "steps",
    "turn",
    "conversation_turns",
)
"""Fields of a response; another column of that name is kept as row_<name>."""

ABSENT: Final = object()
"""What `lookup` gives for a column that is not there."""


def lookup(values: Any, column: str) -> Any:
    """The value under a column's name or, if there is none, under a dotted path; or ABSENT.

    A number in a path counts the items of a list from 0. A path through a null ends in null.
    """
    if isinstance(values, Mapping) and column in values:
        return values[column]
    head, dot, rest = column.partition(".")
    if not dot:
        if isinstance(values, list) and head.isdecimal() and int(head) < len(values):
            return values[int(head)]
        return ABSENT
    inner = lookup(values, head)
    if inner is ABSENT or inner is None:
        return inner
    return lookup(inner, rest)


class Cells:
    """A row, or an item of a nested row, by the fields of its layout.

    values: by column. where: for messages. typed: False where the file holds nothing but text, and
    an empty cell is one that is not filled. fields: the columns of every field.
    """

    __slots__ = ("fields", "typed", "values", "where")

    def __init__(
        self,
        values: Mapping[str, Any],
        where: str,
        typed: bool,
        fields: Mapping[str, FieldColumns],
    ) -> None:
        self.values = values
        self.where = where
        self.typed = typed
        self.fields = fields

    def has(self, field: str) -> bool:
        """Whether the row has a column of the field."""
        return field in self.fields and any(
            lookup(self.values, column) is not ABSENT for column in self.fields[field].columns
        )

    def column(self, field: str) -> str:
        """The column that the field is read from, or would be."""
        own = self.fields.get(field)
        if own is None:
            return field
        if len(own.columns) == 1:
            return own.columns[0]
        if own.together:
            return " + ".join(own.columns)
        there = [name for name in own.columns if lookup(self.values, name) is not ABSENT]
        filled = (name for name in there if known(lookup(self.values, name)) is not None)
        return next(filled, (there or own.columns)[0])

    def place(self, field: str) -> str:
        """File, row and column, for messages."""
        return f"{self.where}, column {self.column(field)!r}"

    def optional(self, field: str) -> Any:
        """The field's value, None where it is not filled; a list for columns read together.

        Raises DataError if a column that the YAML names is not there.
        """
        own = self.fields.get(field)
        if own is None:
            return None
        columns, named, together = own
        if together:
            return [self._cell(field, column, named) for column in columns]
        for column in columns:
            value = self.values.get(column)
            if value is None:
                if not named and "." not in column:
                    continue
                value = self._cell(field, column, named)
            if isinstance(value, float):
                value = known(value)
            if value is not None:
                return value
        return None

    def required(self, field: str) -> Any:
        """The field's value; its column must be there and filled."""
        value = self.optional(field)
        if value is None:
            if not self.has(field):
                raise self.missing(field, self.column(field))
            remedy = "fill it or remove the row"
            raise DataError("the value is null", where=self.place(field), remedy=remedy)
        return value

    def _cell(self, field: str, column: str, named: bool) -> Any:
        value = self.values.get(column, ABSENT)
        if value is ABSENT:
            if "." in column:
                value = lookup(self.values, column)
            if value is ABSENT:
                if named:
                    raise self.missing(field, column)
                return None
        return known(value)

    def missing(self, field: str, column: str) -> DataError:
        """That there is no such column."""
        columns = [str(name) for name in self.values]
        files = ", or each file's teacher: `dataset_path: {NAME: FILE}`"
        return DataError(
            f"{NO_COLUMN} {column!r}", where=self.where, found=", ".join(columns),
            remedy=f"name the right one under `naturalness: columns: {{{field}: ...}}`"
            + (files if field == "teacher" else "")
            + f"; {did_you_mean(column, columns)}",
        )  # fmt: skip

    def text(self, field: str) -> str:
        """The field's value, which must be text."""
        return checked_text(self.required(field), self.place(field))

    def extra(self, taken: Collection[str], dotted: Iterable[str] = ()) -> dict[str, Any]:
        """The values that JSON can hold, without the columns in `taken`.

        What the `dotted` paths among them lead to is left out, and what stands beside it is kept.
        """
        values = self.values
        for column in dotted:
            if column not in values:
                values = _without(values, column.split("."))
        kept = {}
        for name, value in values.items():
            if name in taken:
                continue
            if not check_json(value, f"{self.where}, column {name!r}"):
                continue
            check_unicode(str(name), f"{self.where}, a column's name")
            kept[f"row_{name}" if name in RESERVED else name] = value
        return kept


def _without(values: Any, path: list[str]) -> Any:
    """A copy of nested values without what a path leads to; of a list, without the list."""
    head, *rest = path
    if not isinstance(values, Mapping) or head not in values:
        return values
    kept = dict(values)
    if not rest or not isinstance(kept[head], Mapping):
        del kept[head]
    else:
        kept[head] = _without(kept[head], rest)
        if not kept[head]:
            del kept[head]
    return kept
