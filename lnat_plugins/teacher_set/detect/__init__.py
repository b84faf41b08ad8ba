"""Recognise the layout of a teacher set from some of its rows, and propose its definition.

Decisions rest on the names of columns and on what they hold: a response is free text that differs
between the rows of a prompt, a teacher one of few names that repeat, a verdict nothing but a
verdict. What stays open is a question and not a guess; what is likely and not certain is a doubt.
`detect` is pure: rows in, a proposal out. `create` reads files, loads the proposal and writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.teacher_set.detect.about import (
    choose_correct,
    choose_prompt_id,
    choose_sample,
    choose_steps,
    choose_system,
    refuse_absent,
    refuse_coded,
)
from lnat_plugins.teacher_set.detect.file_teachers import FileTeachers
from lnat_plugins.teacher_set.detect.forms import (
    batch_files,
    is_lm_eval,
    take_batch,
    take_lm_eval,
)
from lnat_plugins.teacher_set.detect.found import Asked, Detected, Hints, Question, Search
from lnat_plugins.teacher_set.detect.layout import choose_layout, refuse_other_files
from lnat_plugins.teacher_set.detect.profile import Table, Values
from lnat_plugins.teacher_set.detect.teachers import choose_teachers

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
        refuse_other_files(search, files)
        choose_system(search)
        layout, in_row = choose_layout(search)
    if hints.layout not in ("", layout):
        raise ConfigError(
            f"the data is not of this layout: it would be read in the {layout} layout",
            where="--layout", found=hints.layout, remedy="leave it out, or name the columns too",
        )  # fmt: skip
    _refuse_idle(hints, layout)
    file_teachers: FileTeachers | None = None
    if in_row is None:
        file_teachers, teachers = choose_teachers(search, names)
    else:
        teachers = in_row
    if layout != "batch":
        if layout in ("long", "messages", "prompt_completion"):
            choose_correct(search)
            choose_sample(search, teachers)
        choose_prompt_id(search)
        choose_steps(search)
        refuse_absent(search)
        refuse_coded(search)
    config: dict[str, Any] = {
        "dataset_path": file_teachers.dataset_path
        if file_teachers
        else (_paths(names) if layout == "batch" else dataset_path)
    }
    block: dict[str, Any] = {"layout": layout} if layout != "long" else {}
    if search.whole:
        block["turns"] = "all"
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
        search.doubts.append("there is one teacher only: there is nothing to compare it with")
    if block:
        config["naturalness"] = block
    taken = search.taken
    return Detected(
        config=config,
        layout=layout,
        roles={role: search.roles.get(role, "none") for role in _ROLES},
        doubts=tuple(search.doubts),
        unused=(*_unused(search.table, taken), *search.unread),
    )


_TRAVELS: Final = ("tools", "chat_template_kwargs", "reward")
"""Columns that no field names and that are read later, by chat templates and choices of rows."""


def _unused(table: Table, taken: set[str]) -> Iterator[str]:
    """The columns that are not read; of an object that is read in part, the paths to the rest."""
    for column in table.filled():
        inside = {one for one in taken if one.startswith(f"{column.name}.")}
        if column.name in taken or column.name in _TRAVELS:
            continue
        if not inside:
            yield column.name
        elif column.kind == "object":
            yield from (c.name for c in table.inner(column) if not _within(c.name, inside))


def _within(name: str, taken: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{one}.") or one.startswith(f"{name}.") for one in taken)


_IDLE: Final = {
    "wide": ("teacher", "sample"),
    "nested": ("sample",),
    "batch": ("prompt", "system", "response", "think", "correct", "sample", "prompt_id"),
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
