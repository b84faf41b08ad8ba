"""`selection.json`: the selection itself, and what a reader needs to make it again.

Knows nothing of the other files. One line a key, so that the head of a large file can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lnat_plugins import __version__
from lnat_plugins.errors import DataError
from lnat_plugins.selection import Selection
from lnat_plugins.training_set.origin import Origin

SELECTION: Final = "selection.json"
OF_TRAINER: Final = "lnat_selection.json"
"""What a trainer keeps in its output folder: the selection alone."""

_MARK: Final = "lnat_plugins"
_REMEDY: Final = "name the folder that `lnat select` or a trainer wrote, or the file in it"


def selection_text(selection: Selection, origin: Origin, form: str) -> str:
    """The file's text. `Selection.from_dict` reads the selection back out of its JSON."""
    values = {
        _MARK: __version__,
        "task": origin.task,
        "files": list(origin.files),
        "scoring": dict(origin.scoring),
        "versions": dict(origin.versions),
        "form": form,
        "chosen_by_teacher": selection.chosen_by_teacher,
        "left_out": selection.left_out,
        **selection.as_dict(),
    }
    # A setting may be a date or a path where YAML or a program gave one.
    lines = (
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in values.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_selection(path: str | Path) -> Selection:
    """The selection of a training set or of a trainer's run, from its folder or the file in it.

    Args:
        path: `selection.json`, `lnat_selection.json`, or a folder with one of them; of both,
            the former.

    Raises:
        DataError: no such file, or not a stored selection.
    """
    path = Path(path)
    if path.is_dir():
        kept = path / OF_TRAINER
        path = kept if kept.exists() and not (path / SELECTION).exists() else path / SELECTION
    return Selection.from_dict(_read(path), str(path))


def is_ours(folder: Path) -> bool:
    """Whether the folder holds the `selection.json` of a training set that we wrote."""
    try:
        return {_MARK, "indices", "reasons"} <= _read(folder / SELECTION).keys()
    except DataError:
        return False


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise DataError(
            "the stored selection cannot be opened",
            where=str(path),
            found=cause.strerror,
            remedy=_REMEDY,
        ) from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        raise DataError("this is not a stored selection", where=str(path), remedy=_REMEDY)
    return values
