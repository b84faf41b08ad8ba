"""The choice kept in the trainer's output folder, so that a resumed run trains on the same rows.

A student that has begun to learn scores differently: choosing again on resume would change the
data in the middle of a run.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final, NamedTuple

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Pool, Selection, SelectionSpec, Student
from lnat_plugins.selection.choose import rate
from lnat_plugins.whole_file import write_whole

FILE: Final = "lnat_selection.json"
_TOLERANCE: Final = 0.02
"""Nats per token. Half precision rounds scores by less; another student's differ by more."""


class Kept(NamedTuple):
    """A choice found in an output folder, and whether a run on it has left a checkpoint."""

    selection: Selection
    begun: bool


def keep(folder: Path, selection: Selection) -> None:
    """Write the choice whole, or not at all. ConfigError if the folder cannot be written to."""
    write_whole(folder / FILE, json.dumps(selection.as_dict(), default=str), "`output_dir`")


def find(folder: Path) -> Kept | None:
    """The choice kept in the folder, or None. DataError if it cannot be read."""
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise DataError(
            "this is not a stored selection", where=str(path), remedy="delete it to choose again"
        ) from None
    begun = any(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
    return Kept(Selection.from_dict(values, str(path)), begun)


def reusable(kept: Kept, pool: Pool, student: Student, spec: SelectionSpec, folder: Path) -> bool:
    """Whether the kept choice is the one that this run would make.

    Raises:
        ConfigError: it is not, and the folder holds a checkpoint that was trained on it.
    """
    changed = _changed(kept.selection, pool, student, spec)
    if not changed:
        return True
    if not kept.begun:
        return False
    raise ConfigError(
        f"{changed}, and this folder holds a run on the rows chosen before",
        where=str(folder / FILE),
        remedy="resume with the same data, selection and student, or give another `output_dir`",
    )


def _changed(kept: Selection, pool: Pool, student: Student, spec: SelectionSpec) -> str:
    if kept.pool != pool.fingerprint:
        return "the data set changed"
    if _plain(kept.settings) != _plain(spec.written):
        return "the selection's settings changed"
    if kept.metric is None:
        return ""
    return "" if _same_student(kept, pool, student, spec) else "the student changed"


def _same_student(kept: Selection, pool: Pool, student: Student, spec: SelectionSpec) -> bool:
    """Scores one prompt again, where that is enough: whatever changes a student shows there."""
    scored = [row for row in pool.rows if not math.isnan(kept.scores[row.index])]
    probe = [row for row in scored if row.prompt_id == scored[0].prompt_id]
    if spec.metric.scope == "corpus":
        probe = scored
    return all(
        math.isclose(value, kept.scores[row.index], rel_tol=1e-3, abs_tol=_TOLERANCE)
        for row, value in zip(probe, rate(probe, student, spec).values, strict=True)
    )


def _plain(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
