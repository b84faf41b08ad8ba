"""Units of work: one student scored, or trained and evaluated once. Each is done or not, by a file.

A unit's file is written last and atomically, so a unit that was killed is not done and is begun
again. It holds the fingerprint of all that decides the unit's result: a unit of a study that was
changed since is not done either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from lnat_plugins.errors import ConfigError, DataError, nearest
from lnat_plugins.files import parse_json
from lnat_plugins.outputs import write_atomic
from lnat_plugins.study.spec import Budget, StudySpec
from lnat_plugins.teacher_set.config import fingerprint

UNIT: Final = "unit.json"
_NOT_IN_FOLDERS: Final = re.compile(r"[^A-Za-z0-9._-]+")

Kind = Literal["scores", "none", "before", "calibration", "warm", "utility", "teacher", "selection"]


@dataclass(frozen=True)
class Unit:
    """One student: it scores, is evaluated as it is, or is trained on one arm with one seed.

    Attributes:
        kind: "scores" of the teacher set by the student; "none" = evaluated without training;
            "warm" = a teacher's rows scored after some training on others of its rows; "before",
            "calibration" and "utility" = the rows of all teachers at held-out prompts scored by the
            student as it is, after updates of several sizes and a longer training on a sampled
            teacher, and after the update on another teacher (`utility`); "teacher" and "selection"
            = trained and evaluated.
        student: by its name in the study.
        arm: the teacher's or the selection's name; "" where there is none.
        budget, seed: of the training; None and 0 for all kinds but the last two.
    """

    kind: Kind
    student: str
    arm: str = ""
    budget: Budget | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """As `--unit` takes it; also the unit's folder."""
        parts = [self.student, self.kind, *([self.arm] if self.arm else [])]
        if self.budget is not None:
            parts += [self.budget.name, f"seed-{self.seed}"]
        return "/".join(_NOT_IN_FOLDERS.sub("_", part).strip(".") or "_" for part in parts)


def units_of(study: StudySpec, teachers: Sequence[str]) -> list[Unit]:
    """All units of a study, in the order in which they are done.

    Each student's scores come first, since its selections need them; its calibrations come before
    its utilities.

    Raises:
        ConfigError: two units whose names differ only in signs that a folder cannot have.
    """
    found = [*_units(study, teachers)]
    names: dict[str, Unit] = {}
    for unit in found:
        if (other := names.setdefault(unit.name, unit)) is not unit:
            raise ConfigError(
                "two names differ only in signs that a folder's name cannot have",
                where=str(study.source),
                found=[other.arm or other.student, unit.arm or unit.student],
                remedy="rename one",
            )  # fmt: skip
    return found


def _units(study: StudySpec, teachers: Sequence[str]) -> Iterator[Unit]:
    for student in study.students:
        yield Unit("scores", student)
        yield Unit("none", student)
        if study.utility:
            sampled = sampled_teachers(study, teachers)
            yield Unit("before", student)
            for teacher in sampled:
                yield Unit("calibration", student, teacher)
        for teacher in teachers if study.warm else ():
            yield Unit("warm", student, teacher)
        if study.utility:
            for teacher in teachers:
                if teacher not in sampled:
                    yield Unit("utility", student, teacher)
    for budget in study.budgets:
        for seed in study.seeds:
            for student in study.students:
                for teacher in teachers:
                    yield Unit("teacher", student, teacher, budget, seed)
                for selection in study.selections:
                    yield Unit("selection", student, selection, budget, seed)


def sampled_teachers(study: StudySpec, teachers: Sequence[str]) -> list[str]:
    """Those by which the update of `utility` is calibrated, drawn with the study's `shuffle`."""
    generator = np.random.default_rng(study.shuffle)
    drawn = generator.permutation(len(teachers))[: study.utility.sample if study.utility else 0]
    return [teachers[index] for index in sorted(drawn.tolist())]


def find_unit(name: str, units: Sequence[Unit]) -> Unit:
    """The unit of that name; ConfigError with the nearest name if there is none."""
    for unit in units:
        if unit.name == name:
            return unit
    raise ConfigError(
        "the study has no such unit", where="--unit", found=name,
        remedy=nearest(name, [unit.name for unit in units]) + "`--dry_run` lists them",
    )  # fmt: skip


def write_done(folder: Path, key: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Marks the unit in that folder as done."""
    values = {"key": fingerprint(key), "of": dict(key), **result}
    write_atomic(folder / UNIT, json.dumps(values, ensure_ascii=False, indent=1) + "\n", "the unit")


def read_done(folder: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the unit in that folder wrote; None if it is not done, or if its key is another.

    Raises:
        DataError: the file is not one of a unit.
    """
    path = folder / UNIT
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as cause:
        raise DataError(
            "the unit's file cannot be read", where=str(path), found=str(cause),
            remedy="remove it, and run the study again",
        ) from None  # fmt: skip
    if not isinstance(found, dict) or "key" not in found:
        raise DataError("this is not the file of a unit", where=str(path), remedy="remove it")
    return found if found["key"] == fingerprint(key) else None
