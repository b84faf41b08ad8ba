"""Rows that hold several teachers' responses: a column a teacher (wide), a list (nested)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.teacher_set.conversations import REPLY_KEYS
from lnat_plugins.teacher_set.detect.about import choose_correct, choose_sample
from lnat_plugins.teacher_set.detect.found import NONE, Hints, Search
from lnat_plugins.teacher_set.detect.names import Named, differing_parts, is_model_name, read_name
from lnat_plugins.teacher_set.detect.profile import Column, Table, as_key, same_text
from lnat_plugins.teacher_set.detect.replies import choose_response, choose_think, think_columns

_REPLIES: Final = ("text", "texts", "reply", "replies")
Family = dict[str, list[str]]
"""Of one teacher: part ("response", "think", "correct") -> its columns."""


def families(search: Search) -> dict[str, Family]:
    """The teachers that columns are named after, each with its columns of responses."""
    found: dict[str, Family] = {}
    bare_names: set[str] = set()
    named = [(read_name(column.name), column) for column in search.table.filled()]
    for name, column in [*named, *_inner_columns(search.table)]:
        if not name.rest or column.name in search.taken:
            continue
        bare = name.role == "" and name.rank == 1 and is_model_name(name.rest)
        fits = {
            "response": column.kind in _REPLIES and column.is_free,
            "think": column.kind in ("text", "texts") and column.is_free,
            "correct": column.verdicts >= 0.9,
        }
        part = "response" if bare else name.role
        if bare and fits["response"]:
            bare_names.add(name.rest)
        if fits.get(part):
            found.setdefault(name.rest, {}).setdefault(part, []).append(column.name)
    found = {teacher: own for teacher, own in found.items() if "response" in own}
    for columns in (columns for own in found.values() for columns in own.values()):
        columns.sort(key=lambda name: int(read_name(name).number or 0))
    # beside `r1_solution`, a `claude_summary` is something else
    said = {teacher: own for teacher, own in found.items() if teacher not in bare_names}
    return said or found


def _inner_columns(table: Table) -> list[tuple[Named, Column]]:
    """The text under the keys of objects (`answers: {QwQ: ..., R1: ...}`), by the keys' names."""
    found = []
    for column in [c for c in table.filled() if c.kind == "object"]:
        keys = {
            key: None for value in table.values(column.name) if isinstance(value, Mapping)
            for key in value
        }  # fmt: skip
        for key in keys:
            inner = table.column(f"{column.name}.{key}") if is_model_name(key) else None
            if inner is not None:
                found.append((Named("", 1, key), inner))
    return found


def are_models(teachers: Sequence[str]) -> bool:
    """Whether at least two names are names of models."""
    return len(teachers) > 1 and all(map(is_model_name, teachers))


def refuse_named_beside(search: Search, found: Mapping[str, Family]) -> None:
    """Ask where other columns name the teacher of each column, as `model_a` does of `response_a`.

    Raises Asked.
    """
    for column in search.table.filled():
        for teacher in found:
            beside = re.fullmatch(rf"(model|teacher|generator)_{re.escape(teacher)}", column.name)
            if beside and column.is_names and column.distinct > 1:
                raise search.ask(
                    f"{column.name} names the teacher of another column row by row, which no "
                    "layout reads",
                    [c for own in found.values() for c in own["response"]],
                    "write a row a response, with a column `teacher`",
                )  # fmt: skip


def take_wide(search: Search, found: Mapping[str, Family]) -> list[str]:
    """Name the columns of every teacher; returns the teachers."""
    hint = search.hints.response
    if hint:
        columns = [column.name for column in search.hinted(hint, "response")]
        named = {own: next((t for t, f in found.items() if own in f["response"]), "")
                 for own in columns}  # fmt: skip
        if len(set(filter(None, named.values()))) < len(columns):
            named = dict(zip(columns, differing_parts(columns), strict=True))
        found = {named[c]: {**found.get(named[c], {}), "response": [c]} for c in columns}
    words = {"response": "responses", "think": "think", "correct": "correct"}
    roles = {"response": "response", "think": "thinking", "correct": "correctness"}
    for part, field in words.items():
        given = getattr(search.hints, part)
        if given == (NONE,):
            continue
        if given and part != "response":
            columns = [column.name for column in search.hinted(given, part)]
            if len(columns) != len(found):
                raise ConfigError(
                    f"the wide layout needs a column for each of {len(found)} teachers",
                    where=f"--{part}", found=columns, remedy="name them in the order of "
                    + ", ".join(found),
                )  # fmt: skip
            for family, column in zip(found.values(), columns, strict=True):
                family[part] = [column]
        own = {teacher: family[part] for teacher, family in found.items() if part in family}
        for teacher, columns in own.items():
            if len(columns) != len(found[teacher]["response"]):
                raise search.ask(
                    f"several columns may be the {roles[part]} of {teacher}", columns,
                    f"name one for each teacher: --{part} COL,COL, or --{part} none",
                )  # fmt: skip
        if own:
            short = {t: c[0] if len(c) == 1 else c for t, c in own.items()}
            search.columns[field] = short
            search.taken.update(c for several in own.values() for c in several)
            search.roles[roles[part]] = "; ".join(f"{t}: {' + '.join(c)}" for t, c in own.items())
    search.roles["teacher"] = "the columns' names: " + ", ".join(found)
    if not hint:
        _name_unread(search, [c for own in found.values() for c in own["response"]])
    return list(found)


def _name_unread(search: Search, read: list[str]) -> None:
    """Say which columns of free text may be further teachers'."""
    table = search.table
    objects = {name.rpartition(".")[0] for name in read if name not in table.names}
    beside = [c for name in objects if (own := table.column(name)) for c in table.inner(own)]
    more = [
        c.name for c in [*table.filled(), *beside]
        if c.is_free and c.name not in {*search.taken, *objects}
        and (c in beside or (read_name(c.name).role == "" and read_name(c.name).rank == 1))
    ]  # fmt: skip
    if more:
        search.doubts.append(
            f"{', '.join(more)} may hold the responses of further teachers and is not read: "
            f"--layout wide --response {','.join([*read, *more])}"
        )


def nested_column(search: Search) -> tuple[Column, str] | None:
    """The column with a list of responses, and the column or the key of their teachers."""
    table, hints = search.table, search.hints
    candidates = [c for c in table.filled() if c.kind in ("texts", "objects", "replies")]
    if hints.response:
        candidates = search.hinted(hints.response, "response")
    found = []
    for column in candidates:
        if not hints.response and read_name(column.name).role not in ("response", ""):
            continue
        if column.kind == "texts" and (column.is_free or hints.response):
            beside = _names_beside(search, column)
            if beside:
                found.append((column, beside))
        if column.kind in ("objects", "replies"):
            inner, _ = _items(table, column.name)
            named = [c for c in inner.filled() if read_name(c.name).role == "teacher"]
            texts = [c for c in inner.filled() if c.kind == "text" and c.words >= 2]
            if len(named) == 1 and named[0].is_names and texts:
                found.append((column, named[0].name))
    found = [one for one in found if read_name(one[0].name).role == "response"] or found
    first = table.values(found[0][0].name) if found else []
    if not all(same_text(first, table.values(column.name)) for column, _ in found):
        raise search.ask(
            "several columns may hold the lists of responses", [column for column, _ in found],
            "name the one: --response COL",
        )  # fmt: skip
    return found[0] if found else None


def _items(table: Table, column: str) -> tuple[Table, list[str]]:
    """The items of a column's lists as rows, and for each the row that it stands in."""
    items = [
        (str(row), item) for row, value in enumerate(table.values(column))
        if isinstance(value, list) for item in value if isinstance(item, Mapping)
    ]  # fmt: skip
    return Table({column: [item for _, item in items]}), [row for row, _ in items]


def _names_beside(search: Search, column: Column) -> str:
    """The column of lists of names, as long as the lists of responses."""
    own = search.table.values(column.name)
    for other in search.table.filled():
        hinted = other.name == search.hints.teacher
        if other.kind != "texts" or other is column:
            continue
        if not hinted and read_name(other.name).role != "teacher":
            continue
        if _equally_long(own, search.table.values(other.name)):
            return other.name
    return ""


def _equally_long(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two columns hold lists of one length, in nine rows of ten."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    equal = sum(isinstance(a, list) and isinstance(b, list) and len(a) == len(b) for a, b in pairs)
    return bool(pairs) and equal >= 0.9 * len(pairs)


def take_nested(search: Search, column: Column, teacher: str) -> list[str]:
    """Name the list of responses, its teachers and what its items hold; returns the teachers."""
    search.take("responses", "response", [column.name], ("responses",))
    search.roles["teacher"] = teacher
    if teacher != "teacher":
        search.columns["teacher"] = teacher
    if column.kind == "texts":
        search.taken.add(teacher)
        choose_correct(search, lists=True)
        responses = search.table.values(column.name)
        beside = [
            c for c in think_columns(search)
            if c.kind == "texts" and _equally_long(responses, search.table.values(c.name))
        ]  # fmt: skip
        choose_think(search, beside, responses)
        values = search.table.values(teacher)
        return [name for own in values if isinstance(own, list) for name in map(str, own)]
    _take_items(search, column, teacher)
    items, _ = _items(search.table, column.name)
    return [str(value) for value in items.values(teacher) if value is not None]


def _take_items(search: Search, column: Column, teacher: str) -> None:
    """Name the keys of a list's items: response, thinking and verdict; say what is not read."""
    table, rows = _items(search.table, column.name)
    hints = Hints(think=search.hints.think, correct=search.hints.correct)
    inner = Search(table, hints, taken={teacher}, groups=rows)
    mostly = [c for c in table.filled() if c.filled * 2 > len(rows)]
    turns = [c.name for c in mostly if c.name in REPLY_KEYS]
    if "content" in turns or "message" in turns:
        inner.taken.update(turns)
        own = "content" if "content" in turns else "message"
        choose_think(inner, think_columns(inner), table.values(own))
    else:
        choose_response(inner)
    choose_sample(inner, [as_key(value) for value in table.values(teacher)])
    choose_correct(inner)
    if "correctness" not in inner.roles and "correct" not in inner.columns:
        choose_correct(search, lists=True)
    default = {name: name for name in ("response", "think", "correct", "sample")}
    search.columns |= {
        part: own for part, own in inner.columns.items() if own != default.get(part)
    }  # fmt: skip
    search.roles |= {role: f"{column.name}: {own}" for role, own in inner.roles.items()}
    search.doubts += inner.doubts
    unread = [c for c in table.filled() if c.name not in inner.taken]
    search.unread += [f"{column.name}.{c.name}" for c in unread]
    asked = [
        c.name for c in unread
        if read_name(c.name).role in ("prompt", "system") and c.kind in ("text", "turns")
    ]  # fmt: skip
    if asked:
        search.doubts.append(
            f"{' and '.join(asked)} in the items of {column.name} may belong to the prompts and is "
            "not read: if it does, write a row a response"
        )


def says_the_same(search: Search, conversation: Column, response: Column) -> bool:
    """Whether a conversation ends with the text of a response column."""
    values: list[Any] = search.table.values(conversation.name)
    return same_text(values, search.table.values(response.name))
