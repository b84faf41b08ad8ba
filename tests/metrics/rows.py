"""Rows with statistics, built by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from lnat_plugins.metrics import METRICS, Ratings
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record


class Row(NamedTuple):
    """A scored response."""

    prompt_id: str
    teacher: str
    record: StepSums
    text: str = ""
    correct: bool | None = None
    extra: Mapping[str, Any] = MappingProxyType({})


def record_with(
    sums: Sequence[float] = (-4.0, -12.0),
    tokens: Sequence[int] = (2, 6),
    *,
    teacher: str = "QwQ",
    sample: int | str = 0,
    undefined: Mapping[str, str] | None = None,
    **statistics: float | Sequence[float],
) -> StepSums:
    """A record whose windows "4" and "global" hold `sums`; a list of numbers goes by step."""
    record = make_record(
        teacher, {"4": sums, "global": sums}, tokens, sample=sample, undefined=undefined
    )
    return replace(
        record,
        step_statistics={k: tuple(v) for k, v in statistics.items() if isinstance(v, Sequence)},
        statistics={k: v for k, v in statistics.items() if not isinstance(v, Sequence)},
    )


def row(record: StepSums, prompt_id: str = "p0") -> Row:
    """The record as its teacher's answer to the prompt."""
    return Row(prompt_id, record.teacher, record)


def rate(name: str, *rows: Row) -> Ratings:
    """A built-in metric of those rows."""
    return METRICS[name].rate(rows, "4")


def value(name: str, record: StepSums) -> float:
    """A built-in metric of one response."""
    return METRICS[name].of(record, "4")


def reason(name: str, record: StepSums) -> str:
    """Why it has no value; "" if it has one."""
    return rate(name, row(record)).reasons[0]
