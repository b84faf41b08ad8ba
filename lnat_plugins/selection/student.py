"""The student that rows are chosen for, and stored scores as a student and its candidates.

A student in this process computes scores and lengths (`scoring.student`); one that lm-eval has
scored looks them up. Prompts come back the way that run rendered them, up to the chat template
itself: the settings in each record say whether there was one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Protocol

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.chat import load_tokenizer, training_tokens
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.teacher_set.prompts import Candidate, Candidates, Message, plain_text

_RENDERING: Final = ("chat_template", "system_instruction", "target_delimiter")


class Student(Protocol):
    """The model that is about to be trained, as far as choosing needs it.

    Every method takes rows of one set of candidates and returns one value a row, in order.
    """

    @property
    def name(self) -> str:
        """The model's name or path."""

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """Step sums of each response under the selection's windows."""

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each response alone, as it is scored."""

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each row as fine-tuning reads it: prompt, template, response, end."""


@dataclass(frozen=True)
class ScoredStudent:
    """A `Student` that has scored everything already: its answers are looked up.

    Attributes:
        name: the model's name or path.
        records: one for each candidate, in order.
        plain: see `Candidates.plain`.
        tokenizer: folder or name of the tokenizer that training will use; by default `name`.
        load: how it is loaded, once, when a length in training is first needed.
        arguments: what a row gives to the chat template in training; None for nothing, as where
            lm-eval renders it.
    """

    name: str
    records: Sequence[StepSums]
    plain: bool
    tokenizer: str | None = None
    load: Callable[[str], Any] = load_tokenizer
    arguments: Callable[[Candidate], Mapping[str, Any]] | None = None

    @cached_property
    def _tokenizer(self) -> Any:
        return self.load(self.tokenizer or self.name)

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """The stored record of each row."""
        return [self.records[row.index] for row in rows]

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each response, tags included, as counted when it was scored."""
        return [self.records[row.index].n_read for row in rows]

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each row as training reads it.

        Raises:
            StudentError: the tokenizer cannot be loaded, or cannot render the rows.
            DataError: the template does not take a row.
        """
        return [
            training_tokens(
                self._tokenizer,
                row.messages,
                row.text,
                plain=self.plain,
                template_arguments=self.arguments and self.arguments(row),
                where=row.where,
            )
            for row in rows
        ]


def candidates_of_scores(scored: ScoredSet) -> Candidates:
    """The scored responses as rows to choose from, in order, prompts as they were rendered.

    Raises:
        DataError: scores that do not say how prompts were rendered.
    """
    if missing := [name for name in _RENDERING if name not in scored.settings]:
        raise DataError(
            "the scores do not say how prompts were rendered",
            where=", ".join(scored.files[:1]), found=f"no {', '.join(missing)} among the settings",
            remedy="score the teacher set again with lm_eval --log_samples",
        )  # fmt: skip
    template, system, delimiter = (scored.settings[name] for name in _RENDERING)

    def rendered(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """As the harness's task renders them: the system instruction first, then the turns."""
        if template is None:
            opening = f"{system}\n\n" if system else ""
            return ({"role": "user", "content": opening + plain_text(messages) + delimiter},)
        return ({"role": "system", "content": system}, *messages) if system else messages

    rows = (
        replace(row.candidate, index=index, messages=rendered(row.candidate.messages))
        for index, row in enumerate(scored.rows)
    )
    return Candidates(tuple(rows), plain=template is None)


def provenance_of_scores(scored: ScoredSet) -> Provenance:
    """Which files and settings the scores come from, for the training set's own files."""
    versions = dict.fromkeys(one for row in scored.rows for one in row.record.versions.items())
    packages = dict.fromkeys(package for package, _ in versions)
    return Provenance(
        task=scored.task,
        files=scored.files,
        scoring={
            "settings": dict(scored.settings),
            "settings_hash": scored.settings_hash,
            "splitter": scored.splitter,
            "engine": list(scored.paths),
        },
        versions={
            package: ", ".join(version for name, version in versions if name == package)
            for package in packages
        },
    )
