"""The student that rows are chosen for, and stored scores as a student and its candidates.

A student in this process computes scores and lengths (`scoring.student`); one that lm-eval has
scored looks them up. Prompts come back the way that run rendered them, up to the chat template
itself: the settings in each record say whether there was one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Protocol

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.rows import Renderer, warned
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.teacher_set.prompts import Candidate, Candidates, Message, plain_text
from lnat_plugins.teacher_set.template_columns import settle_template_columns

OTHER_IDS: Final = "training reads other token ids than were scored"
NOT_COMPARED: Final = "the ids that training reads were not compared"
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

    def training_notes(self, rows: Sequence[Candidate]) -> dict[str, int]:
        """In what training reads rows otherwise than a reader would expect -> number of rows."""


@dataclass(frozen=True)
class ScoredStudent:
    """A `Student` that has scored everything already: its answers are looked up.

    Attributes:
        name: the model's name or path.
        records: one for each candidate, in order.
        plain: see `Candidates.plain`.
        tokenizer: folder or name of the tokenizer that training will use; by default `name`.
        load: how it is loaded, once, when training's ids are first needed.
        arguments: of the chat template in every row, with which the rows were scored.
    """

    name: str
    records: Sequence[StepSums]
    plain: bool
    tokenizer: str | None = None
    load: Callable[[str], Any] = load_tokenizer
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.load(self.tokenizer or self.name), self.plain)

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """The stored record of each row."""
        return [self.records[row.index] for row in rows]

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each response, tags included, as counted when it was scored."""
        return [self.records[row.index].whole_ids for row in rows]

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each row as training reads it.

        Raises:
            StudentError: the tokenizer cannot be loaded, or cannot render the rows.
            DataError: the template does not take a row.
        """
        return [self._renderer.row(row).n_tokens for row in rows]

    def training_notes(self, rows: Sequence[Candidate]) -> dict[str, int]:
        """As `Student.training_notes`; where the tokenizer cannot be loaded, that is the note.

        Raises:
            DataError: the template does not take a row, or drops or changes part of a response.
        """
        try:
            renderer = self._renderer
        except StudentError:
            why = "the student's tokenizer cannot be loaded (give --tokenizer a folder)"
            return {f"{NOT_COMPARED}: {why}": len(rows)}
        # The same where no arguments were given, and a rendering is most of the time.
        as_scored = replace(renderer, arguments=self.arguments) if self.arguments else renderer
        # The outputs of tools are trained on; of scores without them they were left out by choice.
        blanked = replace(renderer, observations="none")
        differing: Counter[str] = Counter()
        told: Counter[str] = Counter()
        for row in rows:
            trained = renderer.row(row)
            record = self.records[row.index]
            scored, known = record.ids_digest, trained.digest
            if record.settings.get("observations") == "none":
                known = blanked.row(row).digest
            if not scored:
                differing[f"{NOT_COMPARED}: the scores are of an older version"] += 1
            elif scored != known:
                differing[OTHER_IDS] += 1
            again = scored == known and as_scored is not renderer
            told.update((as_scored.row(row) if again else trained).notes)
        return warned(told) | dict(differing)


def candidates_of_scores(scored: ScoredSet) -> Candidates:
    """The scored responses as rows to choose from, in order, prompts as they were rendered.

    Raises:
        DataError: scores that do not say how prompts were rendered; columns that TRL would not
            give to the template as they are.
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

    responses = [row.candidate.response for row in scored.rows]
    # Rows of a prompt share one object of messages, and here the rendered ones too.
    of_messages = {id(row.candidate.messages): row.candidate.messages for row in scored.rows}
    rendered_as = {key: rendered(messages) for key, messages in of_messages.items()}
    if template is not None:
        extras = settle_template_columns(responses)
        pairs = zip(responses, extras, strict=True)
        responses = [replace(response, extra=extra) for response, extra in pairs]
    rows = (
        Candidate(
            row.candidate.index if row.candidate.index == index else index,  # one object for both
            row.prompt_id,
            rendered_as[id(row.candidate.messages)],
            response,
        )
        for index, (row, response) in enumerate(zip(scored.rows, responses, strict=True))
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
