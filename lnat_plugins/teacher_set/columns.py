"""Which columns the fields of a row are read from: `naturalness: columns:` and the defaults.

A field names one column, or a list of columns that are read together; in the wide layout, and
there only, fields of a response map teachers to columns. A column may be a dotted path into the
row (`response.body.choices`, `turns.0.text`). Null switches a default off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, create_model

from lnat_plugins.errors import ConfigError, did_you_mean, is_text, validate

_PROMPT: Final = ("prompt", "system", "instruction")
_REPLY: Final = ("response", "answer", "think")
_ABOUT: Final = ("teacher", "prompt_id", "sample", "correct", "steps")

LAYOUT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "long": (*_PROMPT, *_REPLY, *_ABOUT),
    "wide": (*_PROMPT, "responses", "answer", "think", "prompt_id", "correct", "steps"),
    "messages": ("messages", "scripted", "system", "instruction", *_REPLY, *_ABOUT),
    "prompt_completion": (*_PROMPT, *_REPLY, *_ABOUT),
    "nested": (*_PROMPT, *_REPLY, *_ABOUT, "responses"),
    "batch": _ABOUT,
}
"""The fields that a layout takes from columns."""

_DEFAULTS: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("system", "system_prompt"),
    "think": ("reasoning_content",),
    "messages": ("messages", "conversations", "conversation"),
    "answer": (),
    "instruction": (),
}
"""Columns that a field is read from where the YAML names none, the first that is filled; any other
field is read from the column of its own name."""

_LAYOUT_DEFAULTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("prompt_completion", "response"): ("completion",),
    ("messages", "response"): (),
    ("nested", "response"): ("response", "answer"),
    ("nested", "think"): ("think", "reasoning_content"),
    ("wide", "think"): (),
    ("batch", "prompt_id"): ("custom_id",),
}

_BY_TEACHER: Final = ("responses", "answer", "think", "correct", "steps")
_SEVERAL: Final = ("prompt", "response", "answer", "think", "correct")
"""Fields that may name a list of columns."""
_SWITCHED_OFF: Final = (
    "system", "instruction", "think", "prompt_id", "sample", "correct", "steps", "scripted"
)  # fmt: skip
"""Fields that null switches off."""


MEANING: Final[Mapping[str, str]] = {
    "prompt": "text, or a list of turns; of several columns the texts are joined by `\\n`, empty "
    "ones skipped",
    "system": "a system turn before the prompt; where the turns hold the same text already, once; "
    "where they hold another, the row is unusable",
    "instruction": "text before the prompt's, joined by `\\n`; read without being named beside a "
    "prompt `input`, and `input` beside a prompt `instruction`",
    "messages": "a list of turns; the last turn of the assistant is the response",
    "scripted": "places of assistant turns that the teacher did not write, counted from 0: with "
    "`turns: all` they are read and not scored",
    "response": "text; a list of texts or of columns: samples; an assistant turn; an API's "
    "`choices`",
    "responses": "wide: `{teacher: column}`, or a list of columns that are named like teachers; "
    "nested: the list of responses",
    "answer": "another name of `response`, or of `responses` in the wide layout",
    "think": "text before the answer, joined by `think_template`; null or empty: the answer alone",
    "teacher": "text, or a whole number",
    "prompt_id": "text, or a whole number; rows of one id answer the same prompt. Without ids "
    "rows with equal prompts do",
    "sample": "whole number or text, for several responses of a teacher to a prompt; without it "
    "they are 0, 1, … in their order",
    "correct": "true, 1, yes, correct, right, pass and their opposites, in any case; null, NaN "
    "or empty: not known",
    "steps": "a list of text that joins to the response exactly",
}
"""What a field may hold, as docs/teacher_sets.md says it."""


class FieldColumns(NamedTuple):
    """The columns of one field.

    columns: read together as a list with `together`; else alternatives, of which the first that is
        filled counts.
    named: the YAML names them, so they must be there.
    """

    columns: tuple[str, ...]
    named: bool = False
    together: bool = False


@dataclass(frozen=True)
class ColumnPlan:
    """The columns of every field of a layout.

    fields: without those that are switched off.
    by_teacher: of the wide layout: teacher -> columns of `response`, `think`, `correct`, `steps`.
    instruction: the column that belongs before the prompt's, and whether the prompt's own column
        is the instruction, followed by `input`: "before", "after" or "".
    """

    fields: Mapping[str, FieldColumns]
    by_teacher: Mapping[str, Mapping[str, FieldColumns]]
    instruction: str


def plan_columns(layout: str, columns: Mapping[str, Any]) -> ColumnPlan:
    """The columns of every field, those that the YAML names and the defaults."""
    off = {field for field, column in columns.items() if column is None}
    fields: dict[str, FieldColumns] = {}
    by_teacher: dict[str, dict[str, FieldColumns]] = {}
    for field in LAYOUT_COLUMNS[layout]:
        named = columns.get(field)
        if isinstance(named, Mapping):
            for teacher, own in named.items():
                name = "response" if field == "responses" else field
                by_teacher.setdefault(teacher, {})[name] = _named(own)
        elif named is not None:
            fields[field] = _named(named)
        elif field not in off and not (layout == "wide" and field in _BY_TEACHER):
            default = _LAYOUT_DEFAULTS.get((layout, field), _DEFAULTS.get(field, (field,)))
            if default:
                fields[field] = FieldColumns(default)
    prompt = fields["prompt"] if "prompt" in fields else FieldColumns(())
    where = ""
    if "instruction" not in off and "instruction" not in fields:
        if prompt == FieldColumns(("input",), named=True):
            fields["instruction"], where = FieldColumns(("instruction",)), "before"
        elif prompt == FieldColumns(("instruction",), named=True):
            fields["instruction"], where = FieldColumns(("input",)), "after"
    elif "instruction" in fields:
        where = "before"
    return ColumnPlan(fields, by_teacher, where)


def _named(column: str | tuple[str, ...]) -> FieldColumns:
    if isinstance(column, str):
        return FieldColumns((column,), named=True)
    return FieldColumns(column, named=True, together=True)


def parse_columns(layout: str, columns: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`naturalness: columns:` checked: field -> column, tuple of columns, None or, wide, a mapping.

    `answer` is another name of `response` (wide: of `responses`), and stands under that.

    Raises ConfigError for an unknown field, a column that is no text, a teacher without responses.
    """
    where = f"{source}: naturalness: columns"
    found = validate(
        COLUMN_MODELS[layout], dict(columns), where=source,
        key=f"key in `naturalness: columns` for the {layout} layout",
        prefix="naturalness: columns: ",
    ).model_dump(exclude_unset=True)  # fmt: skip
    if "answer" in found:
        name = "responses" if layout == "wide" else "response"
        if name in found:
            raise ConfigError(
                f"`{name}` and `answer` are two names of one field", where=where,
                found=[found[name], found["answer"]],
                remedy="keep one of them; `think` goes with either",
            )  # fmt: skip
        found[name] = found.pop("answer")
    if layout != "wide":
        return found
    if "responses" not in found:
        raise ConfigError(
            "the wide layout needs `responses`", where=where, found=sorted(found),
            remedy="write `responses: {QwQ: qwq_output, R1: r1_output}`, or a list of columns",
        )  # fmt: skip
    for name in ("think", "correct", "steps"):
        for teacher in found.get(name) or ():
            if teacher not in found["responses"]:
                raise ConfigError(
                    f"unknown teacher in `columns: {name}`", where=source, found=teacher,
                    remedy=did_you_mean(teacher, found["responses"]),
                )  # fmt: skip
    return found


def _column(value: Any) -> str:
    if not is_text(value):
        raise ValueError("this must be text")
    return value


def _columns(value: Any) -> str | tuple[str, ...]:
    """One column, or several that are read together."""
    if not isinstance(value, list | tuple):
        return _column(value)
    if not value or not all(is_text(column) for column in value):
        raise ValueError("this must be a list of columns")
    return tuple(value)


def _by_teacher(value: Any) -> dict[str, str | tuple[str, ...]]:
    """{teacher: columns}; a list of columns names teachers after their columns."""
    if isinstance(value, list | tuple) and value:
        value = {column: column for column in map(_name, value)}
    if not isinstance(value, Mapping) or not value:
        raise ValueError("this must map teachers to columns")
    return {
        _name(teacher): tuple(map(_name, own)) if isinstance(own, list | tuple) and own
        else _name(own)
        for teacher, own in value.items()
    }  # fmt: skip


def _name(value: Any) -> str:
    if not is_text(value):
        raise ValueError("every name must be text, in quotes")
    return value


_Column = Annotated[str, PlainValidator(_column)]
_Columns = Annotated[Any, PlainValidator(_columns)]
_ByTeacher = Annotated[dict[str, Any], PlainValidator(_by_teacher)]


class _Keys(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


def _model(layout: str) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name in LAYOUT_COLUMNS[layout]:
        by_teacher = layout == "wide" and name in _BY_TEACHER
        kind: Any = _ByTeacher if by_teacher else _Columns if name in _SEVERAL else _Column
        if name in _SWITCHED_OFF:
            kind = kind | None
        remedy = "write {QwQ: qwq_output, R1: r1}" if by_teacher else "give the name of one column"
        fields[name] = (
            kind, Field(None, description=MEANING[name], json_schema_extra={"remedy": remedy})
        )  # fmt: skip
    return create_model(f"_{layout}_columns", __base__=_Keys, **fields)


COLUMN_MODELS: Final = {layout: _model(layout) for layout in LAYOUT_COLUMNS}
