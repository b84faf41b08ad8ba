"""Reads scores back from the samples files that lm-eval's `--log_samples` writes.

Knows nothing of lm-eval's code, of models and of metrics. Which files are read:

- a file named outright is read as it is;
- in a folder, searched with its sub-folders, of each student's and task's samples files in one
  place the newest is read, and the older ones are left aside (a run that was spread over several
  folders is therefore merged; one that was repeated in the same folder is not);
- files of different students are never merged; each student has a set of its own;
- samples files of other tasks that lie in the same folder are left aside.

`ScoredSet.files` and `ScoredSet.left_aside` say what came of it, so that a caller can show it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lnat_plugins.errors import DataError
from lnat_plugins.store.merge import merge
from lnat_plugins.store.rows import PromptText, ScoredRow
from lnat_plugins.store.samples_files import SamplesFile, find_samples_files
from lnat_plugins.store.scored_set import ScoredSet

__all__ = ["PromptText", "ScoredRow", "ScoredSet", "read_scored_set", "read_scores"]


def read_scores(sources: Iterable[str | Path]) -> tuple[ScoredSet, ...]:
    """All scores in the files and folders, one `ScoredSet` per task and student, in that order.

    Raises:
        DataError: no such file, no samples file in a folder, a line that cannot be read, or
            files of one task that do not belong together; names file, line and remedy.
    """
    found = find_samples_files([Path(source) for source in sources])
    runs: dict[tuple[str, str], list[SamplesFile]] = {}
    for file in found.files:
        runs.setdefault((file.task, _folder_name(file.student)), []).append(file)
    return tuple(merge(runs[run], found.left_aside) for run in sorted(runs))


def _folder_name(student: str) -> str:
    # lm-eval writes a model's files to a folder of this name; one file of a run may only have it.
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", student)


def read_scored_set(sources: Iterable[str | Path]) -> ScoredSet:
    """The scores of the one task and student that the files and folders hold.

    Raises:
        DataError: as `read_scores`, or they hold several tasks or students.
    """
    sets = read_scores(sources)
    if len(sets) > 1:
        raise DataError(
            "several tasks or students are scored here",
            found=", ".join(f"{scored.task} by {scored.student}" for scored in sets),
            remedy="name the samples file of one of them",
        )
    return sets[0]
