"""The rows that could be trained on: one pool, whatever file or trainer they came from.

Knows nothing of scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from lnat_plugins.teacher_set import Message, Prompt, Response


@dataclass(frozen=True)
class PoolRow:
    """One candidate: a response with the prompt that it answers.

    Attributes:
        index: its place in the pool, from 0; the row's number in the data set it came from.
        prompt_id: rows with the same id answer the same prompt.
        messages: the conversation up to the response; see `Pool.plain`.
        response: teacher, text, sample, verdict, supplied steps and the row's other columns.
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
    def where(self) -> str:
        """File or data set and row, for messages."""
        return self.response.where


@dataclass(frozen=True)
class Pool:
    """All candidates, in the order of the data; `rows[i].index == i`.

    Attributes:
        rows: at least one.
        plain: whether prompts are plain text, read exactly as they stand in the one user
            message of `messages` and followed by the response with nothing between. Else they
            are conversations, rendered with the student's chat template.
    """

    rows: tuple[PoolRow, ...]
    plain: bool = False

    @classmethod
    def of_prompts(
        cls, prompts: Iterable[Prompt], *, plain: bool = False, delimiter: str = ""
    ) -> Pool:
        """The responses of a teacher set, prompt by prompt.

        Args:
            prompts: each with its responses.
            plain: whether prompts become plain text, followed by `delimiter`.
            delimiter: of no effect on conversations.
        """
        rows: list[PoolRow] = []
        for prompt in prompts:
            text: Message = {"role": "user", "content": prompt.text + delimiter}
            messages = (text,) if plain else prompt.messages
            for response in prompt.responses:
                rows.append(PoolRow(len(rows), prompt.prompt_id, messages, response))
        return cls(tuple(rows), plain)

    @cached_property
    def teachers(self) -> tuple[str, ...]:
        """Teachers in order of first appearance."""
        return tuple(dict.fromkeys(row.teacher for row in self.rows))

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits that tell these rows, in this order, from others.

        Covers prompts, teachers, samples, responses, verdicts, supplied steps and rewards.
        """
        digest = hashlib.sha256(b"plain" if self.plain else b"conversations")
        for row in self.rows:
            turns = [[turn["role"], turn["content"]] for turn in row.messages]
            own = row.response
            value = [
                row.prompt_id,
                turns,
                own.teacher,
                own.sample,
                own.text,
                own.correct,
                own.steps,
                own.extra.get("reward"),
            ]
            digest.update(json.dumps(value, ensure_ascii=False, default=str).encode())
            digest.update(b"\n")
        return digest.hexdigest()[:12]
