"""Teachers of files: whose responses a file holds, by its name or its folder's."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from lnat_plugins.teacher_set.detect.names import differing_parts

_SPLITS: Final = frozenset(
    "train training test testing validation valid val dev eval data default main".split()
)
_RUN: Final = re.compile(
    r"(seed|run|sample|gen|rollout|trial|attempt|output|part|batch|file|temp|t|v)?"
    r"[_.\- ]?\d+([_.]\d+)?",
    re.IGNORECASE,
)
_SHARD: Final = re.compile(
    r"[_.\- ]*(?:(?<![a-zA-Z])(?:part|shard|chunk|seed|run|sample|gen|rollout|trial|attempt)"
    r"[_.\- ]?\d+|\d+-of-\d+|(?<![a-zA-Z\d])\d{4,})(?![a-zA-Z\d])",
    re.IGNORECASE,
)


class FileTeachers(NamedTuple):
    """Files by teacher, as the YAML names them.

    by_file: file -> teacher. dataset_path: the YAML's. teacher_from: "" for a mapping.
    """

    by_file: Mapping[str, str]
    dataset_path: Any
    teacher_from: str = ""


def stem(file: str) -> str:
    """The file's name without its suffixes (".jsonl.gz")."""
    name = PurePosixPath(file).name
    cut = re.sub(r"(\.(gz|zst))?$", "", name)
    return re.sub(r"\.(jsonl|ndjson|json|csv|tsv|parquet)$", "", cut, flags=re.IGNORECASE)


def by_names(given: Mapping[str, str]) -> FileTeachers:
    """The teachers that the user gives: file -> teacher."""
    return FileTeachers(given, _mapping(given))


def teachers_of_files(files: Sequence[str], teacher_from: str = "") -> FileTeachers | None:
    """Whose responses several files hold; None if their names do not tell.

    No teachers are splits ("train"), numbered runs ("seed1") and shards ("00001-of-00004"); those
    of one teacher ("r1_seed1", "r1_seed2") are its files.
    """
    if len(files) < 2 and not teacher_from:
        return None
    folders = {file: PurePosixPath(file).parent.name for file in files}
    if teacher_from == "file_stem":
        return FileTeachers({f: stem(f) for f in files}, _pattern(files), "file_stem")
    n_folders = len({PurePosixPath(file).parent for file in files})
    if teacher_from == "parent_dir" or n_folders > 1:
        # folders of one name, as in r1/math and qwq/math, lie in those of the teachers
        apart = len(set(folders.values())) == n_folders
        if teacher_from or (apart and _are_teachers(list(folders.values()))):
            return FileTeachers(folders, _pattern(files), "parent_dir")
        return None
    own = {file: _SHARD.sub("", stem(file)) for file in files}
    if not _are_teachers(list(own.values())):
        return None
    distinct = sorted(set(own.values()))
    short = dict(zip(distinct, differing_parts(distinct), strict=True))
    if not _are_teachers(list(short.values())):
        return None
    by_file = {file: short[name] for file, name in own.items()}
    return FileTeachers(by_file, _mapping(by_file))


def _are_teachers(names: Sequence[str]) -> bool:
    distinct = set(names)
    if len(distinct) < 2 or "" in distinct:
        return False
    return not all(name.lower() in _SPLITS or _RUN.fullmatch(name) for name in distinct)


def _mapping(by_file: Mapping[str, str]) -> dict[str, Any]:
    listed: dict[str, list[str]] = {}
    for file, teacher in by_file.items():
        listed.setdefault(teacher, []).append(file)
    return {teacher: own[0] if len(own) == 1 else own for teacher, own in listed.items()}


def _pattern(files: Sequence[str]) -> Any:
    """One pattern that fits these files in folders side by side, or their list."""
    paths = [PurePosixPath(file) for file in files]
    roots = {path.parent.parent for path in paths}
    names = {path.name for path in paths}
    suffixes = {"".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst") else path.suffix
                for path in paths}  # fmt: skip
    several = len(names) > 1
    beside = len({path.parent for path in paths}) > 1 and len(roots) == 1
    if not beside or (several and len(suffixes) > 1):
        return list(files)
    name = f"*{suffixes.pop()}" if several else glob.escape(names.pop())
    return (PurePosixPath(glob.escape(roots.pop().as_posix())) / "*" / name).as_posix()
