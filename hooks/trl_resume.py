"""The choice stored in a trainer's output folder, so that a resumed run trains on the same rows.

A student that has begun to learn scores differently: choosing again on resume would change the
data in the middle of a run. So the choice is reused, and refused where data, settings or student
are not those that it was made with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.files import parse_json
from lnat_plugins.outputs import write_atomic
from lnat_plugins.scoring.parallel import Processes
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.selection import Selection, SelectionSpec, Student
from lnat_plugins.selection.training_set import OF_TRAINER
from lnat_plugins.teacher_set import Candidates

TOLERANCE: Final = 0.02
"""Nats per token. Half precision rounds scores by less; another student's differ by more."""

Probe: TypeAlias = Mapping[str, Mapping[str, float]]
"""Index of a row -> window -> its mean log-probability: how a student scored one prompt."""


def store_choice(
    folder: Path, selection: Selection, candidates: Candidates, records: Mapping[int, StepSums]
) -> None:
    """Store the choice, and how the student scored one prompt, by which it is recognised again.

    Args:
        folder: the trainer's output folder.
        selection: the choice.
        candidates: the rows that it was made from.
        records: index -> step sums of the rows that were scored. The first prompt among them is
            the probe; there is none if the choice needed no scores.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    scored = [row for row in candidates.rows if row.index in records]
    probe = {
        str(row.index): _means(records[row.index])
        for row in scored
        if row.prompt_id == scored[0].prompt_id
    }
    document = {**selection.as_dict(), "probe": probe}
    write_atomic(folder / OF_TRAINER, json.dumps(document, default=str), "`output_dir`")


def stored_choice(
    folder: Path,
    candidates: Candidates,
    student: Student,
    spec: SelectionSpec,
    processes: Processes,
) -> Selection | None:
    """The choice stored in the folder if this run would make the same one, else None.

    Called by every process alike. The student scores the prompt of the probe again.

    Raises:
        ConfigError: this run would make another choice, and the folder holds a checkpoint of a
            run on the stored one.
        DataError: the file is not a stored choice.
    """
    stored = processes.once(lambda: _read(folder))
    if stored is None:
        return None
    selection, probe, has_checkpoint = stored
    if selection.pool != candidates.fingerprint:
        changed = "the data set changed"
    elif _text(selection.settings) != _text(spec.written):
        changed = "the selection's settings changed"
    elif not _is_same_student(probe, candidates, student):
        changed = "the student changed"
    else:
        return selection
    if not has_checkpoint:
        return None
    raise ConfigError(
        f"{changed}, and this folder holds a run on the rows chosen before",
        where=str(folder / OF_TRAINER),
        remedy="resume with the same data, selection and student, or give another `output_dir`",
    )


def _read(folder: Path) -> tuple[Selection, Probe, bool] | None:
    path = folder / OF_TRAINER
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        probe: Probe = values.pop("probe")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, KeyError, AttributeError, TypeError):
        raise DataError(
            "this is not a stored selection", where=str(path), remedy="delete it to choose again"
        ) from None
    has_checkpoint = any(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
    return Selection.from_dict(values, str(path)), probe, has_checkpoint


def _is_same_student(probe: Probe, candidates: Candidates, student: Student) -> bool:
    rows = [row for row in candidates.rows if str(row.index) in probe]
    for row, record in zip(rows, student.score(rows) if rows else (), strict=True):
        before, now = probe[str(row.index)], _means(record)
        if before.keys() != now.keys() or not all(
            math.isclose(now[window], before[window], abs_tol=TOLERANCE) for window in before
        ):
            return False
    return True


def _means(record: StepSums) -> dict[str, float]:
    """Window -> mean log-probability in nats per token, where it is finite."""
    totals = {window: total for window, total in record.totals.items() if math.isfinite(total)}
    return {window: total / record.n_tokens for window, total in totals.items() if record.n_tokens}


def _text(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


def checkpoint_to_resume(args: TrainingArguments) -> str | None:
    """What `Trainer.train(resume_from_checkpoint=...)` takes, from the training arguments.

    For "true" the last checkpoint that is whole: one that a killed run was writing is passed over.

    Raises:
        ConfigError: there is no such checkpoint; known here before anything is scored.
    """
    requested: str | bool | None = args.resume_from_checkpoint
    if not requested:
        return None
    if str(requested).lower() == "true":
        steps = {
            int(step): one
            for one in Path(str(args.output_dir)).glob(f"{PREFIX_CHECKPOINT_DIR}-*")
            if (step := one.name.rpartition("-")[2]).isdecimal() and _is_whole(one)
        }
        if steps:
            return str(steps[max(steps)])
    elif _is_whole(Path(str(requested))):
        return str(requested)
    raise ConfigError(
        "there is no checkpoint to resume from",
        where="resume_from_checkpoint",
        found=requested,
        remedy="name a checkpoint's folder, or leave it out",
    )


def _is_whole(checkpoint: Path) -> bool:
    """The Trainer writes its state last."""
    try:
        parse_json((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
