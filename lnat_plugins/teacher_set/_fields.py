"""One row's fields, checked: text, messages, correctness, samples, steps, the rest.

Knows nothing of layouts or of other rows. Each check returns the value or raises a
DataError with file, row and column. No text is changed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.steps import supplied_spans
from lnat_plugins.teacher_set.loaders import Row

_MISSING: Final = object()

RESERVED: Final = ("teacher", "sample", "response", "correct", "steps")
"""Our own fields of a response; a spare column of that name is kept as row_<name>."""


@dataclass(frozen=True)
class Fields:
    """A row, with the names its columns go by.

    names: field -> column; fields in `named` were named by the user, so their column
        must be there.
    """

    row: Row
    names: Mapping[str, str]
    named: frozenset[str]

    def at(self, field: str) -> str:
        """Row and column, for messages."""
        return f"{self.row.where}, column {self.names.get(field, field)!r}"

    def required(self, field: str) -> Any:
        """The field's value; the column must be there and not null."""
        value = self.row.values.get(self.names[field], _MISSING)
        if value is _MISSING:
            raise self._missing(field)
        if value is None:
            raise DataError(
                "the value is null", where=self.at(field), remedy="fill it or remove the row"
            )
        return value

    def optional(self, field: str) -> Any:
        """The field's value, or None where there is none and no column was named."""
        if field not in self.names:
            return None
        value = self.row.values.get(self.names[field], _MISSING)
        if value is not _MISSING:
            return value
        if field in self.named:
            raise self._missing(field)
        return None

    def has(self, field: str) -> bool:
        return self.names[field] in self.row.values

    def _missing(self, field: str) -> DataError:
        column, columns = self.names[field], [str(name) for name in self.row.values]
        return DataError(
            f"there is no column {column!r}",
            where=self.row.where,
            found=", ".join(columns),
            remedy=f"name the right one under `naturalness: columns: {{{field}: ...}}`; "
            + did_you_mean(column, columns),
        )

    def extra(self, used: Iterable[str]) -> dict[str, Any]:
        """The columns not in `used`, as far as JSON can hold them."""
        taken = {self.names[field] for field in used if field in self.names}
        return spare(self.row.values, taken, self.row.where)


def spare(values: Mapping[str, Any], taken: Iterable[str], where: str) -> dict[str, Any]:
    """The values that JSON can hold, without the keys in `taken`."""
    left = set(values) - set(taken)
    kept = {}
    for name, value in values.items():
        if name in left:
            try:
                coded = json.dumps(value, ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError):
                continue
            _check_unicode(coded, f"{where}, column {name!r}")
            kept[f"row_{name}" if name in RESERVED else name] = value
    return kept


def checked_text(value: Any, where: str) -> str:
    """Text that is neither empty nor blank, and that UTF-8 can hold."""
    if not isinstance(value, str):
        raise DataError(
            f"this must be text, not {type(value).__name__}",
            where=where,
            found=value,
            remedy="write it as text, or name another column",
        )
    if not value.strip():
        raise DataError(
            "the text is empty" if not value else "the text is nothing but white space",
            where=where,
            found=value,
            remedy="fill it or remove the row",
        )
    _check_unicode(value, where)
    return value


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise DataError(
            f"a lone surrogate at character {cause.start}: no tokenizer can read it",
            where=where,
            found=text[max(0, cause.start - 10) : cause.end + 10],
            remedy="mend the row where it was written; half of an emoji is the usual cause",
        ) from None


def correctness(value: Any, where: str, typed: bool = True) -> bool | None:
    """True, False or None (not known) from a boolean, 0 or 1, or null."""
    if value is None or (not typed and value == ""):
        return None
    if not typed and isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise DataError(
        "`correct` must be true, false, 0, 1 or null",
        where=where,
        found=value,
        remedy="write the verdict as a boolean; `columns: {correct: null}` ignores the column",
    )


def sample_key(value: Any, where: str) -> int | str | None:
    """The value that tells several answers of one teacher apart."""
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise DataError(
        "`sample` must be a whole number or text",
        where=where,
        found=value,
        remedy="number a teacher's answers 0, 1, ...; `columns: {sample: null}` ignores the column",
    )


def prompt_key(value: Any, where: str) -> str | None:
    """The prompt's id as text; None where the row has none."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checked_text(value, where)


def supplied_steps(value: Any, text: str, where: str, typed: bool = True) -> tuple[str, ...] | None:
    """The row's own steps: a list of text that joins to the response exactly."""
    if value is None or (not typed and value == ""):
        return None
    if not typed and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list) or not all(isinstance(step, str) for step in value):
        raise DataError(
            "`steps` must be a list of text",
            where=where,
            found=value,
            remedy='write ["one step. ", "the next."]; `columns: {steps: null}` ignores the column',
        )
    supplied_spans(text, value, where)
    return tuple(value)
