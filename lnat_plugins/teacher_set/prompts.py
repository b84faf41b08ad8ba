"""Prompts with their teachers' responses, and the same rows one by one as candidates for training.

Text is kept exactly as it was read, whatever file or trainer the rows come from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from operator import attrgetter
from typing import Any, Final

from lnat_plugins.teacher_set.config import Sensitivity, Settings
from lnat_plugins.teacher_set.unusable import UnusableRows

Message = Mapping[str, str]
"""One turn of a conversation: {"role": ..., "content": ...}. An earlier assistant turn with a
thinking part apart from its content has that under "reasoning_content", as templates read it."""

ConversationTurn = Mapping[str, Any]
"""A turn of a response that is a conversation: as `Message`, and `tool_calls` of an assistant's,
`name` and `tool_call_id` of a tool's; `scripted` of an assistant turn that is not the teacher's."""

JSON = Any
"""A value that JSON can hold."""

READ_BY_TEMPLATE: Final = ("tools", "chat_template_kwargs")
"""A row's other columns that TRL gives to the chat template; see `template_columns`."""


@dataclass(frozen=True, slots=True)
class Response:
    """One teacher's answer to one prompt.

    sample: number or name of one of a teacher's several answers to a prompt; 0 if there is one.
    correct: None where it is not known.
    steps: the row's own steps, which join to `text`, or None.
    extra: the row's other columns that JSON can hold. One that has the name of a field of ours is
        kept as "row_<name>".
    where: file and row, or line and prompt of a samples file, for messages.
    parts: thinking and answer, where the data had them apart; `text` is both joined by the set's
        `think_template`. None where there is no thinking part, or it stands in the text.
    turn: the keys of its turn but the role, where the student's chat template takes them apart
        ({"content": answer, "reasoning_content": thinking}); None where the text is the content.
    turns: of a response that is a conversation, all turns from the first one on, the prompt's too;
        `text` is what the teacher wrote in them. None where the response is one turn.
    """

    teacher: str
    text: str
    sample: int | str = 0
    correct: bool | None = None
    steps: tuple[str, ...] | None = None
    extra: Mapping[str, JSON] = field(default_factory=dict)
    where: str = ""
    parts: tuple[str, str] | None = None
    turn: Mapping[str, str] | None = None
    turns: tuple[ConversationTurn, ...] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # As a dataclass with slots does it by itself, it takes three times as long.
        return Response, _FIELDS(self)


_FIELDS: Final = attrgetter(*(each.name for each in fields(Response)))


def plain_text(messages: Iterable[Message]) -> str:
    """A conversation as plain text: the contents of its turns, joined by a blank line."""
    return "\n\n".join(message["content"] for message in messages)


@dataclass(frozen=True)
class Prompt:
    """One prompt and the responses to it, in the order of the data.

    messages: the conversation up to the response; it ends with a user's or a tool's turn. A
        plain-text prompt is one user message.
    """

    prompt_id: str
    messages: tuple[Message, ...]
    responses: tuple[Response, ...]

    @property
    def text(self) -> str:
        """The prompt as plain text; see `plain_text`."""
        return plain_text(self.messages)


@dataclass(frozen=True)
class NearEqual:
    """Prompts left out that would join but for Unicode form, line ends or blanks.

    Attributes:
        prompts: left out, that would join with another; of two that are both left out, one counts.
        example: one pair: where both are, and their texts around the first difference.
    """

    prompts: int
    example: str

    def in_words(self) -> str:
        """As a sentence."""
        verb = "prompt left out equals" if self.prompts == 1 else "prompts left out equal"
        return (
            f"{self.prompts} {verb} another up to Unicode form, line ends or blanks: "
            f"{self.example}. Rows are joined by exactly the same prompt, so write them alike."
        )


@dataclass(frozen=True, repr=False)
class TeacherSet:
    """Prompts with responses from several teachers, ready to be scored.

    Attributes:
        name: the task's.
        prompts: in order of first appearance.
        teachers: in order of first appearance.
        dropped: reason -> number of responses dropped for it; rows, where `where` drops them.
        unusable: every teacher -> its rows that could not be used, which `dropped` counts too; ""
            stands for those of which no teacher is known.
        near_equal: prompts left out that exact joining keeps apart; None if there are none.
        settings: the YAML's `naturalness` block, defaults filled in.
        tokens, sensitivity: of the same block, see `config.TaskSpec`.
        columns: "prompt", "system", "think" -> the columns they were read from; what the set has.
        notes: what the data holds that may be meant otherwise, a sentence each.
    """

    name: str
    prompts: tuple[Prompt, ...]
    teachers: tuple[str, ...]
    dropped: Mapping[str, int]
    settings: Settings
    tokens: bool = True
    sensitivity: Sensitivity = "basic"
    unusable: Mapping[str, UnusableRows] = field(default_factory=dict)
    near_equal: NearEqual | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<TeacherSet {self.name}: {len(self.prompts)} prompts, {self.n_responses} responses, "
            f"teachers {', '.join(self.teachers)}>"
        )

    @property
    def all_notes(self) -> tuple[str, ...]:
        """`near_equal` in words, and `notes`."""
        return (*([self.near_equal.in_words()] if self.near_equal else []), *self.notes)

    @property
    def n_responses(self) -> int:
        """Number of responses kept."""
        return sum(len(prompt.responses) for prompt in self.prompts)

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits of the sha256 of what is scored.

        Covers prompts, teachers, samples, responses and supplied steps, in order; not `correct`,
        `extra`, the name or the settings (these have a fingerprint of their own).
        """
        values: list[JSON] = []
        for prompt in self.prompts:
            values.append([prompt.prompt_id, role_and_content(prompt.messages)])
            values += [
                [r.teacher, r.sample, r.text, r.steps, *([r.turns] if r.turns else [])]
                for r in prompt.responses
            ]
        return _fingerprint(values)


def role_and_content(messages: Iterable[Message]) -> tuple[tuple[str, ...], ...]:
    """A conversation as hashable pairs; a turn with a thinking part has it as a third."""
    return tuple(
        (message["role"], message["content"], message["reasoning_content"])
        if "reasoning_content" in message
        else (message["role"], message["content"])
        for message in messages
    )


def _read_by_template(response: Response) -> tuple[JSON, ...]:
    """What else of a row a chat template reads; nothing where it has none of it."""
    found = {name: response.extra.get(name) for name in READ_BY_TEMPLATE}
    given = {name: value for name, value in found.items() if value is not None}
    if response.turn is not None:
        given["turn"] = dict(response.turn)
    if response.turns is not None:
        given["turns"] = response.turns
    return (given,) if given else ()


def _fingerprint(values: Iterable[JSON], start: bytes = b"") -> str:
    digest = hashlib.sha256(start)
    for value in values:
        digest.update(json.dumps(value, ensure_ascii=False, default=str).encode() + b"\n")
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row that could be trained on: a response with the prompt that it answers.

    index: among the candidates, from 0; the row's number in the data set it came from.
    prompt_id: rows with the same id answer the same prompt.
    messages: the conversation up to the response; see `Candidates.plain`.
    """

    index: int
    prompt_id: str
    messages: tuple[Message, ...]
    response: Response

    @property
    def teacher(self) -> str:
        """Who wrote the response."""
        return self.response.teacher

    @property
    def text(self) -> str:
        """The response, verbatim."""
        return self.response.text

    @property
    def parts(self) -> tuple[str, str] | None:
        """Thinking and answer, where the data had them apart; see `Response`."""
        return self.response.parts

    @property
    def where(self) -> str:
        """File or data set, row and teacher, for messages."""
        return f"{self.response.where}, teacher {self.teacher!r}"


@dataclass(frozen=True)
class Candidates:
    """All candidates, in the order of the data; `rows[i].index == i`.

    plain: whether prompts are plain text: the one user message of `messages` is read as it is and
        followed by the response with nothing between. If not, they are conversations, rendered
        with the student's chat template.
    """

    rows: tuple[Candidate, ...]
    plain: bool = False

    @classmethod
    def of_prompts(
        cls, prompts: Iterable[Prompt], *, plain: bool = False, delimiter: str = ""
    ) -> Candidates:
        """The responses of a teacher set; with `plain`, its prompts as text and `delimiter`."""
        rows: list[Candidate] = []
        for prompt in prompts:
            text: Message = {"role": "user", "content": prompt.text + delimiter}
            messages = (text,) if plain else prompt.messages
            for response in prompt.responses:
                rows.append(Candidate(len(rows), prompt.prompt_id, messages, response))
        return cls(tuple(rows), plain)

    @cached_property
    def teachers(self) -> tuple[str, ...]:
        """Teachers in order of first appearance."""
        return tuple(dict.fromkeys(row.teacher for row in self.rows))

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits, equal for equal rows in the same order.

        Covers prompts, teachers, samples, responses, correctness, supplied steps and rewards.
        """
        values = (
            [
                row.prompt_id, role_and_content(row.messages), row.teacher, row.response.sample,
                row.text, row.response.correct, row.response.steps,
                row.response.extra.get("reward"),
                *(() if self.plain else _read_by_template(row.response)),
            ]
            for row in self.rows
        )  # fmt: skip
        return _fingerprint(values, start=b"plain" if self.plain else b"conversations")
