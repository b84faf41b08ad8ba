"""One row as responses: how each layout gives prompt, teacher and text.

A layout is a function from a row's fields to the responses in it. Of a wide or nested row, the
responses that cannot be used are left out and counted; the others are kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import DataError, did_you_mean, is_text
from lnat_plugins.teacher_set.config import LAYOUT_COLUMNS, DataSpec
from lnat_plugins.teacher_set.fields import (
    checked_text,
    completion_text,
    correctness,
    extra_columns,
    known,
    prompt_messages,
    sample_key,
    split_conversation,
    supplied_steps,
)
from lnat_plugins.teacher_set.loaders import Row
from lnat_plugins.teacher_set.prompts import Message, Response
from lnat_plugins.teacher_set.unusable import NO_COLUMN, Tally

NO_RESPONSE: Final = "the teacher has no response in its column"

_ABSENT: Final = object()

_ABOUT_RESPONSE: Final = ("teacher", "sample", "correct", "steps")


class ParsedResponse(NamedTuple):
    """A response with the prompt it answers, before rows are joined."""

    prompt_id: str | None
    messages: tuple[Message, ...]
    response: Response


@dataclass(frozen=True)
class _Fields:
    """A row, or an item of a nested row, by the fields of its layout.

    names: field -> column. named: the fields that the YAML names, whose column must be there.
    teacher: whose file this is, or None where the row names its teachers.
    """

    row: Row
    names: Mapping[str, str]
    named: Collection[str]
    spec: DataSpec
    teacher: str | None
    tally: Tally

    def place(self, field: str) -> str:
        return f"{self.row.where}, column {self.names.get(field, field)!r}"

    def has(self, field: str) -> bool:
        return self.names.get(field) in self.row.values

    def required(self, field: str) -> Any:
        """The field's value; the column must be there and not null."""
        if not self.has(field):
            raise self._missing(field)
        value = self.optional(field)
        if value is None:
            remedy = "fill it or remove the row"
            raise DataError("the value is null", where=self.place(field), remedy=remedy)
        return value

    def optional(self, field: str) -> Any:
        """The field's value, or None where there is none and the YAML names no column."""
        value = self.row.values.get(self.names.get(field, ""), _ABSENT)
        if value is _ABSENT:
            if field in self.named:
                raise self._missing(field)
            return None
        return known(value) if isinstance(value, float) else value

    def _missing(self, field: str) -> DataError:
        column, columns = self.names[field], [str(name) for name in self.row.values]
        return DataError(
            f"{NO_COLUMN} {column!r}", where=self.row.where, found=", ".join(columns),
            remedy=f"name the right one under `naturalness: columns: {{{field}: ...}}`; "
            + did_you_mean(column, columns),
        )  # fmt: skip

    def text(self, field: str) -> str:
        return checked_text(self.required(field), self.place(field))

    def correct(self) -> bool | None:
        return correctness(self.optional("correct"), self.place("correct"), self.row.typed)

    def steps(self, text: str) -> tuple[str, ...] | None:
        return supplied_steps(self.optional("steps"), text, self.place("steps"), self.row.typed)

    def extra(self, *used: str) -> dict[str, Any]:
        """The columns of no field in `used`."""
        taken = {self.names[field] for field in used if field in self.names}
        return extra_columns(self.row.values, taken, self.row.where)

    def prompt_id(self) -> str | None:
        value = self.optional("prompt_id")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return None if value is None else checked_text(value, self.place("prompt_id"))

    def prompt(self) -> tuple[Message, ...]:
        return prompt_messages(self.required("prompt"), self.place("prompt"))

    def parsed(self, messages: tuple[Message, ...], text: str, *used: str) -> ParsedResponse:
        """The one response of a row that holds one; `used` are the layout's own fields."""
        teacher = self.text("teacher") if self.teacher is None else self.teacher
        about = _ABOUT_RESPONSE if self.teacher is None else _ABOUT_RESPONSE[1:]
        sample = sample_key(self.optional("sample"), self.place("sample"))
        response = Response(
            teacher=teacher,
            text=text,
            sample=0 if sample is None else sample,
            correct=self.correct(),
            steps=self.steps(text),
            extra=self.extra(*used, *about, "prompt_id"),
            where=self.row.where,
        )
        return ParsedResponse(self.prompt_id(), messages, response)


def parse_row(row: Row, spec: DataSpec, teacher: str | None, tally: Tally) -> list[ParsedResponse]:
    """The row's responses under the layout and the columns that the YAML names.

    `teacher` is whose file this is, or None where the row names its teachers. Of a row with several
    responses, those that cannot be used are left out and counted in `tally`.

    Raises DataError, with file, row and column, for a row that cannot be used as a whole.
    """
    names = {name: name for name in LAYOUT_COLUMNS[spec.layout]}
    if spec.layout == "prompt_completion":
        names["response"] = "completion"
    named = {name: column for name, column in spec.columns.items() if isinstance(column, str)}
    unused = {name for name, column in spec.columns.items() if column is None}
    names = {name: column for name, column in (names | named).items() if name not in unused}
    return _LAYOUTS[spec.layout](_Fields(row, names, named, spec, teacher, tally))


def _long(fields: _Fields) -> list[ParsedResponse]:
    text = fields.text("response")
    return [fields.parsed(fields.prompt(), text, "prompt", "response")]


def _prompt_completion(fields: _Fields) -> list[ParsedResponse]:
    text = completion_text(fields.required("response"), fields.place("response"))
    return [fields.parsed(fields.prompt(), text, "prompt", "response")]


def _messages(fields: _Fields) -> list[ParsedResponse]:
    messages, text = split_conversation(fields.required("messages"), fields.place("messages"))
    return [fields.parsed(messages, text, "messages")]


def _wide(fields: _Fields) -> list[ParsedResponse]:
    by_teacher = {field: fields.spec.columns.get(field) or {} for field in ("correct", "steps")}
    columns: Mapping[str, str] = fields.spec.columns["responses"]
    taken = {fields.names[field] for field in ("prompt", "prompt_id") if field in fields.names}
    taken |= {*columns.values(), *by_teacher["correct"].values(), *by_teacher["steps"].values()}
    extra = extra_columns(fields.row.values, taken, fields.row.where)
    found = []
    for teacher, column in columns.items():
        names = {field: own[teacher] for field, own in by_teacher.items() if teacher in own}
        names["response"] = column
        cell = replace(fields, names=names, named=names, teacher=teacher)
        try:
            found.append(_wide_response(fields, cell, extra))
        except DataError as error:
            fields.tally.leave_out(teacher, error)
    return found


def _wide_response(fields: _Fields, cell: _Fields, extra: dict[str, Any]) -> ParsedResponse:
    """One teacher's cell; `fields` are the row's."""
    value = cell.optional("response")
    if value is None or (value == "" and not fields.row.typed):
        raise DataError(
            f"{NO_RESPONSE} {cell.names['response']!r}", where=fields.row.where,
            remedy="fill it or remove the row", reason=NO_RESPONSE,
        )  # fmt: skip
    text = checked_text(value, cell.place("response"))
    response = Response(
        teacher=str(cell.teacher),
        text=text,
        correct=cell.correct(),
        steps=cell.steps(text),
        extra=extra,
        where=cell.place("response"),
    )
    return ParsedResponse(fields.prompt_id(), fields.prompt(), response)


def _nested(fields: _Fields) -> list[ParsedResponse]:
    items = fields.required("responses")
    if not isinstance(items, list) or not items:
        raise DataError(
            "this must be a list of responses", where=fields.place("responses"), found=items,
            remedy="choose the layout that the rows have: long, wide, messages or nested",
        )  # fmt: skip
    teachers = _beside(fields, "teacher", len(items))
    verdicts = _beside(fields, "correct", len(items))
    extra = fields.extra("prompt", "prompt_id", "responses", "teacher", "correct")
    # A column that the YAML names must be there: in the item, or beside the list.
    named = {field for field in _ABOUT_RESPONSE if field in fields.named and not fields.has(field)}
    count: Counter[str] = Counter()
    found = []
    for i, item in enumerate(items):
        where = f"{fields.place('responses')}, item {i + 1}"
        if not isinstance(item, Mapping):
            item = {fields.names["response"]: item}
        own = replace(fields, row=Row(item, where), named=named)
        teacher = ""
        try:
            teacher = fields.teacher or own.optional("teacher") or teachers[i] or f"response_{i}"
            teacher = checked_text(teacher, f"{where}, teacher")
            # An item that cannot be used keeps its number among the teacher's samples.
            number, count[teacher] = count[teacher], count[teacher] + 1
            found.append(_nested_response(fields, own, teacher, number, verdicts[i], extra))
        except DataError as error:
            fields.tally.leave_out(teacher if is_text(teacher) else "", error)
    return found


def _nested_response(
    fields: _Fields, own: _Fields, teacher: str, number: int, verdict: Any, extra: dict[str, Any]
) -> ParsedResponse:
    """One item; `fields` are the row's, `verdict` stands beside the list."""
    where = own.row.where
    inner = own.optional("correct")
    text = _item_text(own)
    sample = sample_key(own.optional("sample"), where)
    response = Response(
        teacher=teacher,
        text=text,
        sample=number if sample is None else sample,
        correct=correctness(verdict if inner is None else inner, where),
        steps=supplied_steps(own.optional("steps"), text, where),
        extra={**extra, **own.extra("response", "think", "answer", *_ABOUT_RESPONSE)},
        where=where,
    )
    return ParsedResponse(fields.prompt_id(), fields.prompt(), response)


def _item_text(item: _Fields) -> str:
    if item.has("response"):
        return item.text("response")
    if not (item.has("think") and item.has("answer")):
        raise DataError(
            "a response must be text, or hold its text by name",
            where=item.row.where, found=sorted(item.row.values),
            remedy="name the item's keys under `naturalness: columns:`: "
            "`response`, or `think` and `answer`",
        )  # fmt: skip
    parts = {field: item.text(field) for field in ("think", "answer")}
    # in one pass, because a part may itself hold "{answer}"
    return re.sub(r"\{(think|answer)\}", lambda match: parts[match[1]], item.spec.think_template)


def _beside(fields: _Fields, field: str, length: int) -> list[Any]:
    """A value an item, from the row's own column; None where there is none."""
    value = known(fields.row.values[fields.names[field]]) if fields.has(field) else None
    if value is None or (field == "teacher" and isinstance(value, str)):
        return [value] * length
    if not isinstance(value, list) or len(value) != length:
        raise DataError(
            f"this must be a list of {length}, one for each response",
            where=fields.place(field), found=value, remedy="make both lists equally long",
            reason="this must be a list with one value for each response",
        )  # fmt: skip
    return [known(one) for one in value]


_LAYOUTS: Final[Mapping[str, Callable[[_Fields], list[ParsedResponse]]]] = {
    "long": _long,
    "wide": _wide,
    "messages": _messages,
    "prompt_completion": _prompt_completion,
    "nested": _nested,
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
