"""One row as responses: how each layout gives prompt, teacher and text.

A layout is a function from a row to the responses in it. Responses that are not there (empty cells
of a wide row, nulls in a list) are counted, not scored.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from lnat_plugins.errors import PASSES_ON, DataError, LnatError
from lnat_plugins.teacher_set.batch import BATCH_COLUMNS, batch_replies, prompt_of
from lnat_plugins.teacher_set.cells import ABSENT, Cells, lookup
from lnat_plugins.teacher_set.columns import FieldColumns
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.conversations import (
    REPLY_KEYS,
    Reply,
    holds_reply,
    replies,
    split_conversation,
)
from lnat_plugins.teacher_set.fields import known, name_text
from lnat_plugins.teacher_set.loaders import Row, refuse_incomparable
from lnat_plugins.teacher_set.responses import (
    ABOUT,
    Asked,
    ParsedResponse,
    Reading,
    RowOf,
    is_empty,
    no_response,
    one_each,
)
from lnat_plugins.teacher_set.unusable import Tally
from lnat_plugins.teacher_set.whole_conversations import read_conversation


class RowReader(Reading):
    """Reads the rows of one set under its layout and its columns."""

    def read(self, row: Row, teacher: str | None) -> list[ParsedResponse]:
        """The row's responses.

        `teacher` is whose file this is, or None where the row names its teachers. Responses that
        cannot be used are left out and counted.

        Raises DataError, with file, row and column, for a row that cannot be used as a whole.
        """
        cells = Cells(row.values, row.where, row.typed, self.plan.fields)
        try:
            return _LAYOUTS[self.spec.layout](RowOf(self, cells, teacher))
        except (LnatError, *PASSES_ON):
            raise
        except Exception:
            plan = self.plan
            own = [plan.fields, *plan.by_teacher.values()]
            read = [column for one in own for field in one.values() for column in field.columns]
            heads = [column.partition(".")[0] for column in read]
            refuse_incomparable(row, [*read, *heads, *row.values])
            raise

    def writers(self, row: Row, teacher: str | None) -> list[str]:
        """The teachers of a row that cannot be used as a whole; "" where that is not known."""
        if teacher is not None:
            return [teacher]
        if self.plan.by_teacher:
            return list(self.plan.by_teacher)
        try:
            cells = Cells(row.values, row.where, row.typed, self.plan.fields)
            return [name_text(cells.optional("teacher"), row.where)]
        except DataError:
            return [""]


def parse_row(row: Row, spec: DataSpec, teacher: str | None, tally: Tally) -> list[ParsedResponse]:
    """The responses of a single row; see `RowReader`, which is quicker for many."""
    return RowReader(spec, tally).read(row, teacher)


def _column_replies(cells: Cells, value: Any) -> list[Reply | DataError]:
    """The answers in the response column, or in several, each of which holds one or more."""
    own = cells.fields["response"]
    if not own.together:
        return replies(value, cells.place("response"))
    return [
        reply
        for one, column in zip(value, own.columns, strict=True)
        for reply in _cell_replies(cells, one, column)
    ]


def _cell_replies(cells: Cells, value: Any, column: str) -> list[Reply | DataError]:
    """The answers in one of several columns; an error if it cannot be used."""
    if is_empty(value, cells.typed):
        return [no_response(column, cells.where)]
    try:
        return replies(value, f"{cells.where}, column {column!r}")
    except DataError as error:
        return [error]


def _own_answers(row: RowOf, asked: Asked, prompt: str) -> list[ParsedResponse]:
    """The answers in a row's own response column."""
    value = row.cells.required("response")
    found = _column_replies(row.cells, value)
    where = row.cells.where if len(found) == 1 else ""
    extra = row.extra(prompt, "response")
    return row.answers(found, asked, extra, listed=isinstance(value, list), where=where)


def _long(row: RowOf) -> list[ParsedResponse]:
    return _own_answers(row, row.asked(), "prompt")


def _messages(row: RowOf) -> list[ParsedResponse]:
    cells = row.cells
    if "response" in cells.fields:
        # the conversation is the prompt alone
        return _own_answers(row, row.asked("messages"), "messages")
    value, column = cells.required("messages"), cells.column("messages")
    if row.reader.spec.turns == "all":
        return _conversation(row, value, column)
    messages, reply = split_conversation(value, f"{cells.where}, column {column!r}")
    asked = row.behind_system(messages, (column,))
    return row.answers([reply], asked, row.extra("messages"), where=cells.where)


def _conversation(row: RowOf, value: Any, column: str) -> list[ParsedResponse]:
    cells = row.cells
    found = read_conversation(
        value, cells.optional("scripted"), row.reader.spec.think_template,
        f"{cells.where}, column {column!r}",
    )  # fmt: skip
    asked = row.behind_system(found.opening, (column,))
    # The row's own column may bring a system turn.
    added = asked.messages[: len(asked.messages) - len(found.opening)]
    extra = row.extra("messages", "scripted")
    parsed = row.answers([found.reply], asked, extra, where=cells.where)
    turns = (*added, *found.turns)
    return [one._replace(response=replace(one.response, turns=turns)) for one in parsed]


def _wide(row: RowOf) -> list[ParsedResponse]:
    by_teacher = row.reader.plan.by_teacher
    taken = {name for own in by_teacher.values() for one in own.values() for name in one.columns}
    extra = row.extra("prompt", also=taken)
    asked: Asked | None = None
    found = []
    for teacher, own in by_teacher.items():
        cells = Cells(row.cells.values, row.cells.where, row.cells.typed, own)
        one = row._replace(cells=cells, teacher=teacher)
        try:
            value = cells.optional("response")
            if is_empty(value, cells.typed):
                raise no_response(cells.column("response"), cells.where)
            asked = asked or row.asked()
            answers = _column_replies(cells, value)
            found += one.answers(answers, asked, extra, listed=isinstance(value, list))
        except DataError as error:
            row.reader.tally.leave_out(teacher, error)
    return found


def _nested(row: RowOf) -> list[ParsedResponse]:
    cells, fields = row.cells, row.cells.fields
    if not fields["responses"].named and not cells.has("responses") and cells.has("response"):
        return _long(row)
    items, place = cells.required("responses"), cells.place("responses")
    if not isinstance(items, list) or not items:
        raise DataError(
            "this must be a list of responses", where=place, found=items,
            remedy="choose the layout that the rows have: long, wide, messages or nested",
        )  # fmt: skip
    # A column that the YAML names must be there: in the item, or beside the list.
    own = {
        name: fields[name]._replace(named=fields[name].named and not cells.has(name))
        for name in ("response", "teacher", "think", *ABOUT)
        if name in fields
    }
    beside = {
        name: _beside(cells, name, len(items))
        for name in ("teacher", "correct", "think")
        if name in fields
    }
    asked = row.asked()
    extra = row.extra("prompt", "responses", "teacher")
    first: Counter[str] = Counter()
    found = []
    # Items get names of their own only where nothing in the row names a teacher.
    teacher_column = fields["teacher"].columns[0]
    unnamed = not cells.has("teacher") and not any(
        isinstance(item, Mapping) and lookup(item, teacher_column) is not ABSENT for item in items
    )
    for i, item in enumerate(items):
        own_says = {name: v[i] for name, v in beside.items() if known(v[i]) is not None}
        where = f"{place}, item {i + 1}"
        teacher = ""
        try:
            default = f"response_{i}" if unnamed else None
            one = _item(row, item, where, fields=own, beside=own_says, default=default)
            teacher = str(one.teacher)
            first[teacher] += 1
            found += _item_answers(one, asked, extra, first[teacher] - 1)
        except DataError as error:
            row.reader.tally.leave_out(teacher, error)
    return found


def _beside(cells: Cells, name: str, count: int) -> list[Any]:
    """A value for each item, from the row's own column; None where there is none."""
    column = cells.fields[name].columns[0]
    value = known(cells.values.get(column))
    if value is None or (name == "teacher" and not isinstance(value, list)):
        return [value] * count
    if name == "think" and not isinstance(value, list):
        return [None] * count
    return one_each(value, count, cells.place(name))


def _item(
    row: RowOf,
    item: Any,
    where: str,
    *,
    fields: Mapping[str, FieldColumns],
    beside: Mapping[str, Any],
    default: str | None,
) -> RowOf:
    """An item of a nested row as a row of its own, with what the row's own lists say of it.

    default: its teacher; None where the item must name it, as a row of the long layout must.
    """
    values = dict(item) if isinstance(item, Mapping) else {fields["response"].columns[0]: item}
    cells = Cells(values, where, row.cells.typed, fields)
    for name, value in beside.items():
        if cells.optional(name) is None:
            values[fields[name].columns[0]] = value
    teacher = row.teacher
    if teacher is None:
        named = cells.optional("teacher")
        if named is None and default is None and not row.cells.has("teacher"):
            named = cells.required("teacher")
        if named is None and default is not None:
            teacher = default
        else:
            teacher = name_text(named, cells.place("teacher"))
    return RowOf(row.reader, cells, teacher)


def _item_answers(
    item: RowOf, asked: Asked, extra: Mapping[str, Any], first: int
) -> list[ParsedResponse]:
    cells = item.cells
    own = item.extra("response", "teacher")
    if cells.has("response"):
        value = cells.required("response")
        found = _column_replies(cells, value)
        listed = isinstance(value, list)
    elif holds_reply(cells.values):
        found, listed = replies(cells.values, cells.where), False
        own = {name: value for name, value in own.items() if name not in REPLY_KEYS}
    else:
        raise DataError(
            "a response must be text, or hold its text by name",
            where=cells.where, found=sorted(cells.values),
            remedy="name the item's keys under `naturalness: columns:`: "
            "`response`, or `think` and `answer`",
        )  # fmt: skip
    where = cells.where if len(found) == 1 else ""
    extra = {**extra, **own}
    return item.answers(found, asked, extra, listed=listed, where=where, first=first)


def _batch(row: RowOf) -> list[ParsedResponse]:
    cells = row.cells
    custom_id = name_text(cells.required("prompt_id"), cells.place("prompt_id"))
    found = batch_replies(cells.values, cells.where)
    prompt = prompt_of(row.reader.prompts, custom_id, cells.where)
    extra = {**row.extra(also=BATCH_COLUMNS), **prompt.extra}
    where = cells.where if len(found) == 1 else ""
    row.reader.note("prompt", *row.reader.spec.prompts)
    asked = Asked(custom_id, prompt.messages)
    return row.answers(found, asked, extra, listed=len(found) > 1, where=where)


_LAYOUTS: Final[Mapping[str, Callable[[RowOf], list[ParsedResponse]]]] = {
    "long": _long,
    "wide": _wide,
    "messages": _messages,
    "prompt_completion": _long,
    "nested": _nested,
    "batch": _batch,
}


def reward_of(extra: Mapping[str, Any], where: str) -> float | None:
    """The column `reward` among a response's `extra`, or None if it has none.

    Raises DataError if it is no finite number.
    """
    value = extra.get("reward")
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise DataError("column 'reward' is not a number", where=where, found=value)
    return float(value)
