"""One row's fields, checked: text, messages, correctness, samples, steps, the rest.

Knows nothing of layouts or of other rows. Each check returns the value or raises a
DataError with file, row and column. No text is changed.

Conversations: their shape, and where the prompt ends and the response begins.

Knows nothing of columns or teachers. Only `role` and `content` of a turn are kept; a
turn that holds more of what the student would read (reasoning, tool calls, images) is
refused, other keys are ignored.

One row as responses: how each layout says prompt, teacher and text.

Knows nothing of files or of other rows. A layout is a function from a row's fields to
the responses in it; a wide row's empty cells are counted, not invented.

The reward that a row may carry. Knows nothing of what is made of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.steps import supplied_spans
from lnat_plugins.teacher_set.config import LAYOUT_COLUMNS, DataSpec
from lnat_plugins.teacher_set.loaders import Row
from lnat_plugins.teacher_set.prompts import Message, Response

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


ROLES: Final = ("system", "developer", "user", "assistant", "tool")

_HOLDS_MORE: Final = (
    "audio",
    "function_call",
    "images",
    "reasoning",
    "reasoning_content",
    "thinking",
    "tool_calls",
)


def prompt_messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt, given as text (one user turn) or as a list of turns, checked."""
    if not isinstance(value, list | tuple):
        return ({"role": "user", "content": checked_text(value, where)},)
    return _ending_with_user(_turns(value, where), where)


def split_conversation(value: Any, where: str) -> tuple[tuple[Message, ...], str]:
    """The turns before the last assistant turn, and that turn's text."""
    turns = _turns(value, where)
    if all(turn["role"] != "assistant" for turn in turns):
        raise DataError(
            "the conversation has no assistant turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="the response is the last turn, of role assistant",
        )
    if turns[-1]["role"] != "assistant":
        raise DataError(
            "the conversation does not end with an assistant turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="cut it after the turn that is the response",
        )
    text = checked_text(turns[-1]["content"], f"{where}, last turn")
    return _ending_with_user(turns[:-1], where), text


def completion_text(value: Any, where: str) -> str:
    """A completion, given as text or as a list of one assistant turn."""
    if not isinstance(value, list | tuple):
        return checked_text(value, where)
    turns = _turns(value, where)
    if [turn["role"] for turn in turns] != ["assistant"]:
        raise DataError(
            "a completion must be exactly one assistant turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="move the turns before it into the prompt",
        )
    return checked_text(turns[0]["content"], where)


def _turns(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise DataError(
            "this must be a list of turns",
            where=where,
            found=value,
            remedy='write [{"role": "user", "content": ...}, {"role": "assistant", ...}]',
        )
    return tuple(_turn(turn, f"{where}, turn {i}") for i, turn in enumerate(value, start=1))


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, Mapping) or not {"role", "content"} <= set(turn):
        raise DataError(
            "a turn must have a `role` and a `content`",
            where=where,
            found=sorted(turn) if isinstance(turn, Mapping) else turn,
            remedy='from/value pairs (ShareGPT) must be rewritten as {"role": ..., "content": ...}',
        )
    role, content = turn["role"], turn["content"]
    if role not in ROLES:
        raise DataError(
            "unknown role", where=where, found=role, remedy=f"known: {', '.join(ROLES)}"
        )
    more = [key for key in _HOLDS_MORE if turn.get(key)]
    if more:
        raise DataError(
            "the turn holds more than its content, which would not be scored",
            where=where,
            found=more,
            remedy="put it into `content`, as the student is to read it",
        )
    if content != "":
        # an empty system turn is how some templates switch their default off
        checked_text(content, where)
    return {"role": role, "content": content}


def _ending_with_user(turns: tuple[Message, ...], where: str) -> tuple[Message, ...]:
    if not turns or turns[-1]["role"] not in ("user", "tool"):
        raise DataError(
            "the prompt must end with a user turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="the turn before the response is what it answers",
        )
    checked_text(turns[-1]["content"], f"{where}, the prompt's last turn")
    return turns


NO_RESPONSE: Final = "the teacher has no response in its column"


class ParsedResponse(NamedTuple):
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

    def parsed(
        self, messages: tuple[Message, ...], text: str, used: tuple[str, ...]
    ) -> ParsedResponse:
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
        return ParsedResponse(self.prompt_id(), messages, response)

    def prompt_id(self) -> str | None:
        return prompt_key(self.fields.optional("prompt_id"), self.fields.at("prompt_id"))

    def prompt(self) -> tuple[Message, ...]:
        return prompt_messages(self.fields.required("prompt"), self.fields.at("prompt"))


def parse_row(
    row: Row, spec: DataSpec, teacher: str | None, dropped: Counter[str]
) -> list[ParsedResponse]:
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


def _long(row: _Context) -> list[ParsedResponse]:
    text = checked_text(row.fields.required("response"), row.fields.at("response"))
    return [row.parsed(row.prompt(), text, ("prompt", "response"))]


def _prompt_completion(row: _Context) -> list[ParsedResponse]:
    value = row.fields.required("response")
    text = completion_text(value, row.fields.at("response"))
    return [row.parsed(row.prompt(), text, ("prompt", "response"))]


def _conversation(row: _Context) -> list[ParsedResponse]:
    value = row.fields.required("messages")
    messages, text = split_conversation(value, row.fields.at("messages"))
    return [row.parsed(messages, text, ("messages",))]


def _wide(row: _Context) -> list[ParsedResponse]:
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
        found.append(ParsedResponse(row.prompt_id(), row.prompt(), response))
    return found


def _nested(row: _Context) -> list[ParsedResponse]:
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
        found.append(ParsedResponse(row.prompt_id(), row.prompt(), response))
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


_LAYOUTS: Final[Mapping[str, Callable[[_Context], list[ParsedResponse]]]] = {
    "long": _long,
    "wide": _wide,
    "messages": _conversation,
    "prompt_completion": _prompt_completion,
    "nested": _nested,
}


def reward_of(extra: Mapping[str, Any], where: str) -> float | None:
    """The row's column `reward`, or None if it has none.

    Args:
        extra: the row's columns that are no fields of a response.
        where: file and row, for messages.

    Raises:
        DataError: it is no finite number.
    """
    value = extra.get("reward")
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise DataError("column 'reward' is not a number", where=where, found=value)
    return float(value)
