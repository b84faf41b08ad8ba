"""Turns of a conversation, and what a model's reply consists of.

Turns are written as OpenAI's `role` and `content` or ShareGPT's `from` and `value`. What the
student would read beside them and cannot be scored (images; tool calls, but see
`whole_conversations`) is refused; other keys of a turn are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.fields import check_unicode, checked_text
from lnat_plugins.teacher_set.prompts import Message
from lnat_plugins.teacher_set.thinking import split_thinking

ROLES: Final = ("system", "developer", "user", "assistant", "tool")

_OTHER_ROLES: Final[Mapping[str, str]] = {
    "human": "user",
    **dict.fromkeys(("gpt", "model", "chatgpt", "bot"), "assistant"),
    "observation": "tool",
}
"""ShareGPT's names of roles -> ours."""

THINKING_KEYS: Final = ("reasoning_content", "reasoning", "thinking")
"""Keys of an assistant turn that hold its thinking part."""

REPLY_KEYS: Final = (
    "role", "from", "content", "value", "message", "text", "index", "finish_reason", *THINKING_KEYS
)  # fmt: skip
"""Keys of a turn or a choice, which are no other columns of its row."""

_TEXT_PARTS: Final = ("text", "input_text", "output_text")

_NOT_SCORED: Final = ("audio", "function_call", "images", "tool_calls")


class Turn(NamedTuple):
    """One turn. thinking: an assistant's, where it stands apart from the content; else ""."""

    role: str
    content: str
    thinking: str = ""


class Reply(NamedTuple):
    """One answer of a model.

    answer: its text; with `thinking` that stands apart, the part after it.
    finish_reason: why it ended, where the data says so.
    where: for messages.
    """

    answer: str
    thinking: str
    where: str
    finish_reason: str | None = None

    def text(self, template: str) -> str:
        """Thinking and answer joined by a template; without thinking the answer alone."""
        if not self.thinking:
            return self.answer
        before, _, after = template.partition("{think}")
        if "{answer}" in before:
            before = before.replace("{answer}", self.answer)
        else:
            after = after.replace("{answer}", self.answer)
        return f"{before}{self.thinking}{after}"

    def with_thinking(self, thinking: Any) -> Reply:
        """The reply with a thinking part that stands in a column of its own.

        The same text twice counts once, also where the answer holds it between its tags.

        Raises DataError for thinking that is no text, or that differs from the reply's own.
        """
        if thinking is None or thinking == "":
            return self
        thinking = _thinking_text(thinking, self.where)
        if self.thinking:
            if self.thinking != thinking:
                raise _two_thoughts(self.where, [self.thinking, thinking])
            return self
        inside = split_thinking(self.answer).thinking
        if inside is not None and inside.strip() == thinking.strip():
            return self
        return self._replace(thinking=thinking)


def read_turns(value: Any, where: str) -> list[Turn]:
    """A list of turns, checked."""
    if not isinstance(value, list | tuple) or not value:
        raise DataError(
            "this must be a list of turns", where=where, found=value,
            remedy='write [{"role": "user", "content": ...}, {"role": "assistant", ...}]',
        )  # fmt: skip
    return [read_turn(turn, f"{where}, turn {i}") for i, turn in enumerate(value, start=1)]


def as_messages(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Turns as chat templates read them, earlier thinking under the key `reasoning_content`.

    Raises nothing: the turns were checked when they were read.
    """
    return tuple(
        {"role": turn.role, "content": turn.content, "reasoning_content": turn.thinking}
        if turn.thinking
        else {"role": turn.role, "content": turn.content}
        for turn in turns
    )


def prompt_messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt, given as text (one user turn) or as a list of turns, checked."""
    if not isinstance(value, list | tuple):
        return ({"role": "user", "content": checked_text(value, where)},)
    return _ending_with_user(read_turns(value, where), where)


def with_system(messages: tuple[Message, ...], system: str, where: str) -> tuple[Message, ...]:
    """The conversation behind a system turn; one that says the same already stays as it is."""
    own = [turn["content"] for turn in messages if turn["role"] in ("system", "developer")]
    if not own:
        return ({"role": "system", "content": checked_text(system, where)}, *messages)
    if own[0] == system:
        return messages
    raise DataError(
        "two system turns", where=where, found=[system, own[0]],
        remedy="remove one of them; `columns: {system: null}` ignores the column",
    )  # fmt: skip


def split_conversation(value: Any, where: str) -> tuple[tuple[Message, ...], Reply]:
    """The turns before the last assistant turn, and that turn."""
    turns = read_turns(value, where)
    roles = [turn.role for turn in turns]
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
    reply = _reply_of(turns[-1], f"{where}, last turn")
    return _ending_with_user(turns[:-1], where), reply


def replies(value: Any, where: str) -> list[Reply | DataError]:
    """A response column's value as the answers it holds; None stands for one that not filled.

    The value is text, a list of texts, an assistant turn or a list of one, content in parts, or
    what an API returned: `choices`, or an object that holds them.
    """
    if isinstance(value, str):
        return [_text_reply(value, where)]
    if isinstance(value, Mapping):
        if value.get("choices") is not None:
            return replies(value["choices"], f"{where}, choices")
        return [_object_reply(value, where)]
    if not isinstance(value, list | tuple):
        return [_text_reply(value, where)]
    if value and all(isinstance(item, Mapping) for item in value):
        if _is_content(value):
            content, thinking = _content(value, where, "assistant")
            return [_reply_of(Turn("assistant", content, thinking), where)]
        if any(is_choice(item) for item in value):
            if len(value) == 1:
                return [_object_reply(value[0], where)]
            places = [f"{where}, choice {i}" for i in range(1, len(value) + 1)]
            return [*map(_tried(_object_reply), value, places)]
        return [_completion(value, where)]
    if not value:
        raise DataError(
            "the list of responses is empty", where=where, found=value,
            remedy="fill it or remove the row",
        )  # fmt: skip
    if len(value) == 1:
        return [_text_reply(value[0], where)]
    places = [f"{where}, item {i}" for i in range(1, len(value) + 1)]
    return [*map(_tried(_text_reply), value, places)]


def _tried(read: Callable[[Any, str], Reply]) -> Callable[[Any, str], Reply | DataError]:
    """The function with its DataError as a value."""

    def run(item: Any, where: str) -> Reply | DataError:
        try:
            return read(item, where)
        except DataError as error:
            return error

    return run


def _text_reply(item: Any, where: str) -> Reply:
    return Reply(checked_text(item, where), "", where)


def is_choice(item: Mapping[str, Any]) -> bool:
    """Whether an object is one of an API's choices: a `message`, or a `text` and why it ended."""
    return isinstance(item.get("message"), Mapping) or (
        isinstance(item.get("text"), str) and ("finish_reason" in item or "index" in item)
    )


def holds_reply(item: Mapping[str, Any]) -> bool:
    """Whether an object is a choice, or has the keys of a turn."""
    return is_choice(item) or "content" in item or ("from" in item and "value" in item)


def _completion(value: Sequence[Mapping[str, Any]], where: str) -> Reply:
    turns = read_turns(value, where)
    roles = [turn.role for turn in turns]
    if roles != ["assistant"]:
        raise DataError(
            "a completion must be exactly one assistant turn",
            where=where, found=roles, remedy="move the turns before it into the prompt",
        )  # fmt: skip
    return _reply_of(turns[0], where)


def _object_reply(item: Mapping[str, Any], where: str) -> Reply:
    """A turn, or a choice: an object with its `message` or its `text`, and why it ended."""
    reason = item.get("finish_reason")
    if is_choice(item) and not isinstance(item.get("message"), Mapping):
        reply = Reply(checked_text(item["text"], where), "", where)
    else:
        own = item["message"] if isinstance(item.get("message"), Mapping) else item
        turn = read_turn({"role": "assistant", **own}, where)
        if turn.role != "assistant":
            raise DataError(
                "a completion must be exactly one assistant turn", where=where, found=[turn.role],
                remedy="move the turns before it into the prompt",
            )  # fmt: skip
        reply = _reply_of(turn, where)
    return reply._replace(finish_reason=reason) if isinstance(reason, str) else reply


def _reply_of(turn: Turn, where: str) -> Reply:
    return Reply(checked_text(turn.content, where), turn.thinking, where)


def role_of(value: Any) -> str:
    """Our name of a role, of which ShareGPT's and others are known; "" for what is no text."""
    found = value.lower() if isinstance(value, str) else ""
    return _OTHER_ROLES.get(found, found)


def read_turn(turn: Any, where: str, *, blank: bool = False) -> Turn:
    """A turn, checked.

    Args:
        blank: whether its content may be nothing but white space.
    """
    keys = turn if isinstance(turn, Mapping) else {}
    named = [key for key in ("role", "from") if key in keys]
    written = [key for key in ("content", "value") if key in keys]
    if not named or not written:
        raise DataError(
            "a turn must have a `role` and a `content`, or `from` and `value`",
            where=where, found=sorted(map(str, turn)) if isinstance(turn, Mapping) else turn,
            remedy='write {"role": "user", "content": ...}',
        )  # fmt: skip
    # A table holds every key of a column's turns, as null where a turn has none.
    role = next((keys[key] for key in named if keys[key] is not None), None)
    value: Any = next((keys[key] for key in written if keys[key] is not None), None)
    known = role_of(role)
    if known not in ROLES:
        remedy = f"known: {', '.join((*ROLES, *_OTHER_ROLES))}"
        raise DataError("unknown role", where=where, found=role, remedy=remedy)
    refused = _NOT_SCORED if known == "assistant" else (*_NOT_SCORED, *THINKING_KEYS)
    if more := [key for key in refused if turn.get(key)]:
        raise DataError(
            "the turn holds more than its content, which would not be scored",
            where=where, found=more,
            remedy="put it into `content`, as the student is to read it"
            + (", or score whole conversations: `turns: all`" if "tool_calls" in more else ""),
        )  # fmt: skip
    thinking = ""
    if _is_content(value):
        value, thinking = _content(value, where, known)
    if blank and isinstance(value, str):
        check_unicode(value, where)
    elif value != "":
        # an empty system turn is how some templates switch their default off
        checked_text(value, where)
    if known == "assistant":
        thinking = _thinking(turn, thinking, where)
    return Turn(known, value, thinking)


def _thinking(turn: Mapping[str, Any], found: str, where: str) -> str:
    """The thinking part of an assistant turn; keys with equal text count once."""
    for key in THINKING_KEYS:
        if turn.get(key):
            own = _thinking_text(turn[key], f"{where}, {key}")
            if found and own != found:
                raise _two_thoughts(where, [found, own])
            found = own
    return found


def _thinking_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(
            f"the thinking part must be text, not {type(value).__name__}",
            where=where, found=value, remedy="name another column as `think`, or null",
        )  # fmt: skip
    check_unicode(value, where)
    return value


def _two_thoughts(where: str, found: list[str]) -> DataError:
    return DataError(
        "two different thinking parts", where=where, found=found,
        remedy="keep the one that the student is to read",
    )  # fmt: skip


def text_of_parts(value: Any, where: str) -> str:
    """Text, or content in parts as text."""
    return _content(value, where, "system")[0] if _is_content(value) else checked_text(value, where)


def _is_content(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in value)
    )


def _content(parts: Sequence[Mapping[str, Any]], where: str, role: str) -> tuple[str, str]:
    """Content in parts as text, joined by nothing; an assistant's parts of thinking beside it."""
    text, thinking = "", ""
    for i, part in enumerate(parts, start=1):
        kind = part["type"]
        if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
            text += part["text"]
        elif kind == "thinking" and role == "assistant" and isinstance(part.get("thinking"), str):
            thinking += part["thinking"]
        else:
            raise DataError(
                "a part of the content is no text", where=f"{where}, part {i}", found=kind,
                remedy="the student reads text alone; leave the row out",
            )  # fmt: skip
    check_unicode(thinking, where)
    return text, thinking


def _ending_with_user(turns: Sequence[Turn], where: str) -> tuple[Message, ...]:
    if not turns or turns[-1].role not in ("user", "tool"):
        raise DataError(
            "the prompt must end with a user turn",
            where=where, found=[turn.role for turn in turns],
            remedy="the turn before the response is what it answers",
        )  # fmt: skip
    checked_text(turns[-1].content, f"{where}, the prompt's last turn")
    return as_messages(turns)
