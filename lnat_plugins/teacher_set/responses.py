"""A row's prompt and its answers, whatever its layout: what all layouts share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.batch import BatchPrompts
from lnat_plugins.teacher_set.cells import Cells
from lnat_plugins.teacher_set.columns import FieldColumns, plan_columns
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.conversations import Reply, prompt_messages, with_system
from lnat_plugins.teacher_set.fields import (
    check_unicode,
    checked_text,
    correctness,
    name_text,
    sample_key,
    supplied_steps,
)
from lnat_plugins.teacher_set.prompts import Message, Response
from lnat_plugins.teacher_set.unusable import Tally

NO_RESPONSE: Final = "the teacher has no response in its column"

ABOUT: Final = ("sample", "correct", "steps")
"""Fields that say something of a response."""


_NOTHING: Final = (None,)
_BY_ANSWER: Final = ("think", *ABOUT)
_EVERYWHERE: Final = ("prompt_id", "think", "instruction", *ABOUT)


class ParsedResponse(NamedTuple):
    """A response with the prompt it answers, before rows are joined.

    numbered: whether the data gives the response's `sample`; else that is its place in the row.
    """

    prompt_id: str | None
    messages: tuple[Message, ...]
    response: Response
    numbered: bool = True


@dataclass
class Reading:
    """What the rows of one set are read by, and what is counted while they are.

    spec: the set's.
    tally: counts the responses that cannot be used.
    prompts: of the batch layout.
    used: part ("prompt", "system", "think") -> the columns it was read from, in the order of their
        appearance; filled while rows are read.
    """

    spec: DataSpec
    tally: Tally
    prompts: BatchPrompts = field(default_factory=dict)
    used: dict[str, dict[str, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan = plan_columns(self.spec.layout, self.spec.columns)
        self._noted: set[tuple[str, tuple[str, ...]]] = set()
        self._taken: dict[tuple[str, ...], _Taken] = {}

    def note(self, part: str, *columns: str) -> None:
        """Keep which columns a part of a prompt or a response was read from."""
        if (part, columns) not in self._noted:
            self._noted.add((part, columns))
            self.used.setdefault(part, {}).update(dict.fromkeys(columns))

    def columns_of(self, fields: tuple[str, ...]) -> _Taken:
        """The columns of several fields; kept, because every row needs those of the same fields."""
        if fields not in self._taken:
            own = [(name, self.plan.fields[name]) for name in fields if name in self.plan.fields]
            fixed = {c for _, one in own if _is_fixed(one) for c in one.columns}
            self._taken[fields] = _Taken(
                frozenset(fixed),
                tuple(column for column in fixed if "." in column),
                tuple(name for name, one in own if not _is_fixed(one)),
            )
        return self._taken[fields]


class _Taken(NamedTuple):
    """columns: of fields that one row reads as another; dotted: paths among them; open: fields
    with alternatives, of which each row has its own."""

    columns: frozenset[str]
    dotted: tuple[str, ...]
    open: tuple[str, ...]


def _is_fixed(own: FieldColumns) -> bool:
    return own.together or len(own.columns) == 1


class Asked(NamedTuple):
    """What a row's responses answer."""

    prompt_id: str | None
    messages: tuple[Message, ...]


class RowOf(NamedTuple):
    """A row, or an item of a nested one: its cells, and whose file it is from."""

    reader: Reading
    cells: Cells
    teacher: str | None

    def prompt_id(self) -> str | None:
        """The id of the prompt; None where the row has none."""
        value = self.cells.optional("prompt_id")
        if value is None or (value == "" and not self.cells.typed):
            return None
        return name_text(value, self.cells.place("prompt_id"))

    def asked(self, name: str = "prompt") -> Asked:
        """The prompt in a field's columns, behind the row's instruction and system text."""
        cells, plan = self.cells, self.reader.plan
        if plan.instruction or cells.fields[name].together:
            value, columns = self._joined(name)
        else:
            value, columns = cells.required(name), (cells.column(name),)
        messages = prompt_messages(value, f"{cells.where}, column {' + '.join(columns)!r}")
        return self.behind_system(messages, columns)

    def behind_system(self, messages: tuple[Message, ...], columns: tuple[str, ...]) -> Asked:
        """The turns behind the row's system text, if it has one."""
        self.reader.note("prompt", *columns)
        column = self.system_column()
        if column:
            self.reader.note("system", column)
            place = f"{self.cells.where}, column {column!r}"
            messages = with_system(messages, self._system_text(column), place)
        return Asked(self.prompt_id(), messages)

    def system_column(self) -> str:
        """The column of the row's system text; "" where it has none."""
        own = self.cells.fields.get("system")
        if own is None:
            return ""
        if own.named:
            value = self.cells.optional("system")
            return "" if value is None or value == "" else own.columns[0]
        for column in own.columns:
            value = self.cells.values.get(column)
            if isinstance(value, str) and value.strip():
                return column
        return ""

    def _system_text(self, column: str) -> Any:
        named = self.cells.fields["system"].named
        return self.cells.optional("system") if named else self.cells.values[column]

    def _joined(self, name: str) -> tuple[Any, tuple[str, ...]]:
        """A prompt of several columns: their texts, joined by a line break, and the columns."""
        cells, own = self.cells, self.cells.fields[name]
        texts = cells.optional(name) if own.together else [cells.optional(name)]
        columns = list(own.columns if own.together else (cells.column(name),))
        if where := self.reader.plan.instruction:
            more, column = cells.optional("instruction"), cells.column("instruction")
            if isinstance(texts[0], list | tuple):
                if more is None or more == "":
                    return texts[0], (columns[0],)
                raise DataError(
                    "an instruction beside a list of turns", where=cells.place("instruction"),
                    found=more,
                    remedy="put it into the turns; `columns: {instruction: null}` ignores it",
                )  # fmt: skip
            at = 0 if where == "before" else len(texts)
            texts, columns = list(texts), columns.copy()
            texts.insert(at, more)
            columns.insert(at, column)
        filled = {
            column: checked_text(text, f"{cells.where}, column {column!r}")
            for text, column in zip(texts, columns, strict=True)
            if text is not None and text != ""
        }
        if not filled:
            value = cells.required(name)
            checked_text("" if own.together else value, cells.place(name))
        return "\n".join(filled.values()), tuple(filled)

    def by_answer(self, name: str, value: Any, count: int, listed: bool) -> Sequence[Any]:
        """A field's values, one for each of `count` answers: a list of them, or one for one."""
        if value is None or (value == "" and not self.cells.typed):
            return [None] * count
        of_one = not isinstance(value, list) or (name == "steps" and not _lists(value))
        if count == 1 and (of_one or not listed):
            return [value]
        return one_each(value, count, self.cells.place(name))

    def answers(
        self,
        found: Sequence[Reply | DataError],
        asked: Asked,
        extra: dict[str, Any],
        *,
        listed: bool = False,
        where: str = "",
        first: int = 0,
    ) -> list[ParsedResponse]:
        """The answers of one teacher that a row holds, each with its verdict, number and steps.

        Args:
            found: the answers; an error for one that cannot be used, which is counted.
            asked: what they answer.
            extra: the row's other columns.
            listed: the answers stand in a list, or in several columns.
            where: for messages; else that of the answer.
            first: number of the first answer among the teacher's own in the row.
        """
        cells, count, teacher = self.cells, len(found), self.teacher
        if teacher is None:
            teacher = name_text(cells.required("teacher"), cells.place("teacher"))
        thoughts, numbers, verdicts, all_steps = [
            _NOTHING if value is None and count == 1 else self.by_answer(name, value, count, listed)
            for name in _BY_ANSWER
            for value in [cells.optional(name)]
        ]
        parsed = []
        rows = zip(found, thoughts, numbers, verdicts, all_steps, strict=True)
        for position, (reply, think, number, verdict, steps) in enumerate(rows):
            try:
                if isinstance(reply, DataError):
                    raise reply
                if think is not None and think != "":
                    self.reader.note("think", cells.column("think"))
                    reply = reply.with_thinking(think)
                text = reply.text(self.reader.spec.think_template)
                sample = None if number is None else sample_key(number, cells.place("sample"))
                if verdict is not None:
                    verdict = correctness(verdict, cells.place("correct"))
                if steps is not None:
                    steps = supplied_steps(steps, text, cells.place("steps"), cells.typed)
            except DataError as error:
                self.reader.tally.leave_out(teacher, error)
                continue
            reason = reply.finish_reason
            if isinstance(reason, str) and "finish_reason" not in extra:
                check_unicode(reason, f"{reply.where}, finish_reason")
            response = Response(
                teacher=teacher,
                text=text,
                # one that cannot be used keeps its number
                sample=first + position if sample is None else sample,
                correct=verdict,
                steps=steps,
                extra=extra if reason is None else {**extra, "finish_reason": reason},
                where=where or reply.where,
                parts=(reply.thinking, reply.answer) if reply.thinking else None,
            )
            parsed.append(ParsedResponse(*asked, response, sample is not None))
        return parsed

    def extra(self, *fields: str, also: Collection[str] = ()) -> dict[str, Any]:
        """The row's other columns: without those of `fields`, and those read in every layout."""
        cells = self.cells
        owner = ("teacher",) if self.teacher is None else ()
        taken = self.reader.columns_of((*fields, *owner, *_EVERYWHERE))
        own = {cells.column(name) for name in taken.open}
        if system := self.system_column():
            own.add(system)
        dotted = (*taken.dotted, *(column for column in also if "." in column))
        columns = taken.columns.union(own, also) if own or also else taken.columns
        return cells.extra(columns, dotted)


def _lists(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, list | None) for item in value)


def one_each(value: Any, count: int, place: str) -> list[Any]:
    """The value, which must be a list of `count`."""
    if not isinstance(value, list) or len(value) != count:
        raise DataError(
            f"this must be a list of {count}, one for each response",
            where=place, found=value, remedy="make both lists equally long",
            reason="this must be a list with one value for each response",
        )  # fmt: skip
    return value


def no_response(column: str, where: str) -> DataError:
    """That a teacher's cell in a row of several is not filled."""
    return DataError(
        f"{NO_RESPONSE} {column!r}", where=where, remedy="fill it or remove the row",
        reason=NO_RESPONSE,
    )  # fmt: skip


def is_empty(value: Any, typed: bool) -> bool:
    """Whether a cell is not filled: null, and in a file of nothing but text an empty one."""
    return value is None or (value == "" and not typed)
