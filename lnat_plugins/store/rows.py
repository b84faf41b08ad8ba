"""One samples file, line by line: each line is a prompt with all its scored responses.

Knows nothing of other files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.record import StepSums

_AGAIN: Final = "the file was cut or edited: run lm_eval with --log_samples again"
_NOT_OURS: Final = "name a samples file that lm_eval wrote with --log_samples for a teacher set"
_OWN_FIELDS: Final = ("teacher", "sample", "response", "correct", "steps")


@dataclass(frozen=True)
class ScoredRow:
    """One response with its scores.

    Attributes:
        prompt_id, teacher, sample: together the row's key.
        text: the response, verbatim.
        correct: as the teacher set says; None = it does not.
        record: the per-step sums.
        where: file, line, prompt and teacher, for errors.
        steps: the row's own steps, which join to `text`, or None.
        extra: the row's other columns.
    """

    prompt_id: str
    teacher: str
    sample: int | str
    text: str
    correct: bool | None
    record: StepSums
    where: str
    steps: tuple[str, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def response_chars(self) -> int:
        """Length of the response in characters."""
        return len(self.text)


@dataclass(frozen=True)
class PromptText:
    """What was asked, before a chat template or a delimiter.

    Attributes:
        text: as plain text.
        messages: as turns, {"role": ..., "content": ...}; a plain prompt is one user turn.
    """

    text: str
    messages: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class ScoredPrompt:
    """One line: a prompt and its rows, in the order of its responses.

    asked: the prompt's text and turns.
    where: file and line, for errors.
    """

    prompt_id: str
    rows: tuple[ScoredRow, ...]
    asked: PromptText
    where: str


def read_prompts(path: Path) -> Iterator[ScoredPrompt]:
    """The lines of a samples file, in order.

    Raises:
        DataError: unreadable text or JSON, a line of something else, a record that does not
            fit its response; names file and line.
    """
    for number, line in _lines(path):
        yield _prompt(_parse(line, f"{path} line {number}"), f"{path} line {number}")


def looks_scored(path: Path) -> bool:
    """Whether the first line is that of a teacher set. A line that cannot be read counts as one,
    so that reading the file tells what is wrong with it.
    """
    try:
        for number, line in _lines(path):
            doc = _parse(line, f"{path} line {number}")["doc"]
            return isinstance(doc, Mapping) and {"prompt_id", "responses"} <= doc.keys()
    except DataError:
        pass
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    empty = True
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    empty = False
                    yield number, line
    except UnicodeDecodeError:
        raise DataError(
            "not UTF-8 text", where=f"{path} line {number + 1}", remedy=_AGAIN
        ) from None
    except OSError as error:
        raise DataError("cannot be opened", where=str(path), found=error.strerror) from None
    if empty:
        raise DataError("the samples file is empty", where=str(path), remedy=_AGAIN)


def _parse(line: str, where: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError("not valid JSON", where=where, found=line.rstrip(), remedy=_AGAIN) from None
    if not isinstance(parsed, Mapping) or not {"doc", "resps"} <= parsed.keys():
        raise DataError("not a line of a samples file", where=where, found=line, remedy=_NOT_OURS)
    return parsed


def _prompt(line: Mapping[str, Any], where: str) -> ScoredPrompt:
    doc, answers = line["doc"], line["resps"]
    if not isinstance(doc, Mapping) or not isinstance(doc.get("responses"), list):
        raise DataError(
            "a sample of another task, not of a teacher set", where=where, remedy=_NOT_OURS
        )
    prompt_id = doc.get("prompt_id")
    if not isinstance(prompt_id, str):
        raise DataError(
            "field 'prompt_id' is not a text", where=where, found=prompt_id, remedy=_AGAIN
        )
    where = f"{where}, prompt {prompt_id!r}"
    responses = doc["responses"]
    if not isinstance(answers, list) or len(answers) != len(responses):
        raise DataError(
            f"not one scored record for each of {len(responses)} responses",
            where=where,
            found=answers,
            remedy=_AGAIN,
        )
    pairs = zip(responses, answers, strict=True)
    return ScoredPrompt(
        prompt_id,
        tuple(_row(prompt_id, response, answer, where) for response, answer in pairs),
        _asked(doc, where),
        where,
    )


def _asked(doc: Mapping[str, Any], where: str) -> PromptText:
    text = doc.get("prompt")
    if not isinstance(text, str):
        raise DataError("field 'prompt' is not a text", where=where, found=text, remedy=_AGAIN)
    turns = doc.get("messages") or [{"role": "user", "content": text}]
    fits = isinstance(turns, list) and all(
        isinstance(turn, Mapping)
        and turn.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in turn.values())
        for turn in turns
    )
    if not fits:
        raise DataError(
            "field 'messages' is not a list of turns", where=where, found=turns, remedy=_AGAIN
        )
    return PromptText(text, tuple(turns))


def _row(prompt_id: str, response: Any, answer: Any, where: str) -> ScoredRow:
    if not isinstance(response, Mapping) or not isinstance(response.get("response"), str):
        raise DataError(
            "a response without the field 'response'", where=where, found=response, remedy=_AGAIN
        )
    teacher, correct = response.get("teacher"), response.get("correct")
    where = f"{where}, teacher {teacher!r}"
    if not isinstance(answer, list) or len(answer) != 1:
        raise DataError("not a scored record", where=where, found=answer, remedy=_NOT_OURS)
    record = StepSums.from_json(answer[0], where)
    if (record.teacher, record.sample) != (teacher, response.get("sample")):
        raise DataError(
            "the record belongs to another response",
            where=where,
            found=f"teacher {record.teacher}, sample {record.sample}",
            remedy=_AGAIN,
        )
    if correct is not None and not isinstance(correct, bool):
        raise DataError(
            "field 'correct' is neither true, false nor null", where=where, found=correct
        )
    return ScoredRow(
        prompt_id=prompt_id,
        teacher=record.teacher,
        sample=record.sample,
        text=response["response"],
        correct=correct,
        record=record,
        where=where,
        steps=_steps(response.get("steps"), where),
        extra={name: value for name, value in response.items() if name not in _OWN_FIELDS},
    )


def _steps(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(step, str) for step in value):
        raise DataError(
            "field 'steps' is not a list of text", where=where, found=value, remedy=_AGAIN
        )
    return tuple(value)
