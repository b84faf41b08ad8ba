"""A response that is a conversation: every turn of the assistant, between tools' and users' turns.

The turns before the first one that the teacher wrote are the prompt; those after it belong to the
response, and only what the teacher wrote in them is scored. An assistant turn that nobody wrote,
such as a greeting of the program, is scripted: it is read and not scored.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.files import RepeatedKeyError, parse_json, require_regular
from lnat_plugins.teacher_set.conversations import (
    THINKING_KEYS,
    Reply,
    Turn,
    as_messages,
    read_turn,
    role_of,
)
from lnat_plugins.teacher_set.fields import check_json, check_unicode, known
from lnat_plugins.teacher_set.prompts import ConversationTurn, Message
from lnat_plugins.teacher_set.responses import ParsedResponse

BETWEEN: Final = "\n\n"
"""What stands between turns in the text of a response."""

_CONTENT: Final = ("content", "value")
_OF_TOOLS: Final = ("name", "tool_call_id")


class WholeConversation(NamedTuple):
    """A conversation as read.

    Args:
        opening: the turns before the first that is scored.
        turns: all turns, the opening's too.
        reply: what the teacher wrote, turns joined by a blank line.
    """

    opening: tuple[Message, ...]
    turns: tuple[ConversationTurn, ...]
    reply: Reply


def read_conversation(
    value: Any, scripted: Any, think_template: str, where: str
) -> WholeConversation:
    """Turns, checked: OpenAI's with `tool_calls`, or ShareGPT's with `function_call`.

    Args:
        value: the list of turns.
        scripted: the places of assistant turns that are not the teacher's, from 0, or None.
        think_template: joins thinking and answer of a turn.

    Raises:
        DataError: no list of turns, none that is scored, a call that is no call, an opening that
            does not end with a user or a tool.
    """
    if not isinstance(value, list | tuple) or not value:
        raise DataError(
            "this must be a list of turns", where=where, found=value,
            remedy='write [{"role": "user", "content": ...}, {"role": "assistant", ...}]',
        )  # fmt: skip
    turns = [_read(turn, f"{where}, turn {i}") for i, turn in enumerate(value, start=1)]
    for place in _places(scripted, turns, where):
        turns[place] = {**turns[place], "scripted": True}
    own = [i for i, turn in enumerate(turns) if is_scored(turn)]
    texts = [text for i in own if (text := _text(turns[i], think_template))]
    if not texts:
        raise DataError(
            "the conversation has no turn that the teacher wrote", where=where,
            found=[turn["role"] for turn in turns],
            remedy="turns of the assistant that are not in `scripted`, and not empty, are scored",
        )  # fmt: skip
    before = turns[: own[0]]
    if not before or before[-1]["role"] not in ("user", "tool"):
        raise DataError(
            "the turn before the first of the assistant must be a user's", where=where,
            found=[turn["role"] for turn in before],
            remedy="name a greeting that the teacher did not write in a column `scripted`",
        )  # fmt: skip
    opening = as_messages(
        [Turn(turn["role"], turn["content"], turn.get("reasoning_content", "")) for turn in before]
    )
    return WholeConversation(opening, tuple(turns), Reply(BETWEEN.join(texts), "", where))


def is_scored(turn: Mapping[str, Any]) -> bool:
    """Whether the teacher wrote this turn."""
    return turn["role"] == "assistant" and not turn.get("scripted")


def first_scored(turns: Sequence[ConversationTurn]) -> int:
    """The place of the first turn that the teacher wrote."""
    return next(i for i, turn in enumerate(turns) if is_scored(turn))


def for_template(turns: Iterable[ConversationTurn]) -> list[dict[str, Any]]:
    """The turns with the keys that chat templates read."""
    return [{key: turn[key] for key in turn if key != "scripted"} for turn in turns]


def without_observations(turns: Sequence[ConversationTurn]) -> list[ConversationTurn]:
    """The turns, with nothing in those of users and tools after the first that is scored."""
    first = first_scored(turns)
    return [
        {**turn, "content": ""} if i > first and turn["role"] in ("user", "tool") else turn
        for i, turn in enumerate(turns)
    ]


def join_openings(
    rows: Iterable[ParsedResponse], system: Literal["own", "common"]
) -> Iterator[ParsedResponse]:
    """Conversations of one id with one prompt: the opening of the first of them.

    Each is still read behind its own turns; see `prompts.Response.turns`.

    Args:
        system: "common" = each is read behind the system turn of the first, if that has one.
    """
    first: dict[str, tuple[Message, ...]] = {}
    for row in rows:
        known = row.messages
        if row.prompt_id is not None:
            known = first.setdefault(row.prompt_id, known)
        turns = row.response.turns or ()
        if system == "common" and (opening := _systems(known)):
            turns = (*opening, *turns[len(_systems(turns)) :])
        yield row._replace(messages=known, response=replace(row.response, turns=turns))


def read_tools(path: Path) -> list[Any]:
    """The tools in a JSON file.

    Raises:
        ConfigError: the file is not there, is a pipe or a device, or holds no list of objects.
    """
    require_regular(path, ConfigError, "`naturalness: tools`")
    try:
        found = parse_json(path.read_text("utf-8"), finite=True)
    except (OSError, ValueError, RecursionError) as cause:
        repeated = isinstance(cause, RepeatedKeyError)
        why = str(cause) if repeated else getattr(cause, "strerror", None) or "no JSON"
        raise ConfigError(
            f"`naturalness: tools` names a file that cannot be read: {why}", where=str(path),
            remedy="give a JSON file with a list of tools",
        ) from None  # fmt: skip
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        raise ConfigError(
            "`naturalness: tools` names a file that holds no list of objects", where=str(path),
            remedy="write the tools as the chat template reads them",
        )  # fmt: skip
    return found


_SYSTEM: Final = ("system", "developer")


def _systems(turns: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The system turns at the beginning."""
    end = next((i for i, turn in enumerate(turns) if turn["role"] not in _SYSTEM), len(turns))
    return turns[:end]


def _read(turn: Any, where: str) -> dict[str, Any]:
    calls: list[dict[str, Any]] = []
    keys = dict(turn) if isinstance(turn, Mapping) else {}
    # A table holds every key of a column's turns, as null where a turn has none.
    role = next((keys[key] for key in ("role", "from") if keys.get(key) is not None), None)
    if role == "function_call":
        found = next((keys[name] for name in _CONTENT if keys.get(name) is not None), None)
        calls = _calls(_parsed(found, where) or [found], where)
        thinking = {key: keys[key] for key in THINKING_KEYS if key in keys}
        keys = {"role": "assistant", "content": "", **thinking}
    else:
        if asked := keys.pop("tool_calls", None):
            asked = _parsed(asked, where)
            calls = _calls(asked, where) if asked else []
        named = keys.keys() & {*_CONTENT}
        written = [name for name in named if keys[name] is not None and keys[name] != []]
        if not written and (calls or (named and role_of(role) in ("assistant", "tool"))):
            keys = {key: value for key, value in keys.items() if key not in _CONTENT}
            keys["content"] = ""
    own = read_turn(keys or turn, where, blank=True)
    if calls and own.role != "assistant":
        raise DataError(
            "only an assistant turn calls tools", where=where, found=own.role,
            remedy="write the calls into the turn of the assistant",
        )  # fmt: skip
    read: dict[str, Any] = {"role": own.role, "content": own.content}
    if own.thinking:
        read["reasoning_content"] = own.thinking
    if calls:
        read["tool_calls"] = calls
    for name in _OF_TOOLS if own.role == "tool" else ():
        if isinstance(keys.get(name), str):
            check_unicode(keys[name], f"{where}, {name}")
            read[name] = keys[name]
    return read


def _parsed(value: Any, where: str) -> Any:
    """The value, or what its JSON text holds."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise DataError(
            "a call of a tool must be an object with `name` and `arguments`, or its JSON text",
            where=where, found=value, remedy='write {"name": ..., "arguments": {...}}',
        ) from None  # fmt: skip


def _calls(value: Any, where: str) -> list[dict[str, Any]]:
    """Calls as chat templates read them: arguments as an object where they are one."""
    if isinstance(value, Mapping):
        value = [value]
    calls = []
    for call in value if isinstance(value, list | tuple) else [value]:
        function = (call.get("function") or call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise DataError(
                "a call of a tool must be an object with `name` and `arguments`, or its JSON text",
                where=where, found=call, remedy='write {"name": ..., "arguments": {...}}',
            )  # fmt: skip
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            try:
                read = json.loads(arguments or "{}")
            except (ValueError, RecursionError):
                read = arguments
            arguments = read if isinstance(read, Mapping) else arguments
        own = {"name": function["name"], "arguments": arguments}
        check_json(own, f"{where}, tool_calls")
        named = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        check_json(named, f"{where}, tool_calls")
        calls.append({**named, "type": "function", "function": own})
    return calls


def _places(scripted: Any, turns: Sequence[Mapping[str, Any]], where: str) -> list[int]:
    """The places in the column `scripted`: one or a list, whole numbers or their JSON text."""
    found = known(scripted)
    if isinstance(found, str):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(found or "[]")
    listed = [] if found is None else found if isinstance(found, list | tuple) else [found]
    # A table writes whole numbers beside nulls as fractions.
    places = [int(one) if isinstance(one, float) and one.is_integer() else one for one in listed]
    for place in places:
        right = isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(turns)
        if not right or turns[place]["role"] != "assistant":
            raise DataError(
                "`scripted` must hold places of assistant turns, counted from 0",
                where=where, found=scripted, remedy=f"the conversation has {len(turns)} turns",
            )  # fmt: skip
    return places


def _text(turn: Mapping[str, Any], think_template: str) -> str:
    """What the teacher wrote in a turn, however a template will write it."""
    reply = Reply(turn["content"], turn.get("reasoning_content", ""), "")
    called = (call["function"] for call in turn.get("tool_calls", ()))
    calls = [json.dumps(function, ensure_ascii=False) for function in called]
    return "\n".join(part for part in (reply.text(think_template), *calls) if part)
