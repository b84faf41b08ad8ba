"""What a report is made from: scored responses with their texts, and how they were scored.

Knows nothing of files. A `ScoredSet` gives one, and so can any program that scored by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.record import StepSums
from lnat_plugins.store import ScoredSet


class ReportRow(Protocol):
    """A scored response with its text; `store.ScoredRow` is one."""

    @property
    def prompt_id(self) -> str:
        """Which prompt it answers."""

    @property
    def teacher(self) -> str:
        """Who wrote it."""

    @property
    def sample(self) -> int | str:
        """Which of the teacher's responses to this prompt."""

    @property
    def text(self) -> str:
        """The response, verbatim."""

    @property
    def correct(self) -> bool | None:
        """Whether it is correct; None = not known."""

    @property
    def record(self) -> StepSums:
        """Its step sums."""


@dataclass(frozen=True)
class ReportSource:
    """Scored responses, and how they came about.

    Attributes:
        task, student: their names.
        rows: at least one response.
        prompts: ids of all prompts, unscored ones included.
        asked: prompt id -> what was asked, as plain text; a prompt may be missing.
        windows: the scored windows; the first is the default.
        settings: as they were scored, told as a table.
        files: what was read; may be empty.
    """

    task: str
    student: str
    rows: Sequence[ReportRow]
    prompts: Sequence[str]
    asked: Mapping[str, str]
    windows: Sequence[str]
    settings: Mapping[str, Any]
    files: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            raise DataError("there is no scored response to report on", where=f"task {self.task}")
        for row in self.rows:
            spans = row.record.spans
            end = spans[-1][1] if spans else 0
            if end != len(row.text):
                raise DataError(
                    "the scored steps do not cover the response",
                    where=f"prompt {row.prompt_id!r}, teacher {row.teacher!r}",
                    found=f"steps up to character {end} of {len(row.text)}",
                    remedy="score the responses again; the text was changed afterwards",
                )

    def window(self, asked: str | None) -> str:
        """The window asked for, or the default.

        Raises:
            ConfigError: it was not scored.
        """
        if asked is None:
            return self.windows[0]
        if asked not in self.windows:
            raise ConfigError(
                f"window {asked!r} was not scored",
                where=f"task {self.task}",
                remedy=did_you_mean(asked, self.windows),
            )
        return asked


def source_of_scores(scored: ScoredSet, teachers: Sequence[str] | None = None) -> ReportSource:
    """The source that lm-eval's scores make.

    Args:
        scored: one task by one student.
        teachers: take only these; None = all.

    Raises:
        ConfigError: a teacher that is not among them.
        DataError: nothing is left.
    """
    settings = {
        "splitter": scored.splitter,
        "engine": ", ".join(scored.paths),
        "settings hash": scored.settings_hash,
        **scored.settings,
    }
    return ReportSource(
        task=scored.task,
        student=scored.student,
        rows=scored.rows_of(teachers),
        prompts=scored.prompts,
        asked={prompt: asked.text for prompt, asked in scored.asked.items()},
        windows=scored.windows,
        settings=settings,
        files=scored.files,
    )
