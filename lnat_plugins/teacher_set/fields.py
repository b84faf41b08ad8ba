"""One value of a row, checked: text, conversation, verdict, sample, supplied steps.

Every check returns the value, or raises a DataError with file, row and column. No text is changed.
Of a conversation's turns only `role` and `content` are kept; a turn that holds more of what the
student would read (reasoning, tool calls, images) is refused, other keys are ignored.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.steps import supplied_spans
from lnat_plugins.teacher_set.prompts import Message

RESERVED: Final = ("teacher", "sample", "response", "correct", "steps")
"""Fields of a response; another column of that name is kept as row_<name>."""

ROLES: Final = ("system", "developer", "user", "assistant", "tool")

_NOT_SCORED: Final = (
    "audio", "function_call", "images", "reasoning", "reasoning_content", "thinking", "tool_calls",
)  # fmt: skip


def extra_columns(values: Mapping[str, Any], taken: Collection[str], where: str) -> dict[str, Any]:
    """The values that JSON can hold, without the columns in `taken`."""
    kept = {}
    for name, value in values.items():
        if name in taken:
            continue
        try:
            coded = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            continue
        _check_unicode(coded, f"{where}, column {name!r}")
        _check_unicode(str(name), f"{where}, a column's name")
        kept[f"row_{name}" if name in RESERVED else name] = value
    return kept


def known(value: Any) -> Any:
    """The value, or None for a NaN, by which pandas writes that there is none."""
    return None if isinstance(value, float) and math.isnan(value) else value


def checked_text(value: Any, where: str) -> str:
    """Text that is neither empty nor blank, and that UTF-8 can hold."""
    if not isinstance(value, str):
        if known(value) is None:
            raise DataError("the value is null", where=where, remedy="fill it or remove the row")
        raise DataError(
            f"this must be text, not {type(value).__name__}",
            where=where, found=value, remedy="write it as text, or name another column",
        )  # fmt: skip
    if not value.strip():
        raise DataError(
            "the text is empty" if not value else "the text is nothing but white space",
            where=where, found=value, remedy="fill it or remove the row",
        )  # fmt: skip
    _check_unicode(value, where)
    return value


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise DataError(
            f"a lone surrogate at character {cause.start}: no tokenizer can read it",
            where=where, found=text[max(0, cause.start - 10) : cause.end + 10],
            remedy="fix the row where it was written; half of an emoji is the usual cause",
            reason="a lone surrogate, which no tokenizer can read",
        ) from None  # fmt: skip


def correctness(value: Any, where: str, typed: bool = True) -> bool | None:
    """True, False or None (not known) from a boolean, 0 or 1, or null."""
    if known(value) is None or (not typed and value == ""):
        return None
    if not typed and isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise DataError(
        "`correct` must be true, false, 0, 1 or null", where=where, found=value,
        remedy="write the verdict as a boolean; `columns: {correct: null}` ignores the column",
    )  # fmt: skip


def sample_key(value: Any, where: str) -> int | str | None:
    """The number or name of one of several responses of a teacher to a prompt."""
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise DataError(
            "`sample` must be a whole number or text", where=where, found=value,
            remedy="number a teacher's answers 0, 1, ...; "
            "`columns: {sample: null}` ignores the column",
        )  # fmt: skip
    if isinstance(value, str):
        _check_unicode(value, where)
    return value


def supplied_steps(value: Any, text: str, where: str, typed: bool = True) -> tuple[str, ...] | None:
    """The row's own steps: a list of text that joins to the response exactly."""
    if value is None or (not typed and value == ""):
        return None
    if not typed and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list) or not all(isinstance(step, str) for step in value):
        raise DataError(
            "`steps` must be a list of text", where=where, found=value,
            remedy='write ["one step. ", "the next."]; `columns: {steps: null}` ignores the column',
        )  # fmt: skip
    supplied_spans(text, value, where)
    return tuple(value)


def prompt_messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt, given as text (one user turn) or as a list of turns, checked."""
    if not isinstance(value, list | tuple):
        return ({"role": "user", "content": checked_text(value, where)},)
    return _ending_with_user(_turns(value, where), where)


def split_conversation(value: Any, where: str) -> tuple[tuple[Message, ...], str]:
    """The turns before the last assistant turn, and that turn's text."""
    turns = _turns(value, where)
    roles = [turn["role"] for turn in turns]
    if "assistant" not in roles:
        raise DataError(
            "the conversation has no assistant turn",
            where=where, found=roles, remedy="the response is the last turn, of role assistant",
        )  # fmt: skip
    if roles[-1] != "assistant":
        raise DataError(
            "the conversation does not end with an assistant turn",
            where=where, found=roles, remedy="cut it after the turn that is the response",
        )  # fmt: skip
    text = checked_text(turns[-1]["content"], f"{where}, last turn")
    return _ending_with_user(turns[:-1], where), text


def completion_text(value: Any, where: str) -> str:
    """A completion, given as text or as a list of one assistant turn."""
    if not isinstance(value, list | tuple):
        return checked_text(value, where)
    turns = _turns(value, where)
    roles = [turn["role"] for turn in turns]
    if roles != ["assistant"]:
        raise DataError(
            "a completion must be exactly one assistant turn",
            where=where, found=roles, remedy="move the turns before it into the prompt",
        )  # fmt: skip
    return checked_text(turns[0]["content"], where)


def _turns(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise DataError(
            "this must be a list of turns", where=where, found=value,
            remedy='write [{"role": "user", "content": ...}, {"role": "assistant", ...}]',
        )  # fmt: skip
    return tuple(_turn(turn, f"{where}, turn {i}") for i, turn in enumerate(value, start=1))


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, Mapping) or not {"role", "content"} <= set(turn):
        raise DataError(
            "a turn must have a `role` and a `content`",
            where=where, found=sorted(turn) if isinstance(turn, Mapping) else turn,
            remedy='from/value pairs (ShareGPT) must be rewritten as {"role": ..., "content": ...}',
        )  # fmt: skip
    role, content = turn["role"], turn["content"]
    if role not in ROLES:
        known = f"known: {', '.join(ROLES)}"
        raise DataError("unknown role", where=where, found=role, remedy=known)
    if more := [key for key in _NOT_SCORED if turn.get(key)]:
        raise DataError(
            "the turn holds more than its content, which would not be scored",
            where=where, found=more, remedy="put it into `content`, as the student is to read it",
        )  # fmt: skip
    if content != "":
        # an empty system turn is how some templates switch their default off
        checked_text(content, where)
    return {"role": role, "content": content}


def _ending_with_user(turns: tuple[Message, ...], where: str) -> tuple[Message, ...]:
    if not turns or turns[-1]["role"] not in ("user", "tool"):
        raise DataError(
            "the prompt must end with a user turn",
            where=where, found=[turn["role"] for turn in turns],
            remedy="the turn before the response is what it answers",
        )  # fmt: skip
    checked_text(turns[-1]["content"], f"{where}, the prompt's last turn")
    return turns
