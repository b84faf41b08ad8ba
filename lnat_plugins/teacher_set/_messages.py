"""Conversations: their shape, and where the prompt ends and the response begins.

Knows nothing of columns or teachers. Only `role` and `content` of a turn are kept; a
turn that holds more of what the student would read (reasoning, tool calls, images) is
refused, other keys are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set._fields import checked_text
from lnat_plugins.teacher_set.prompts import Message

ROLES: Final = ("system", "developer", "user", "assistant", "tool")

_HOLDS_MORE: Final = (
    "audio",
    "function_call",
    "images",
    "reasoning",
    "reasoning_content",
    "thinking",
    "tool_calls",
)


def prompt_messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt, given as text (one user turn) or as a list of turns, checked."""
    if not isinstance(value, list | tuple):
        return ({"role": "user", "content": checked_text(value, where)},)
    return _ending_with_user(_turns(value, where), where)


def split_conversation(value: Any, where: str) -> tuple[tuple[Message, ...], str]:
    """The turns before the last assistant turn, and that turn's text."""
    turns = _turns(value, where)
    if all(turn["role"] != "assistant" for turn in turns):
        raise DataError(
            "the conversation has no assistant turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="the response is the last turn, of role assistant",
        )
    if turns[-1]["role"] != "assistant":
        raise DataError(
            "the conversation does not end with an assistant turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="cut it after the turn that is the response",
        )
    text = checked_text(turns[-1]["content"], f"{where}, last turn")
    return _ending_with_user(turns[:-1], where), text


def completion_text(value: Any, where: str) -> str:
    """A completion, given as text or as a list of one assistant turn."""
    if not isinstance(value, list | tuple):
        return checked_text(value, where)
    turns = _turns(value, where)
    if [turn["role"] for turn in turns] != ["assistant"]:
        raise DataError(
            "a completion must be exactly one assistant turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="move the turns before it into the prompt",
        )
    return checked_text(turns[0]["content"], where)


def _turns(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise DataError(
            "this must be a list of turns",
            where=where,
            found=value,
            remedy='write [{"role": "user", "content": ...}, {"role": "assistant", ...}]',
        )
    return tuple(_turn(turn, f"{where}, turn {i}") for i, turn in enumerate(value, start=1))


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, Mapping) or not {"role", "content"} <= set(turn):
        raise DataError(
            "a turn must have a `role` and a `content`",
            where=where,
            found=sorted(turn) if isinstance(turn, Mapping) else turn,
            remedy='from/value pairs (ShareGPT) must be rewritten as {"role": ..., "content": ...}',
        )
    role, content = turn["role"], turn["content"]
    if role not in ROLES:
        raise DataError(
            "unknown role", where=where, found=role, remedy=f"known: {', '.join(ROLES)}"
        )
    more = [key for key in _HOLDS_MORE if turn.get(key)]
    if more:
        raise DataError(
            "the turn holds more than its content, which would not be scored",
            where=where,
            found=more,
            remedy="put it into `content`, as the student is to read it",
        )
    if content != "":
        # an empty system turn is how some templates switch their default off
        checked_text(content, where)
    return {"role": role, "content": content}


def _ending_with_user(turns: tuple[Message, ...], where: str) -> tuple[Message, ...]:
    if not turns or turns[-1]["role"] not in ("user", "tool"):
        raise DataError(
            "the prompt must end with a user turn",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="the turn before the response is what it answers",
        )
    checked_text(turns[-1]["content"], f"{where}, the prompt's last turn")
    return turns
