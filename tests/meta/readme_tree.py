"""Reads the tree of files that a README draws.

The tree is the fenced block whose first line is `.` or a folder: a name a line, indented by the
folder it is in (box-drawing characters count as spaces), two or more spaces, what it is.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^([\s│├└─|`+-]*)(\S+)(?:\s{2,}(\S.*))?$")


class Entry(NamedTuple):
    """One line of the tree: the path it names, and what it says of it."""

    path: str
    says: str


def tree_of(readme: str) -> list[Entry]:
    """The entries of the first tree in `readme`; folders end in `/`. Empty if there is none."""
    for block in _FENCE.findall(readme):
        lines = [line for line in block.splitlines() if line.strip()]
        if lines and re.match(r"^(\S+/|\.)(\s|$)", lines[0]):
            return _entries(lines)
    return []


def _entries(lines: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    above: list[tuple[int, str]] = []  # (indent, folder) from the root down to this line
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"not a line of a tree: {line!r}")
        indent, name, says = len(match[1]), match[2], match[3] or ""
        above = [(column, folder) for column, folder in above if column < indent]
        path = str(PurePosixPath(*(folder for _, folder in above), name))
        if name.endswith("/"):
            above.append((indent, name))
            path += "/"
        entries.append(Entry(path, says))
    return entries


def complaints(entries: list[Entry], files: set[str]) -> list[str]:
    """What the tree leaves out, names wrongly, or does not explain; one line each.

    A folder's line stands for its `__init__.py` and `py.typed`, and for all of its files if it
    holds no Python and none of them has a line.
    """
    named = {entry.path for entry in entries}
    folders = {name for name in named if name.endswith("/")}
    known = files | {f"{parent}/" for file in files for parent in PurePosixPath(file).parents}
    return [
        *(f"not in the tree: {f}" for f in sorted(files) if not _covered(f, named, folders, files)),
        *(f"not in the repository: {name}" for name in sorted(named - known)),
        *(f"says nothing: {entry.path}" for entry in entries if not entry.says),
    ]


def _covered(file: str, named: set[str], folders: set[str], files: set[str]) -> bool:
    path = PurePosixPath(file)
    if file in named:
        return True
    if path.name in {"__init__.py", "py.typed"}:
        return f"{path.parent}/" in folders
    for folder in (f"{parent}/" for parent in path.parents):
        inside = {name for name in files if name.startswith(folder)}
        if folder in folders and not any(
            name in named or (name.endswith(".py") and not name.endswith("__init__.py"))
            for name in inside
        ):
            return True
    return False
