"""Which columns say something of a response: verdict, sample, id of the prompt, system."""

from __future__ import annotations

from typing import Final

from lnat_plugins.teacher_set.cells import ABSENT, lookup
from lnat_plugins.teacher_set.detect.found import FLAGS, NONE, Search
from lnat_plugins.teacher_set.detect.names import ID_NAMES, SAMPLE_NAMES, read_name
from lnat_plugins.teacher_set.detect.profile import as_key
from lnat_plugins.teacher_set.fields import known

_MOSTLY: Final = 0.9  # of the values of a column must be verdicts
_LISTS: Final = ("verdicts", "texts", "list")
_NAMED: Final = 0.7  # where the name says so too
_READ_BY_DEFAULT: Final = ("system", "system_prompt")


def choose_system(search: Search) -> None:
    """Name the column of the system text, unless it is read by default."""
    hint = search.hints.system
    if hint == NONE:
        if any(search.table.column(name) for name in _READ_BY_DEFAULT):
            search.columns["system"] = None
        return
    if hint:
        search.take("system", "system", [search.hinted(hint, "system")[0].name])
        return
    found = [
        c.name for c in search.table.filled()
        if read_name(c.name).role == "system" and c.kind == "text" and c.name not in search.taken
    ]  # fmt: skip
    read = [name for name in found if name in _READ_BY_DEFAULT]
    if not read and len(found) == 1:
        read = found
    if read:
        search.take("system", "system", read[:1], _READ_BY_DEFAULT)
    other = [name for name in found if name not in read]
    if other:
        search.doubts.append(
            f"{' and '.join(other)} may be a system text and is not read: --system {other[0]}"
        )


def choose_correct(search: Search, *, lists: bool = False) -> None:
    """Name the column of verdicts; with `lists` one of a list for each row's responses."""
    table, hint = search.table, search.hints.correct
    default = table.column("correct")
    if hint:
        if hint == (NONE,):
            if default:
                search.columns["correct"] = None
            return
        found = search.hinted(hint, "correct")
        search.take("correct", "correctness", [c.name for c in found], ("correct",))
        return
    free = [
        c for c in table.filled()
        if c.name not in search.taken and (c.kind in _LISTS or not lists)
    ]  # fmt: skip
    only = [c for c in free if c.verdicts >= _MOSTLY]
    found = [c for c in free if c.verdicts >= _NAMED and read_name(c.name).role == "correct"]
    values = [table.values(c.name) for c in found]
    if default in found:
        found = [c for c in found if c.name == "correct"]
    elif len(found) > 1 and all(one == values[0] for one in values):
        found = found[:1]
    if len(found) > 1:
        raise search.ask(
            "several columns may say whether a response is correct", found,
            "name the one: --correct COL, or --correct none",
        )  # fmt: skip
    if default and default.filled and default not in found:
        search.columns["correct"] = None
        what = "lists of verdicts" if lists else "verdicts"
        search.doubts.append(f"the column 'correct' holds no {what} and is not read")
    if found:
        search.take("correct", "correctness", [found[0].name], ("correct",))
        if found[0].verdicts < 1:
            search.doubts.append(
                f"{found[0].name} holds other values than verdicts in some rows, which are left "
                "out: --correct none keeps them"
            )
        return
    numbers = (*SAMPLE_NAMES, *ID_NAMES)
    maybe = [c.name for c in only if c.distinct > 1 and c.name not in numbers]
    if maybe:
        search.doubts.append(
            f"{' and '.join(maybe)} may say whether a response is correct: --correct {maybe[0]}"
        )


def choose_sample(search: Search, teachers: list[str]) -> None:
    """Name the column that numbers a teacher's responses to one prompt, where there are several."""
    table, hint = search.table, search.hints.sample
    default = table.column("sample")
    if hint == NONE:
        if default:
            search.columns["sample"] = None
        return
    if hint:
        search.take("sample", "sample", [search.hinted(hint, "sample")[0].name], ("sample",))
        return
    writers = [f"{group}\0{own}" for group, own in zip(search.groups, teachers, strict=True)]
    found = []
    for name in SAMPLE_NAMES:
        column = table.column(name)
        if column and column.kind in ("number", "text") and column.words <= 2:
            keys = map(as_key, table.values(name))
            own = [f"{writer}\0{key}" for writer, key in zip(writers, keys, strict=True)]
            if len(set(own)) == len(own) and column.filled == len(own):
                found.append(name)
    if len(set(writers)) < len(writers) and found:
        search.take("sample", "sample", [found[0]], ("sample",))
    elif default and default.filled and "sample" not in found and "sample" not in search.taken:
        search.columns["sample"] = None
        search.doubts.append("the column 'sample' does not number a teacher's responses: not read")


def choose_prompt_id(search: Search) -> None:
    """Name the column that identifies the prompts, one value for each."""
    table, hint = search.table, search.hints.prompt_id
    default = table.column("prompt_id")
    if hint == NONE:
        if default:
            search.columns["prompt_id"] = None
        return
    if hint:
        own = search.hinted(hint, "prompt_id")[0].name
        search.take("prompt_id", "prompt id", [own], ("prompt_id",))
        return
    repeats = len(set(search.groups)) < len(search.groups)
    for name in ID_NAMES:
        column = table.column(name)
        usable = column and column.kind in ("text", "number") and name not in search.taken
        if not usable or column is None or column.filled < len(table.rows):
            continue
        keys = [as_key(value) for value in table.values(name)]
        pairs = set(zip(keys, search.groups, strict=True))
        if len(set(search.groups)) == len(set(keys)) == len(pairs) and repeats:
            search.take("prompt_id", "prompt id", [name], ("prompt_id",))
            return
    if default is not None and default.filled:
        keys = [as_key(value) for value in table.values("prompt_id")]
        pairs = {pair for pair in zip(keys, search.groups, strict=True) if pair[0] != "null"}
        ids = {key for key, _ in pairs}
        if len(pairs) - len(ids) > max(1, 0.05 * len(ids)):
            raise search.ask(
                "rows of one prompt_id have different prompts", [default],
                "correct the ids, or leave them unread: --prompt_id none",
            )  # fmt: skip
        if repeats and len(set(keys)) == len(keys):
            search.columns["prompt_id"] = None
            search.doubts.append(
                "the column 'prompt_id' numbers rows, not prompts, and is not read"
            )
        else:
            search.take("prompt_id", "prompt id", ["prompt_id"], ("prompt_id",))


def choose_steps(search: Search) -> None:
    """Switch the column `steps` off where it holds no lists of text."""
    column = search.table.column("steps")
    if column and column.filled and "steps" not in search.taken:
        if column.kind == "texts":
            search.take("steps", "steps", ["steps"], ("steps",))
        else:
            search.columns["steps"] = None
            search.doubts.append("the column 'steps' holds no lists of text and is not read")


_OPTIONAL: Final = ("system", "think", "correct", "sample", "prompt_id")
_ABSENT: Final = 0.05  # of the rows may lack a column


def refuse_absent(search: Search) -> None:
    """Ask where many rows lack a column that few sets need: they would be left out for it.

    Raises Asked.
    """
    optional = {name for part in _OPTIONAL if isinstance(name := search.columns.get(part), str)}
    others = search.taken - optional
    rows = [
        (row, file) for row, file in zip(search.table.rows, search.table.file_of, strict=True)
        if any(known(lookup(row, name)) not in (ABSENT, None) for name in others)
    ]  # fmt: skip
    for part in _OPTIONAL:
        name = search.columns.get(part)
        if not isinstance(name, str) or search.table.column(name) is None:
            continue
        without = [file for row, file in rows if lookup(row, name) is ABSENT]
        if len(without) > max(1, _ABSENT * len(rows)):
            raise search.ask(
                f"{len(without)} of the {len(rows)} rows looked at lack the column {name} "
                f"({', '.join(dict.fromkeys(without))}), and would be left out for it", (),
                "write it into every row, null where it is not known, or leave the column out: "
                f"--{part} none",
            )  # fmt: skip


def refuse_coded(search: Search) -> None:
    """Ask where a column that is read spells lists out as text, whose marks would be scored.

    Raises Asked.
    """
    given = {name for flag in FLAGS for name in _listed(getattr(search.hints, flag))}
    coded = [c for c in search.table.filled() if c.coded and c.name in search.taken - given]
    if coded:
        raise search.ask(
            "lists or objects are written as text, and would be read as they stand", coded,
            "if the text itself is meant, name the columns (--prompt, --response, --teacher, "
            "--think)",
        )  # fmt: skip


def _listed(hint: str | tuple[str, ...]) -> tuple[str, ...]:
    return (hint,) if isinstance(hint, str) else hint
