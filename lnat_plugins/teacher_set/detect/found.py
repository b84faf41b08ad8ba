"""What was recognised, what stays to be asked, and the state of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.teacher_set.detect.profile import Column, Table

NONE: Final = "none"
"""What a hint says for a field that no column holds."""

_LISTED: Final = 12  # candidates of a question

FLAGS: Final = (
    "prompt",
    "system",
    "response",
    "think",
    "teacher",
    "correct",
    "sample",
    "prompt_id",
)
"""Hints that name columns."""


@dataclass(frozen=True)
class Hints:
    """What the user says of the data; each settles a question.

    prompt, response, think, correct: columns, several of them joined or a teacher each.
    system, teacher, sample, prompt_id: a column.
    A field may be `(NONE,)` or NONE: no column holds it.
    teachers: file -> whose it is.
    layout, turns, teacher_from: as in the YAML.
    """

    prompt: tuple[str, ...] = ()
    response: tuple[str, ...] = ()
    think: tuple[str, ...] = ()
    correct: tuple[str, ...] = ()
    system: str = ""
    teacher: str = ""
    sample: str = ""
    prompt_id: str = ""
    teachers: Mapping[str, str] = field(default_factory=dict)
    layout: str = ""
    turns: str = ""
    teacher_from: str = ""


class Question(NamedTuple):
    """What the data leaves open: what, the candidates in words, and the flag that settles it."""

    what: str
    candidates: tuple[str, ...]
    flag: str

    def as_error(self, where: str) -> ConfigError:
        """The question as the one error that a command ends with."""
        listed, more = self.candidates[:_LISTED], len(self.candidates) - _LISTED
        named = ", ".join(listed) + (f" and {more} more" if more > 0 else "")
        what = f"{self.what} (found {named})" if named else self.what
        return ConfigError(what, where=where, remedy=self.flag)


@dataclass(frozen=True)
class Detected:
    """A proposed definition and what it rests on.

    config: the YAML's keys without `class` and `task`; defaults are left out.
    layout: its name.
    roles: part ("prompt", "system", "response", "thinking", "teacher", "correctness", "sample",
        "prompt id") -> where it is read from, in words; "none" where there is none.
    doubts: what is likely and not certain, a sentence each.
    questions: what must be settled first; then `config` is empty.
    unused: columns that are not read.
    """

    config: Mapping[str, Any]
    layout: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    unused: tuple[str, ...] = ()


class Asked(Exception):  # noqa: N818
    """Ends a search with a question."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.what)
        self.question = question


@dataclass
class Search:
    """A search for the columns of a set.

    columns: of the YAML, as found so far. taken: columns that are read.
    groups: for every row its prompt, as text that equal prompts share.
    unread: keys of the items of a list that are not read, as paths.
    whole: whether every turn of the assistant is the response.
    """

    table: Table
    hints: Hints
    columns: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    groups: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    whole: bool = False

    def hinted(self, names: str | Sequence[str], flag: str) -> list[Column]:
        """The columns that a hint names; ConfigError for one that no row has."""
        found = []
        for name in [names] if isinstance(names, str) else names:
            column = self.table.column(name)
            alike = [one for one in self.table.columns.values() if one.name.strip() == name]
            if column is None and len(alike) == 1:
                column = alike[0]
            if column is None:
                raise ConfigError(
                    "no row has this column", where=f"--{flag}", found=name,
                    remedy=did_you_mean(name, self.table.columns),
                )  # fmt: skip
            if column.name in self.taken:
                raise ConfigError(
                    "this column is read as something else", where=f"--{flag}", found=name,
                    remedy="name another one, or leave it out",
                )  # fmt: skip
            found.append(column)
        return found

    def take(
        self, name: str, role: str, columns: Sequence[str], default: Iterable[str] = ()
    ) -> None:
        """Read a field from columns; the YAML leaves out those that are read by default."""
        self.taken.update(columns)
        self.roles[role] = " + ".join(columns)
        if len(columns) > 1 or columns[0] not in default:
            self.columns[name] = columns[0] if len(columns) == 1 else list(columns)

    def ask(self, what: str, candidates: Iterable[Column | str], flag: str) -> Asked:
        """A question, to be raised."""
        candidates = list(candidates)
        listed = (one if isinstance(one, str) else self.in_words(one) for one in candidates)
        coded = [one.name for one in candidates if not isinstance(one, str) and one.coded]
        if coded:
            flag = f"write {' and '.join(coded)} as values, to .jsonl or .parquet; or {flag}"
        return Asked(Question(what, tuple(listed), flag))

    def in_words(self, column: Column) -> str:
        """A column with what it holds: "output (text, 1,200 characters)"."""
        kinds = {
            "reply": "an answer", "texts": "lists of text", "object": "objects",
            "replies": "lists of answers", "verdicts": "lists of verdicts",
            "objects": "lists of objects", "list": "lists", "bool": "true or false",
        }  # fmt: skip
        kind = kinds.get(column.kind, column.kind or "empty")
        if column.coded:
            kind = "lists or objects written as text"
        if column.verdicts >= 0.9 and column.kind != "verdicts":
            kind = "verdicts"
        size = f", {column.chars:,.0f} characters" if column.chars and kind != "verdicts" else ""
        return f"{named(column.name)} ({kind}{size})"

    def paths(self) -> list[Column]:
        """The columns that are not read, an object's as the paths to the text and turns in it."""
        found = []
        for column in self.table.filled():
            if column.name in self.taken:
                continue
            inner = self.table.inner(column) if column.kind == "object" else []
            found += [c for c in inner if c.kind in ("text", "turns", "texts", "reply")] or [column]
        return found


def named(column: str) -> str:
    """A column's name for messages; in quotes if it is blank, or could not be seen as it is."""
    return column if column.strip() == column != "" and column.isprintable() else repr(column)
