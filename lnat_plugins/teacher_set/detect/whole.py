"""Conversations of which every turn of the assistant is the response, such as agent traces."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import dropwhile, takewhile
from typing import Any, Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.teacher_set.conversations import THINKING_KEYS
from lnat_plugins.teacher_set.detect.found import Search
from lnat_plugins.teacher_set.detect.names import ID_NAMES, is_earlier
from lnat_plugins.teacher_set.detect.profile import ASSISTANT, Column, as_key, role_of
from lnat_plugins.teacher_set.detect.replies import CONVERSATIONS

_CALLS: Final = "function_call"
_TOOLS: Final = (_CALLS, "tool", "observation")
_SCRIPTED: Final = "scripted"


def whole_conversations(search: Search) -> Column | None:
    """The column of conversations in most of which tools are called; or the one that is hinted.

    None where there is none, and where another column is named as the response.
    """
    hints = search.hints
    if hints.response or hints.layout not in ("", "messages"):
        if hints.turns == "all":
            raise ConfigError(
                "whole conversations have no column of responses, and the messages layout",
                where="--turns", found=f"all, beside --layout {hints.layout}"
                if hints.layout
                else f"all, beside --response {','.join(hints.response)}",
                remedy="leave one of them out",
            )  # fmt: skip
        return None
    named = search.hinted(hints.prompt, "prompt") if hints.prompt else search.table.filled()
    talks = [
        column for column in named
        if column.kind in ("conversation", "turns") and column.filled * 2 >= len(search.table.rows)
        and not is_earlier(column.name)
    ]  # fmt: skip
    if hints.turns == "all":
        if not talks:
            raise search.ask(
                "no column holds conversations", named, "name it: --turns all --prompt COL"
            )
        return talks[0]
    calling = [column for column in talks if _mostly_calls(search, column)]
    return calling[0] if len(calling) == 1 else None


def take_whole(search: Search, talk: Column) -> None:
    """Read the conversations of that column whole."""
    search.whole = True
    values = [own for own in search.table.values(talk.name) if isinstance(own, list)]
    search.groups = _ids(search) or [
        as_key([*takewhile(_is_no_assistants, own)] if isinstance(own, list) else own)
        for own in search.table.values(talk.name)
    ]
    search.take("messages", "prompt", [talk.name], CONVERSATIONS)
    search.roles["prompt"] = f"{talk.name}, the turns before the assistant's first"
    search.roles["response"] = f"{talk.name}, every turn of the assistant"
    turns = [turn for own in values for turn in own if isinstance(turn, Mapping)]
    if any(turn.get(key) for turn in turns for key in THINKING_KEYS):
        search.roles["thinking"] = f"{talk.name}, beside the turns' content"
    if search.table.column(_SCRIPTED):
        search.taken.add(_SCRIPTED)
    if not search.hints.turns:
        search.doubts.append(
            f"tools are called in {talk.name}, so every turn of the assistant is the response; for "
            "the last turn alone: --turns last"
        )


def _ids(search: Search) -> list[str]:
    """For every row the id that several rows share: their openings may differ; [] without one."""
    for column in filter(None, map(search.table.column, ID_NAMES)):
        keys = [*map(as_key, search.table.values(column.name))]
        if column.filled == len(keys) and 1 < len({*keys}) < len(keys):
            return keys
    return []


def _mostly_calls(search: Search, column: Column) -> bool:
    values = [own for own in search.table.values(column.name) if isinstance(own, list)]
    return sum(map(_calls, values)) * 2 > len(values)


def _calls(turns: list[Any]) -> bool:
    """Whether a tool is called in the turns from the assistant's first on."""
    later = list(dropwhile(_is_no_assistants, turns))
    return any(
        role_of(turn) in _TOOLS or (isinstance(turn, Mapping) and turn.get("tool_calls"))
        for turn in later
    )


def _is_no_assistants(turn: Any) -> bool:
    return role_of(turn) not in (*ASSISTANT, _CALLS)
