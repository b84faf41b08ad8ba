"""The lines of a samples file as prompts with their scored responses, each checked.

A large file is read by several processes, a part each.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lnat_plugins.errors import DataError, validate
from lnat_plugins.processes import in_processes
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples_files import CUT, NOT_OURS, Part, parts_of, read_lines
from lnat_plugins.scoring.stored import Sample
from lnat_plugins.scoring.token_values import TokensInFile
from lnat_plugins.teacher_set.prompts import Message, Response
from lnat_plugins.teacher_set.whole_conversations import is_scored

_NO_EXTRA: Final[Mapping[str, Any]] = {}


def _turn(turn: dict[str, str]) -> dict[str, str]:
    if turn.keys() - {"reasoning_content"} != {"role", "content"}:
        raise ValueError("a turn has the keys 'role' and 'content'")
    return turn


def _conversation(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for turn in turns:
        if not (isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)):
            raise ValueError("a turn has the keys 'role' and 'content'")
    if not any(map(is_scored, turns)):
        raise ValueError("a conversation has a turn that the teacher wrote")
    return turns


class _StoredPrompt(BaseModel):
    """A document of the task, without its responses. `messages` is missing in old files."""

    model_config = ConfigDict(strict=True)

    prompt_id: str
    prompt: str
    messages: list[Annotated[dict[str, str], AfterValidator(_turn)]] | None = None


class _StoredResponse(BaseModel):
    """A response in its document; with the other columns of its row."""

    model_config = ConfigDict(strict=True, extra="allow")

    teacher: str
    sample: Sample
    response: str
    correct: bool | None = Field(None, json_schema_extra={"must_be": "true, false or null"})
    steps: list[str] | None = None
    turn: dict[str, str] | None = None
    conversation_turns: Annotated[list[dict[str, Any]], AfterValidator(_conversation)] | None = None


class ScoredPrompt(NamedTuple):
    """A line: a prompt, and its responses with their records, in order."""

    prompt_id: str
    messages: tuple[Message, ...]
    responses: Sequence[tuple[Response, StepSums]]
    where: str


def read_prompts(path: Path) -> Generator[ScoredPrompt, None, None]:
    """The prompts of a file, in order; a large file is read by several processes."""
    parts = parts_of(path)
    if len(parts) < 2:
        yield from _prompts_of(path)
        return
    empty = True
    with closing(in_processes(_read_part, parts)) as found:
        for part, prompts in found:
            for prompt in _prompts_of(path, part) if prompts is None else prompts:
                empty = False
                yield prompt
    if empty:
        yield from _prompts_of(path)  # which says so


def _read_part(part: Part) -> list[ScoredPrompt]:
    return [*_prompts_of(part.path, part)]


def _prompts_of(path: Path, part: Part | None = None) -> Iterator[ScoredPrompt]:
    like: StepSums | None = None
    for line, where, offset in read_lines(path, part):
        doc, replies = line["doc"], line["resps"]
        if not isinstance(doc, Mapping) or not isinstance(doc.get("responses"), list):
            what = "a sample of another task, not of a teacher set"
            raise DataError(what, where=where, remedy=NOT_OURS)
        prompt = validate(_StoredPrompt, doc, where=where, kind=DataError, key="field", remedy=CUT)
        where = f"{where}, prompt {prompt.prompt_id!r}"
        n = len(doc["responses"])
        if not isinstance(replies, list) or len(replies) != n:
            what = f"not one scored record for each of {n} responses"
            raise DataError(what, where=where, found=replies, remedy=CUT)
        messages: tuple[Message, ...] = tuple(
            prompt.messages or [{"role": "user", "content": prompt.prompt}]
        )
        place, responses = (path, offset), []
        for number, (doc_row, reply) in enumerate(zip(doc["responses"], replies, strict=True)):
            tokens = TokensInFile(place, number)
            response, record = _read_response(doc_row, reply, where, tokens, like)
            like = like or record
            responses.append((response, record))
        yield ScoredPrompt(prompt.prompt_id, messages, responses, where)


def _read_response(
    doc_row: object, reply: object, where: str, tokens: TokensInFile, like: StepSums | None
) -> tuple[Response, StepSums]:
    if isinstance(doc_row, Mapping) and not isinstance(doc_row.get("turn"), Mapping | None):
        # In older files a column of that name was the row's own.
        doc_row = {**doc_row, "row_turn": doc_row["turn"], "turn": None}
    own = validate(
        _StoredResponse, doc_row, where=f"{where}, response {tokens.number + 1}", kind=DataError,
        key="field", remedy=CUT,
    )  # fmt: skip
    place = f"{where}, teacher {own.teacher!r}"
    if not isinstance(reply, list) or len(reply) != 1:
        raise DataError("not a scored record", where=place, found=reply, remedy=NOT_OURS)
    record = StepSums.from_json(reply[0], place, like=like, tokens=tokens)
    if (record.teacher, record.sample) != (own.teacher, own.sample):
        found = f"teacher {record.teacher}, sample {record.sample}"
        what = "the record belongs to another response"
        raise DataError(what, where=place, found=found, remedy=CUT)
    end, length = record.spans[-1][1] if record.spans else 0, len(own.response)
    if record.spans and (end > length if record.whole else end != length):
        raise DataError(
            "the record's field 'spans' does not end where the response does", where=place,
            found=f"{end} of {length} characters", remedy=CUT,
        )  # fmt: skip
    steps = None if own.steps is None else tuple(own.steps)
    extra = own.model_extra or _NO_EXTRA
    response = Response(
        sys.intern(own.teacher),
        own.response,
        own.sample,
        own.correct,
        steps,
        extra,
        where,
        turn=own.turn,
        turns=None if own.conversation_turns is None else tuple(own.conversation_turns),
    )
    return response, record
