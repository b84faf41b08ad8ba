"""The scores of one task by one student, as read from one or several samples files.

Knows nothing of how files are found and read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.store.rows import PromptText, ScoredRow


@dataclass(frozen=True)
class ScoredSet:
    """Every scored response, in file order.

    Attributes:
        task: the task's name, from the file name; "unknown" if the file was renamed.
        student: the model's name or path, from `results_*.json` beside the samples file, else
            the name of the folder.
        rows: one per (prompt, teacher, sample).
        prompts: prompt ids in order of first appearance, those without a response included.
        asked: prompt id -> what was asked.
        windows: as the settings list them; the first is the default.
        settings: the task's settings.
        settings_hash: their fingerprint; the same in every row.
        splitter: name and version; the same in every row.
        paths: the engine paths met among the rows, sorted.
        files: the files read, in order.
        left_aside: "file: reason" for each samples file that was found but not read.
        duplicates: rows met again with the same numbers, and counted once.
    """

    task: str
    student: str
    rows: tuple[ScoredRow, ...]
    prompts: tuple[str, ...]
    asked: Mapping[str, PromptText]
    windows: tuple[str, ...]
    settings: Mapping[str, Any]
    settings_hash: str
    splitter: str
    paths: tuple[str, ...]
    files: tuple[str, ...]
    left_aside: tuple[str, ...]
    duplicates: int

    @property
    def teachers(self) -> tuple[str, ...]:
        """Teachers in order of first appearance."""
        return tuple(dict.fromkeys(row.teacher for row in self.rows))

    def rows_of(self, teachers: Collection[str] | None) -> tuple[ScoredRow, ...]:
        """The rows of these teachers, None = all, in file order.

        Raises:
            ConfigError: one that is not among them.
        """
        known = self.teachers
        for teacher in teachers or ():
            if teacher not in known:
                raise ConfigError(
                    f"unknown teacher {teacher!r}",
                    where=f"task {self.task}",
                    remedy=did_you_mean(teacher, known),
                )
        return tuple(row for row in self.rows if teachers is None or row.teacher in teachers)
