"""Whose responses the rows are: by a column, by a key of an object, or by the files."""

from __future__ import annotations

from lnat_plugins.teacher_set.detect.file_teachers import FileTeachers, by_names, teachers_of_files
from lnat_plugins.teacher_set.detect.found import NONE, Search
from lnat_plugins.teacher_set.detect.names import ABOUT, is_model_name, read_name
from lnat_plugins.teacher_set.detect.profile import Column, as_key, varies


def teacher_column(search: Search) -> Column | None:
    """The column that names the teachers; None if there is none."""
    hint = search.hints.teacher
    if hint:
        return None if hint == NONE else search.hinted(hint, "teacher")[0]
    table = search.table
    named = [
        c for c in table.filled()
        if read_name(c.name).role == "teacher" and c.is_names and c.name not in search.taken
    ]  # fmt: skip
    moving = [c for c in named if c.distinct > 1]
    exact = [c for c in named if c.name == "teacher"]
    if exact and (exact[0] in moving or not moving):
        return exact[0]
    if len(named) > 1 and not exact:
        differing = [c for c in moving if varies(table.values(c.name), search.groups) != 0]
        named = differing or moving or named
    if len(named) > 1:
        keys = [table.values(c.name) for c in named]
        if all(one == keys[0] for one in keys):
            named = named[:1]
    if len(named) > 1:
        raise search.ask(
            "several columns may name the teachers", named, "name the one: --teacher COL"
        )
    return named[0] if named else _by_content(search)


def _by_content(search: Search) -> Column | None:
    """A column of few names, each of which stands once in every prompt's rows."""
    groups: dict[str, list[int]] = {}
    for i, group in enumerate(search.groups):
        groups.setdefault(group, []).append(i)
    several = [own for own in groups.values() if len(own) > 1]
    if len(search.table.files) > 1 or len(several) < 2:
        return None
    found = []
    for column in search.table.filled():
        fits = column.kind == "text" and column.is_names and column.distinct > 1
        if not fits or column.name in search.taken or column.verdicts == 1:
            continue
        values = search.table.values(column.name)
        about = read_name(column.name) == ABOUT  # a category, a language
        filled = [as_key(value) for value in values if value is not None]
        if about and sum(map(is_model_name, filled)) < 0.9 * len(filled):
            continue
        once = sum(len({as_key(values[i]) for i in own}) == len(own) for own in several)
        if once >= 0.95 * len(several):
            found.append(column)
    if len(found) > 1:
        raise search.ask(
            "several columns may name the teachers", found, "name the one: --teacher COL"
        )
    if found:
        search.doubts.append(
            f"{found[0].name} is read as the teacher by its content: few names, each once a prompt"
        )
    return found[0] if found else None


def choose_teachers(
    search: Search, files: tuple[str, ...]
) -> tuple[FileTeachers | None, list[str]]:
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
    inner = _inner_teachers(search)
    moving = [c for c in inner if c.distinct > 1]
    if of_files is None and len(moving) == 1:
        name = moving[0].name
        search.take("teacher", "teacher", [name], ("teacher",))
        search.doubts.append(f"{name} is read as the teacher")
        return None, [as_key(value) for value in table.values(name)]
    if of_files is None:
        what = "no column names the teachers"
        if len(files) > 1:
            what += ", and the names of the files do not tell them"
        raise search.ask(
            what,
            [*inner, *(c for c in table.filled() if _may_name(c) and c.name not in search.taken)],
            "name the column (--teacher COL), or whose file it is (--teacher NAME=FILE, once for "
            "every file)",
        )  # fmt: skip
    return _by_files(search, of_files)


def _may_name(column: Column) -> bool:
    return column.is_names or read_name(column.name).role == "teacher"


def _inner_teachers(search: Search) -> list[Column]:
    """The paths into objects, and into what an API returned, that name teachers."""
    return [
        inner
        for column in search.table.filled() if column.kind in ("object", "reply")
        for inner in search.table.inner(column)
        if read_name(inner.name.rpartition(".")[2]).role == "teacher" and inner.is_names
    ]  # fmt: skip


def _by_files(search: Search, found: FileTeachers) -> tuple[FileTeachers, list[str]]:
    said = {"file_stem": "the files' names", "parent_dir": "the folders' names"}
    words = said.get(found.teacher_from, "the files")
    search.roles["teacher"] = f"{words}: {', '.join(dict.fromkeys(found.by_file.values()))}"
    return found, [found.by_file.get(file, NONE) for file in search.table.file_of]
