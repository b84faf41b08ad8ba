"""Several samples files of one task made into one set, or refused if they do not belong together.

Knows nothing of how files are found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from lnat_plugins.errors import DataError
from lnat_plugins.record import StepSums
from lnat_plugins.store.rows import ScoredPrompt, ScoredRow, read_prompts
from lnat_plugins.store.samples_files import SamplesFile
from lnat_plugins.store.scored_set import ScoredSet

TOLERANCE: Final = 1e-9
"""Sums this near each other, absolutely or relatively, are the same number."""

_ONE_RUN: Final = "name the files of one run only"


def merge(files: Sequence[SamplesFile], left_aside: tuple[str, ...]) -> ScoredSet:
    """Read files of one task and student, in order, into one set; a row met twice is kept once.

    Raises:
        DataError: a file cannot be read; prompts, settings or splitters differ; or the same
            (prompt, teacher, sample) has different numbers in two places.
    """
    rows: dict[tuple[str, str, int | str], ScoredRow] = {}
    prompts: dict[str, ScoredPrompt] = {}
    duplicates = 0
    for file in files:
        for prompt in read_prompts(file.path):
            known = prompts.setdefault(prompt.prompt_id, prompt)
            if known.asked != prompt.asked:
                raise DataError(
                    f"prompt {prompt.prompt_id!r} is another prompt than at {known.where}",
                    where=prompt.where,
                    remedy="merge files of one teacher set only",
                )
            for row in prompt.rows:
                first = rows.setdefault((row.prompt_id, row.teacher, row.sample), row)
                if first is not row:
                    duplicates += 1
                    _refuse_other_numbers(first, row)
    kept = tuple(rows.values())
    if not kept:
        raise DataError("no scored response in the samples file", where=str(files[0].path))
    for row in kept:
        _refuse_other_settings(kept[0], row)
    record = kept[0].record
    return ScoredSet(
        task=files[0].task,
        student=files[0].student,
        rows=kept,
        prompts=tuple(prompts),
        asked={prompt_id: prompt.asked for prompt_id, prompt in prompts.items()},
        windows=_windows(record),
        settings=record.settings,
        settings_hash=record.settings_hash,
        splitter=record.splitter,
        paths=tuple(sorted({row.record.path for row in kept})),
        files=tuple(str(file.path) for file in files),
        left_aside=left_aside,
        duplicates=duplicates,
    )


def _windows(record: StepSums) -> tuple[str, ...]:
    listed = record.settings.get("windows")
    return tuple(map(str, listed if isinstance(listed, list) else record.sums))


def _refuse_other_settings(first: ScoredRow, row: ScoredRow) -> None:
    ours, theirs = first.record, row.record
    if theirs.settings_hash != ours.settings_hash:
        found = f"{dict(theirs.settings)}, not {dict(ours.settings)}"
    elif theirs.splitter != ours.splitter:
        found = f"{theirs.splitter}, not {ours.splitter}"
    else:
        return
    raise DataError(
        f"scored with other settings than {first.where}",
        where=row.where,
        found=found,
        remedy=_ONE_RUN,
    )


def _refuse_other_numbers(first: ScoredRow, row: ScoredRow) -> None:
    _refuse_other_settings(first, row)
    same = (
        row.text == first.text
        and row.correct == first.correct
        and same_numbers(row.record, first.record)
    )
    if not same:
        raise DataError(
            f"sample {row.sample!r} has other numbers, another text or another verdict than at "
            f"{first.where}",
            where=row.where,
            remedy=_ONE_RUN,
        )


def same_numbers(one: StepSums, other: StepSums) -> bool:
    """Whether spans and counts agree, and every number within `TOLERANCE`; NaN agrees with NaN."""
    if (one.spans, one.tokens) != (other.spans, other.tokens):
        return False
    if one.totals.keys() != other.totals.keys() or not _same_statistics(one, other):
        return False
    return all(
        _close(one.totals[window], other.totals[window])
        and _close_lists(one.sums[window], other.sums[window])
        for window in one.totals
    )


def _same_statistics(one: StepSums, other: StepSums) -> bool:
    ours = {**one.step_statistics, **{name: (value,) for name, value in one.statistics.items()}}
    theirs = {
        **other.step_statistics,
        **{name: (value,) for name, value in other.statistics.items()},
    }
    return ours.keys() == theirs.keys() and all(
        _close_lists(values, theirs[name]) for name, values in ours.items()
    )


def _close(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _close_lists(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(_close(a, b) for a, b in zip(one, other, strict=True))
