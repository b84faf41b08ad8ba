"""Recognise the layout of a teacher set from some of its rows, and propose its definition.

Decisions rest on the names of columns and on what they hold: a response is free text that differs
between the rows of a prompt, a teacher one of few names that repeat, a verdict nothing but a
verdict. What stays open is a question and not a guess; what is likely and not certain is a doubt.
`detect` is pure: rows in, a proposal out. `create` reads files, loads the proposal and writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.teacher_set.detect.about import (
    choose_correct,
    choose_prompt_id,
    choose_sample,
    choose_steps,
    choose_system,
    teacher_column,
)
from lnat_plugins.teacher_set.detect.file_teachers import (
    FileTeachers,
    by_names,
    teachers_of_files,
)
from lnat_plugins.teacher_set.detect.forms import (
    batch_files,
    is_lm_eval,
    take_batch,
    take_lm_eval,
)
from lnat_plugins.teacher_set.detect.found import (
    NONE,
    Asked,
    Detected,
    Hints,
    Question,
    Search,
)
from lnat_plugins.teacher_set.detect.names import read_name
from lnat_plugins.teacher_set.detect.profile import (
    ASSISTANT,
    Column,
    Table,
    Values,
    as_key,
    role_of,
    same_text,
)
from lnat_plugins.teacher_set.detect.replies import (
    CONVERSATIONS,
    choose_prompt,
    choose_response,
    choose_think,
    differs,
    response_columns,
    think_columns,
)
from lnat_plugins.teacher_set.detect.several import (
    are_models,
    families,
    nested_column,
    refuse_named_beside,
    says_the_same,
    take_nested,
    take_wide,
)

__all__ = ["Detected", "Hints", "Question", "detect"]

_ROLES: Final = (
    "prompt", "system", "response", "thinking", "teacher", "correctness", "sample", "prompt id",
)  # fmt: skip


def detect(
    files: Mapping[str, Sequence[Values]], hints: Hints | None = None, dataset_path: Any = None
) -> Detected:
    """The definition of the set that these rows are from.

    Args:
        files: sampled rows by file; the names as `dataset_path` is to have them.
        hints: what the user settles.
        dataset_path: for rows whose teachers are not the files; by default the files.

    Raises ConfigError for a hint that names a column which no row has.
    """
    hints = hints or Hints()
    search = Search(Table(files), hints)
    try:
        return _detect(search, files, dataset_path or _paths(tuple(files)))
    except Asked as asked:
        return Detected({}, doubts=tuple(search.doubts), questions=(asked.question,))


def _paths(files: tuple[str, ...]) -> Any:
    return files[0] if len(files) == 1 else list(files)


def _detect(search: Search, files: Mapping[str, Sequence[Values]], dataset_path: Any) -> Detected:
    hints, names = search.hints, tuple(files)
    answers, requests = batch_files(files)
    where: dict[str, Any] = {}
    in_row: list[str] | None = None
    if answers and hints.layout in ("", "batch"):
        take_batch(search, requests)
        layout, names, search = "batch", tuple(answers), _only(search, files, answers)
        search.groups = search.table.keys(["custom_id"])
    elif is_lm_eval(search) and hints.layout in ("", "long"):
        layout, where = "long", take_lm_eval(search)
    else:
        _refuse_other_files(search, files)
        choose_system(search)
        layout, in_row = _layout(search)
    _refuse_idle(hints, layout)
    file_teachers: FileTeachers | None = None
    if in_row is None:
        file_teachers, teachers = _teachers(search, names)
    else:
        teachers = in_row
    if layout != "batch":
        if layout in ("long", "messages", "prompt_completion"):
            choose_correct(search)
            choose_sample(search, teachers)
        choose_prompt_id(search)
        choose_steps(search)
    config: dict[str, Any] = {
        "dataset_path": file_teachers.dataset_path if file_teachers else dataset_path
    }
    block: dict[str, Any] = {"layout": layout} if layout != "long" else {}
    if search.columns:
        block["columns"] = search.columns
    if layout == "batch":
        block["prompts"] = requests[0] if len(requests) == 1 else requests
    if file_teachers and file_teachers.teacher_from:
        block["teacher_from"] = file_teachers.teacher_from
    if where:
        block["where"] = where
    if len(set(teachers)) == 1:
        block["min_teachers"] = 1
        search.doubts.append(
            f"there is one teacher only, {teachers[0]}: there is nothing to compare it with"
        )
    if block:
        config["naturalness"] = block
    taken = search.taken
    return Detected(
        config=config,
        layout=layout,
        roles={role: search.roles.get(role, "none") for role in _ROLES},
        doubts=tuple(search.doubts),
        unused=tuple(
            name
            for name in search.table.names
            if name not in taken and not any(one.startswith(f"{name}.") for one in taken)
        ),
    )


_IDLE: Final = {
    "wide": ("teacher", "sample"),
    "nested": ("think", "sample"),
    "batch": ("prompt", "response", "think", "correct", "sample", "prompt_id"),
    "messages": ("response",),
}
"""Hints that a layout has no use for."""


def _refuse_idle(hints: Hints, layout: str) -> None:
    for name in _IDLE.get(layout, ()):
        if getattr(hints, name):
            raise ConfigError(
                f"the data is read in the {layout} layout, which has no such column",
                where=f"--{name}", found=getattr(hints, name),
                remedy="leave it out, or choose another --layout",
            )  # fmt: skip


def _only(search: Search, files: Mapping[str, Sequence[Values]], kept: Sequence[str]) -> Search:
    """The search over some of the files."""
    search.table = Table({name: files[name] for name in kept})
    return search


def _refuse_other_files(search: Search, files: Mapping[str, Sequence[Values]]) -> None:
    """Ask where the files have no column in common, so that they cannot be one set."""
    columns = [{key for row in rows for key in row} for rows in files.values()]
    if len(columns) > 1 and not set.intersection(*columns):
        odd = [
            f"{name} ({', '.join(sorted(own)[:4])})"
            for name, own in zip(files, columns, strict=True)
        ]
        raise search.ask(
            "the files have no column in common", odd, "give those of one teacher set alone"
        )


def _layout(search: Search) -> tuple[str, list[str] | None]:
    """Choose the layout and name its columns; with the teachers that the rows' shape names."""
    table, hints = search.table, search.hints
    talks = [c for c in table.filled() if c.kind == "conversation"]
    if hints.layout == "messages":
        _take_conversation(search, search.hinted(hints.prompt, "prompt") or talks)
        return "messages", None
    if talks and not hints.layout and not hints.response:
        conversation = _conversation_wins(search, talks)
        if conversation:
            _take_conversation(search, [conversation])
            return "messages", None
        search.taken |= {c.name for c in talks}
    choose_prompt(search)
    if hints.layout in ("", "wide"):
        found = families(search)
        refuse_named_beside(search, found)
        several = any(len(own["response"]) > 1 for own in found.values())
        wide = are_models(tuple(found)) or (several and are_models([*found, *found]))
        own = teacher_column(search) if wide and not hints.layout else None
        if hints.layout == "wide" or (wide and not hints.response and own is None):
            if len(found) < 2 and hints.layout == "wide" and not hints.response:
                raise search.ask(
                    "it is not certain which columns hold the responses of the teachers",
                    [c for c in table.filled() if c.is_free], "name them: --response COL,COL",
                )  # fmt: skip
            return "wide", take_wide(search, found)
    if hints.layout in ("", "nested"):
        listed = nested_column(search)
        if listed:
            return "nested", take_nested(search, *listed)
        if hints.layout == "nested":
            raise search.ask(
                "no column holds lists of responses beside the names of their teachers",
                [c for c in table.filled() if c.kind in ("texts", "objects", "replies")],
                "name both: --response COL --teacher COL",
            )  # fmt: skip
    asked = search.columns.get("prompt", "prompt")
    if asked == "prompt" and hints.layout in ("", "prompt_completion"):
        completion = table.column("completion")
        found_columns = response_columns(search)
        if completion and found_columns == [completion]:
            choose_response(search, default="completion")
            return "prompt_completion", None
    choose_response(search)
    return "long", None


def _conversation_wins(search: Search, talks: list[Column]) -> Column | None:
    """The conversation that holds the response; None if other columns hold it."""
    table = search.table
    if len(talks) > 1:
        first = table.values(talks[0].name)
        if not all(same_text(first, table.values(c.name)) for c in talks):
            raise search.ask(
                "several columns hold conversations", talks,
                "name the one: --layout messages --prompt COL; if each is a teacher's, write a row "
                "a response",
            )  # fmt: skip
    talk = talks[0]
    search.groups = _turns_before(search, talk)
    columns = [c for c in response_columns(search) if c.is_free]
    usual = [c for c in columns if read_name(c.name).rank == 0]
    same = [c for c in columns if says_the_same(search, talk, c)]
    if same:
        # the same text twice: the conversation if it holds more than the prompt, else the columns
        values = table.values(talk.name)
        plain = all(len(value) == 2 for value in values if isinstance(value, list))
        if not plain or not any(read_name(c.name).role == "prompt" for c in table.filled()):
            search.doubts.append(f"{same[0].name} repeats the last turn of {talk.name}: not read")
            search.taken.add(same[0].name)
            return talk
        search.doubts.append(f"{talk.name} repeats other columns and is not read")
        return None
    lists = [c for c in usual if c.kind == "texts"]
    if lists:
        search.doubts.append(
            f"{talk.name} holds one conversation a row and is not read: {lists[0].name} holds "
            "several responses"
        )
        return None
    if usual and any(differs(search, c) is not False for c in usual):
        raise search.ask(
            "a conversation and another column may hold the response", [talk, *usual],
            "choose: --layout messages, or --response COL",
        )  # fmt: skip
    for column in columns:
        search.doubts.append(
            f"{column.name} is not read: it is taken for the data set's own solution, and "
            f"{talk.name} for the responses"
        )
    return talk


def _turns_before(search: Search, talk: Column) -> list[str]:
    """For every row the turns before the last, as text."""
    values = search.table.values(talk.name)
    return [as_key(value[:-1] if isinstance(value, list) else value) for value in values]


def _take_conversation(search: Search, talks: list[Column]) -> None:
    if not talks:
        raise search.ask(
            "no column holds conversations that end with an assistant's turn",
            search.table.columns, "name it: --layout messages --prompt COL",
        )  # fmt: skip
    talk = talks[0]
    search.groups = _turns_before(search, talk)
    search.take("messages", "prompt", [talk.name], CONVERSATIONS)
    search.roles["prompt"] = f"{talk.name}, the turns before the last"
    search.roles["response"] = f"{talk.name}, the last turn"
    turns = [v[-1] for v in search.table.values(talk.name) if isinstance(v, list) and v]
    inside = ("reasoning_content", "reasoning", "thinking")
    if any(isinstance(turn, Mapping) and any(turn.get(k) for k in inside) for turn in turns):
        search.roles["thinking"] = f"{talk.name}, beside the last turn's content"
    else:
        last = [v[-1] if isinstance(v, list) and v else v for v in search.table.values(talk.name)]
        choose_think(search, think_columns(search), last)
    _refuse_long_talks(search, talk)


def _refuse_long_talks(search: Search, talk: Column) -> None:
    """Ask where the turns before the last differ, though the first ones are shared."""
    values = search.table.values(talk.name)
    first = [
        as_key(list(takewhile(lambda turn: role_of(turn) not in ASSISTANT, value)))
        if isinstance(value, list)
        else ""
        for value in values
    ]
    turns = [len(value) for value in values if isinstance(value, list)]
    shared = len(first) - len(set(first))
    still = len(first) - len(set(search.groups))
    if shared * 2 >= len(first) and still * 10 < shared and max(turns) > 3:
        raise search.ask(
            f"the conversations in {talk.name} begin alike and differ before their last turn, so "
            "that the last turns answer different prompts", [talk],
            "cut each conversation after the turn that is the response to a shared prompt",
        )  # fmt: skip


def _teachers(search: Search, files: tuple[str, ...]) -> tuple[FileTeachers | None, list[str]]:
    """Whose responses the rows hold: by a column, or by the files. With every row's teacher."""
    hints, table = search.hints, search.table
    if hints.teachers:
        return _by_files(search, by_names(hints.teachers))
    if hints.teacher_from:
        found = teachers_of_files(files, hints.teacher_from)
        if found is not None:
            return _by_files(search, found)
    column = teacher_column(search)
    of_files = teachers_of_files(files)
    if column is not None and column.distinct == 1 and of_files and not hints.teacher:
        raise search.ask(
            f"{column.name} names one teacher in all files, whose names differ", [column, *files],
            f"choose: --teacher {column.name}, or --teacher NAME=FILE for every file",
        )  # fmt: skip
    if column is not None:
        search.take("teacher", "teacher", [column.name], ("teacher",))
        return None, [as_key(value) for value in table.values(column.name)]
    inner = None if of_files else _inner_teacher(search)
    if inner is not None:
        search.take("teacher", "teacher", [inner.name], ("teacher",))
        search.doubts.append(f"{inner.name} is read as the teacher")
        return None, [as_key(value) for value in table.values(inner.name)]
    if of_files is None:
        what = "no column names the teachers"
        if len(files) > 1:
            what += ", and the names of the files do not tell them"
        raise search.ask(
            what, [c for c in table.filled() if c.is_names and c.name not in search.taken],
            "name the column (--teacher COL), or whose file it is (--teacher NAME=FILE, once for "
            "every file)",
        )  # fmt: skip
    prompts: dict[str, set[str]] = {}
    for group, file in zip(search.groups, table.file_of, strict=True):
        prompts.setdefault(of_files.by_file[file], set()).add(group)
    if not set.intersection(*prompts.values()):
        search.doubts.append(
            "the teachers are taken from the files' names, and the rows looked at share no prompt"
        )
    return _by_files(search, of_files)


def _inner_teacher(search: Search) -> Column | None:
    """The one key of an object's column that names teachers."""
    found = []
    for column in [c for c in search.table.filled() if c.kind == "object"]:
        values = search.table.values(column.name)
        keys = {key for value in values if isinstance(value, Mapping) for key in value}
        for key in sorted(key for key in keys if read_name(key).role == "teacher"):
            inner = search.table.column(f"{column.name}.{key}")
            if inner and inner.is_names and inner.distinct > 1:
                found.append(inner)
    return found[0] if len(found) == 1 else None


def _by_files(search: Search, found: FileTeachers) -> tuple[FileTeachers, list[str]]:
    said = {"file_stem": "the files' names", "parent_dir": "the folders' names"}
    words = said.get(found.teacher_from, "the files")
    search.roles["teacher"] = f"{words}: {', '.join(dict.fromkeys(found.by_file.values()))}"
    return found, [found.by_file.get(file, NONE) for file in search.table.file_of]
