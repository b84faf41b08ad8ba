"""One row as responses: how each layout says prompt, teacher and text.

Knows nothing of files or of other rows. A layout is a function from a row's fields to
the responses in it; a wide row's empty cells are counted, not invented.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lnat_plugins.config import LAYOUT_COLUMNS, DataSpec
from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set import _messages
from lnat_plugins.teacher_set._fields import (
    Fields,
    checked_text,
    correctness,
    prompt_key,
    sample_key,
    spare,
    supplied_steps,
)
from lnat_plugins.teacher_set.loaders import Row
from lnat_plugins.teacher_set.prompts import Message, Response

NO_RESPONSE: Final = "the teacher has no response in its column"


class Candidate(NamedTuple):
    """A response with the prompt it answers, before rows are joined."""

    prompt_id: str | None
    messages: tuple[Message, ...]
    response: Response


@dataclass(frozen=True)
class _Context:
    """A row's fields, the teacher its file names, and what is left out of it."""

    fields: Fields
    spec: DataSpec
    teacher: str | None
    dropped: Counter[str]

    def name_teacher(self) -> str:
        if self.teacher is not None:
            return self.teacher
        return checked_text(self.fields.required("teacher"), self.fields.at("teacher"))

    def candidate(
        self, messages: tuple[Message, ...], text: str, used: tuple[str, ...]
    ) -> Candidate:
        """The one response of a row that holds one; `used` are the layout's own fields."""
        fields, typed = self.fields, self.fields.row.typed
        named_here = () if self.teacher is not None else ("teacher",)
        response = Response(
            teacher=self.name_teacher(),
            text=text,
            sample=_or_zero(sample_key(fields.optional("sample"), fields.at("sample"))),
            correct=correctness(fields.optional("correct"), fields.at("correct"), typed),
            steps=supplied_steps(fields.optional("steps"), text, fields.at("steps"), typed),
            extra=fields.extra((*used, *named_here, "prompt_id", "sample", "correct", "steps")),
            where=fields.row.where,
        )
        return Candidate(self.prompt_id(), messages, response)

    def prompt_id(self) -> str | None:
        return prompt_key(self.fields.optional("prompt_id"), self.fields.at("prompt_id"))

    def prompt(self) -> tuple[Message, ...]:
        return _messages.prompt_messages(self.fields.required("prompt"), self.fields.at("prompt"))


def candidates(
    row: Row, spec: DataSpec, teacher: str | None, dropped: Counter[str]
) -> list[Candidate]:
    """The row's responses under the set's layout.

    Args:
        teacher: whose file this is, or None where the row names its teachers.
        dropped: reason -> count, added to for responses that are not there.
    """
    names = {name: name for name in LAYOUT_COLUMNS[spec.layout]}
    if spec.layout == "prompt_completion":
        names["response"] = "completion"
    plain = {name: column for name, column in spec.columns.items() if isinstance(column, str)}
    unused = {name for name, column in spec.columns.items() if column is None}
    names = {name: column for name, column in {**names, **plain}.items() if name not in unused}
    fields = Fields(row, names, frozenset(plain))
    return _LAYOUTS[spec.layout](_Context(fields, spec, teacher, dropped))


def _long(row: _Context) -> list[Candidate]:
    text = checked_text(row.fields.required("response"), row.fields.at("response"))
    return [row.candidate(row.prompt(), text, ("prompt", "response"))]


def _prompt_completion(row: _Context) -> list[Candidate]:
    value = row.fields.required("response")
    text = _messages.completion_text(value, row.fields.at("response"))
    return [row.candidate(row.prompt(), text, ("prompt", "response"))]


def _conversation(row: _Context) -> list[Candidate]:
    value = row.fields.required("messages")
    messages, text = _messages.split_conversation(value, row.fields.at("messages"))
    return [row.candidate(messages, text, ("messages",))]


def _wide(row: _Context) -> list[Candidate]:
    columns: Mapping[str, str] = row.spec.columns["responses"]
    verdicts: Mapping[str, str] = row.spec.columns.get("correct") or {}
    cuts: Mapping[str, str] = row.spec.columns.get("steps") or {}
    values, typed = row.fields.row.values, row.fields.row.typed
    names_of = row.fields.names
    taken = {names_of[field] for field in ("prompt", "prompt_id") if field in names_of}
    taken |= {*columns.values(), *verdicts.values(), *cuts.values()}
    extra = spare(values, taken, row.fields.row.where)
    found = []
    for teacher, column in columns.items():
        names = {"response": column}
        names |= {"correct": verdicts[teacher]} if teacher in verdicts else {}
        names |= {"steps": cuts[teacher]} if teacher in cuts else {}
        cell = Fields(row.fields.row, names, frozenset(names))
        value = cell.optional("response")
        if value is None or (value == "" and not typed):
            row.dropped[NO_RESPONSE] += 1
            continue
        text = checked_text(value, cell.at("response"))
        response = Response(
            teacher=teacher,
            text=text,
            correct=correctness(cell.optional("correct"), cell.at("correct"), typed),
            steps=supplied_steps(cell.optional("steps"), text, cell.at("steps"), typed),
            extra=extra,
            where=cell.at("response"),
        )
        found.append(Candidate(row.prompt_id(), row.prompt(), response))
    return found


def _nested(row: _Context) -> list[Candidate]:
    fields, where = row.fields, row.fields.at("responses")
    items = fields.required("responses")
    if not isinstance(items, list) or not items:
        raise DataError(
            "this must be a list of responses",
            where=where,
            found=items,
            remedy="choose the layout that the rows have: long, wide, messages or nested",
        )
    teachers = _parallel(fields, "teacher", len(items), one_for_all=True)
    verdicts = _parallel(fields, "correct", len(items))
    extra = fields.extra(("prompt", "prompt_id", "responses", "teacher", "correct"))
    count: Counter[str] = Counter()
    found = []
    for i, item in enumerate(items):
        at = f"{where}, item {i + 1}"
        values = item if isinstance(item, Mapping) else {fields.names["response"]: item}
        # A column that the user named must be there: in the item, or beside the list.
        named = {f for f in fields.named if f in _OF_ITEMS and not fields.has(f)}
        named -= set() if isinstance(item, Mapping) else {"response"}
        item_of = Fields(Row(values, at), fields.names, frozenset(named))
        teacher = row.teacher or item_of.optional("teacher") or teachers[i] or f"response_{i}"
        teacher = checked_text(teacher, f"{at}, teacher")
        verdict = item_of.optional("correct")
        text = _item_text(item_of, row.spec.think_template)
        sample = sample_key(item_of.optional("sample"), at)
        response = Response(
            teacher=teacher,
            text=text,
            sample=count[teacher] if sample is None else sample,
            correct=correctness(verdicts[i] if verdict is None else verdict, at),
            steps=supplied_steps(item_of.optional("steps"), text, at),
            extra={**extra, **item_of.extra(
                ("response", "think", "answer", "teacher", "sample", "correct", "steps"))},
            where=at,
        )  # fmt: skip
        count[teacher] += 1
        found.append(Candidate(row.prompt_id(), row.prompt(), response))
    return found


def _item_text(item: Fields, template: str) -> str:
    if item.has("response"):
        return checked_text(item.required("response"), item.at("response"))
    if not (item.has("think") and item.has("answer")):
        raise DataError(
            "a response must be text, or hold its text by name",
            where=item.row.where,
            found=sorted(item.row.values),
            remedy="name the item's keys under `naturalness: columns:`: `response`, or `think` "
            "and `answer`",
        )
    parts = {name: checked_text(item.required(name), item.at(name)) for name in ("think", "answer")}
    return re.sub(r"\{(think|answer)\}", lambda match: parts[match[1]], template)


def _parallel(fields: Fields, field: str, length: int, one_for_all: bool = False) -> list[Any]:
    """A value an item, from a list beside the responses; None where there is none."""
    value = fields.row.values.get(fields.names[field]) if field in fields.names else None
    if value is None:
        return [None] * length
    if one_for_all and isinstance(value, str):
        return [value] * length
    if not isinstance(value, list) or len(value) != length:
        raise DataError(
            f"this must be a list of {length}, one for each response",
            where=fields.at(field),
            found=value,
            remedy="make both lists equally long",
        )
    return value


_OF_ITEMS: Final = ("teacher", "sample", "correct", "steps")


def _or_zero(sample: int | str | None) -> int | str:
    return 0 if sample is None else sample


_LAYOUTS: Final[Mapping[str, Callable[[_Context], list[Candidate]]]] = {
    "long": _long,
    "wide": _wide,
    "messages": _conversation,
    "prompt_completion": _prompt_completion,
    "nested": _nested,
}
