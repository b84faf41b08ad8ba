"""The choice kept in the trainer's output folder, so that a resumed run trains on the same rows.

A student that has begun to learn scores differently: choosing again on resume would change the
data in the middle of a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.record import StepSums
from lnat_plugins.selection import Pool, Selection, SelectionSpec, Student
from lnat_plugins.whole_file import write_whole

FILE: Final = "lnat_selection.json"
_TOLERANCE: Final = 0.02
"""Nats per token. Half precision rounds scores by less; another student's differ by more."""


Probe = Mapping[str, Mapping[str, float]]
"""Index of a row -> window -> its mean log-probability, by which a student is known again."""


class Kept(NamedTuple):
    """A choice found in an output folder.

    Args:
        selection: the choice.
        probe: what the student made of one prompt; empty if the choice needed no scores.
        begun: whether a run on it has left a checkpoint.
    """

    selection: Selection
    probe: Probe
    begun: bool


def probe_of(pool: Pool, records: Mapping[int, StepSums]) -> Probe:
    """Of the first prompt that was scored, whatever the choice was made by."""
    scored = [row for row in pool.rows if row.index in records]
    return {
        str(row.index): _means(records[row.index])
        for row in scored
        if row.prompt_id == scored[0].prompt_id
    }


def _means(record: StepSums) -> dict[str, float]:
    totals = {window: total for window, total in record.totals.items() if math.isfinite(total)}
    return {window: total / record.n_tokens for window, total in totals.items() if record.n_tokens}


def keep(folder: Path, selection: Selection, probe: Probe) -> None:
    """Write the choice whole, or not at all. ConfigError if the folder cannot be written to."""
    document = {**selection.as_dict(), "probe": probe}
    write_whole(folder / FILE, json.dumps(document, default=str), "`output_dir`")


def find(folder: Path) -> Kept | None:
    """The choice kept in the folder, or None. DataError if it cannot be read."""
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        probe: Probe = values.pop("probe")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise DataError(
            "this is not a stored selection", where=str(path), remedy="delete it to choose again"
        ) from None
    begun = any(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
    return Kept(Selection.from_dict(values, str(path)), probe, begun)


def reusable(kept: Kept, pool: Pool, student: Student, spec: SelectionSpec, folder: Path) -> bool:
    """Whether the kept choice is the one that this run would make.

    Raises:
        ConfigError: it is not, and the folder holds a checkpoint that was trained on it.
    """
    changed = _changed(kept.selection, pool, spec)
    if not changed and not _same_student(kept.probe, pool, student):
        changed = "the student changed"
    if not changed:
        return True
    if not kept.begun:
        return False
    raise ConfigError(
        f"{changed}, and this folder holds a run on the rows chosen before",
        where=str(folder / FILE),
        remedy="resume with the same data, selection and student, or give another `output_dir`",
    )


def _changed(kept: Selection, pool: Pool, spec: SelectionSpec) -> str:
    if kept.pool != pool.fingerprint:
        return "the data set changed"
    if _plain(kept.settings) != _plain(spec.written):
        return "the selection's settings changed"
    return ""


def _same_student(probe: Probe, pool: Pool, student: Student) -> bool:
    """Scores one prompt again: whatever changes a student shows there."""
    rows = [row for row in pool.rows if str(row.index) in probe]
    return all(
        _alike(probe[str(row.index)], _means(record))
        for row, record in zip(rows, student.score(rows) if rows else (), strict=True)
    )


def _alike(before: Mapping[str, float], now: Mapping[str, float]) -> bool:
    return before.keys() == now.keys() and all(
        math.isclose(now[window], before[window], abs_tol=_TOLERANCE) for window in before
    )


def _plain(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
