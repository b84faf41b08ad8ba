"""What a study found for one student, read from its `study.json` for the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, WrapValidator

from lnat_plugins.errors import validate
from lnat_plugins.files import irregular

_Number = Annotated[
    float, WrapValidator(lambda value, check: math.nan if value is None else check(value))
]


class Interval(BaseModel):
    """A figure and its interval; NaN = undefined."""

    model_config = ConfigDict(strict=True, frozen=True)

    value: _Number
    low: _Number
    high: _Number


class Arm(BaseModel):
    """What one arm reached."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    kind: str
    mean: Interval


class Agreeing(BaseModel):
    """One metric: its scores, and how well they order the teachers."""

    model_config = ConfigDict(strict=True, frozen=True)

    metric: str
    scores: dict[str, _Number]
    fixed: dict[str, Interval]
    resampled: dict[str, Interval]

    @property
    def tau(self) -> float:
        """Kendall's tau-b with the order after training; NaN if either is one tie."""
        return self.fixed["tau"].value


class _Arms(BaseModel):
    arms: list[Arm]


class _Agreement(BaseModel):
    metrics: list[Agreeing]


class StudyPart(BaseModel):
    """One student under one budget.

    Attributes:
        budget: its name.
        verdict: sentences.
        accuracy: teacher -> its mean after training, with the interval.
        metrics: those that could be compared, highest tau-b first.
    """

    model_config = ConfigDict(frozen=True)

    budget: str
    verdict: tuple[str, ...]
    accuracy: dict[str, Interval]
    metrics: tuple[Agreeing, ...]


class _Entry(BaseModel):
    student: str
    budget: str
    verdict: list[str]
    arms: _Arms
    agreement: _Agreement | None


def read_study(source: str | Path | None, student: str) -> tuple[StudyPart, ...]:
    """The parts of a study that are about this student; none where the source is no study.

    Args:
        source: what `--reference` names.
        student: its name or path; of a study of one student, it may have another name.

    Raises:
        ConfigError: a study of another form.
    """
    found = _parsed(source)
    if "study" not in found or not isinstance(found.get("students"), list):
        return ()
    where = f"--reference {Path(str(source)).name}"
    remedy = "write it again: lnat study"
    entries = [
        validate(_Entry, entry, where=f"{where}, students {i}", remedy=remedy)
        for i, entry in enumerate(found["students"], start=1)
    ]
    names = {student, PurePosixPath(student).name}
    named = {
        one.get("student") for one in found.get("reference") or []
        if isinstance(one, Mapping) and {one.get("student"), one.get("model")} & names
    }  # fmt: skip
    if len({entry.student for entry in entries}) == 1:
        named = {entries[0].student}
    return tuple(
        StudyPart(
            budget=entry.budget,
            verdict=tuple(entry.verdict),
            accuracy={arm.name: arm.mean for arm in entry.arms.arms if arm.kind == "teacher"},
            metrics=tuple(
                sorted(
                    (one for one in entry.agreement.metrics if {"tau"} <= one.fixed.keys()),
                    key=lambda one: math.inf if math.isnan(one.tau) else -one.tau,
                )
            ),
        )
        for entry in entries
        if entry.student in named and entry.agreement is not None
    )


def _parsed(source: str | Path | None) -> dict[str, Any]:
    """A JSON file's object; empty for anything else, which `read_reference` judges."""
    try:
        path = Path(str(source)).expanduser()
        found = {} if irregular(path) else json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}
