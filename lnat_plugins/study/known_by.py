"""What a student's and a task's files are known by, so that changed ones are others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from lnat_plugins.files import read_yaml

_ENDS: Final = 1 << 20
_LONGEST_PATH: Final = 1000


def digest(paths: Sequence[Path]) -> str:
    """What files are known by: their names, sizes and ends."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                digest.update(file.read(_ENDS))
    return digest.hexdigest()[:12]


def text_of(task: str) -> str:
    """What a task's file says, so that a changed task is another one; its name for lm-eval's."""
    path = Path(task)
    return path.read_text(encoding="utf-8") if path.is_file() else task


def named_files(task: str) -> list[Path]:
    """The local files that a task's YAML names, such as its data."""

    def words(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping | list):
            for one in value.values() if isinstance(value, Mapping) else value:
                yield from words(one)

    if not Path(task).is_file():
        return []
    named = [Path(word) for word in words(read_yaml(task)) if 0 < len(word) < _LONGEST_PATH]
    return sorted({path for path in named if path.is_file()})
