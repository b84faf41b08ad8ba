"""Which layout a set has, and the columns of its prompts and responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

from lnat_plugins.teacher_set.detect.found import Search
from lnat_plugins.teacher_set.detect.names import is_earlier, read_name
from lnat_plugins.teacher_set.detect.profile import (
    ASSISTANT,
    Column,
    Values,
    as_key,
    role_of,
    same_text,
    text_of,
    varies,
)
from lnat_plugins.teacher_set.detect.replies import (
    CONVERSATIONS,
    choose_prompt,
    choose_response,
    choose_think,
    differs,
    response_columns,
    think_columns,
)
from lnat_plugins.teacher_set.detect.several import (
    are_models,
    families,
    nested_column,
    refuse_named_beside,
    says_the_same,
    take_nested,
    take_wide,
)
from lnat_plugins.teacher_set.detect.teachers import teacher_column
from lnat_plugins.teacher_set.detect.whole import take_whole, whole_conversations


def refuse_other_files(search: Search, files: Mapping[str, Sequence[Values]]) -> None:
    """Ask where the files have no column in common, so that they cannot be one set."""
    columns = [{key for row in rows for key in row} for rows in files.values()]
    if len(columns) > 1 and not set.intersection(*columns):
        odd = [
            f"{name} ({', '.join(sorted(own)[:4])})"
            for name, own in zip(files, columns, strict=True)
        ]
        raise search.ask(
            "the files have no column in common", odd, "give those of one teacher set alone"
        )


def choose_layout(search: Search) -> tuple[str, list[str] | None]:
    """Choose the layout and name its columns; with the teachers that the rows' shape names."""
    table, hints = search.table, search.hints
    talks = [
        c for c in table.filled()
        if c.kind == "conversation" and c.filled * 2 >= len(table.rows) and not is_earlier(c.name)
    ]  # fmt: skip
    search.doubts += [
        f"{c.name} may hold earlier turns of the prompt and is not read: write the rows as messages"
        for c in table.filled() if is_earlier(c.name) and c.kind in ("conversation", "turns")
    ]  # fmt: skip
    whole = whole_conversations(search)
    if whole and hints.turns != "last":
        take_whole(search, whole)
        return "messages", None
    if hints.layout == "messages":
        _take_conversation(search, search.hinted(hints.prompt, "prompt") or talks)
        return "messages", None
    if talks and not hints.layout and not hints.response:
        conversation = _conversation_wins(search, talks)
        if conversation:
            _take_conversation(search, [conversation])
            return "messages", None
        search.taken |= {c.name for c in talks}
    choose_prompt(search)
    if hints.layout in ("", "wide"):
        found = families(search)
        refuse_named_beside(search, found)
        several = any(len(own["response"]) > 1 for own in found.values())
        wide = are_models(tuple(found)) or (several and are_models([*found, *found]))
        own = teacher_column(search) if wide and not hints.layout else None
        if hints.layout == "wide" or (wide and not hints.response and own is None):
            if len(found) < 2 and hints.layout == "wide" and not hints.response:
                raise search.ask(
                    "it is not certain which columns hold the responses of the teachers",
                    [c for c in table.filled() if c.is_free], "name them: --response COL,COL",
                )  # fmt: skip
            return "wide", take_wide(search, found)
    if hints.layout in ("", "nested"):
        listed = nested_column(search)
        if listed:
            return "nested", take_nested(search, *listed)
        if hints.layout == "nested":
            raise search.ask(
                "no column holds lists of responses beside the names of their teachers",
                [c for c in table.filled() if c.kind in ("texts", "objects", "replies")],
                "name both: --response COL --teacher COL",
            )  # fmt: skip
    asked = search.columns.get("prompt", "prompt")
    if asked == "prompt" and hints.layout in ("", "prompt_completion"):
        completion = table.column("completion")
        found_columns = response_columns(search)
        if hints.layout or (completion and found_columns == [completion]):
            choose_response(search, default="completion")
            return "prompt_completion", None
    choose_response(search)
    return "long", None


def _conversation_wins(search: Search, talks: list[Column]) -> Column | None:
    """The conversation that holds the response; None if other columns hold it."""
    table = search.table
    if len(talks) > 1:
        first = table.values(talks[0].name)
        if not all(same_text(first, table.values(c.name)) for c in talks):
            raise search.ask(
                "several columns hold conversations", talks,
                "name the one: --layout messages --prompt COL; if each is a teacher's, write a row "
                "a response",
            )  # fmt: skip
    talk = talks[0]
    search.groups = _turns_before(search, talk)
    columns = [c for c in response_columns(search) if c.is_free]
    usual = [c for c in columns if read_name(c.name).rank == 0]
    same = [c for c in columns if says_the_same(search, talk, c)]
    if same:
        # the same text twice: the conversation if it holds more than the prompt, else the columns
        values = table.values(talk.name)
        plain = all(len(value) == 2 for value in values if isinstance(value, list))
        if not plain or not any(read_name(c.name).role == "prompt" for c in table.filled()):
            search.doubts.append(f"{same[0].name} repeats the last turn of {talk.name}: not read")
            search.taken.add(same[0].name)
            return talk
        search.doubts.append(f"{talk.name} repeats other columns and is not read")
        return None
    lists = [c for c in usual if c.kind == "texts"]
    if lists:
        search.doubts.append(
            f"{talk.name} holds one conversation a row and is not read: {lists[0].name} holds "
            "several responses"
        )
        return None
    ends = [v[-1] if isinstance(v, list) and v else None for v in table.values(talk.name)]
    still = varies(ends, search.groups) == 0 and any(differs(search, c) for c in columns)
    if still or any(differs(search, c) is not False for c in usual):
        raise search.ask(
            "a conversation and another column may hold the response", [talk, *columns],
            "choose: --layout messages, or --response COL",
        )  # fmt: skip
    for column in columns:
        search.doubts.append(
            f"{column.name} is not read: it is taken for the data set's own solution, and "
            f"{talk.name} for the responses"
        )
    return talk


def _turns_before(search: Search, talk: Column) -> list[str]:
    """For every row the turns before the last, as text."""
    values = search.table.values(talk.name)
    return [as_key(value[:-1] if isinstance(value, list) else value) for value in values]


def _take_conversation(search: Search, talks: list[Column]) -> None:
    if not talks or talks[0].kind not in ("conversation", "turns"):
        raise search.ask(
            "no column holds conversations that end with an assistant's turn"
            if not talks
            else f"{talks[0].name} holds no conversations",
            search.table.filled(), "name it: --layout messages --prompt COL",
        )  # fmt: skip
    talk = talks[0]
    search.groups = _turns_before(search, talk)
    search.take("messages", "prompt", [talk.name], CONVERSATIONS)
    search.roles["prompt"] = f"{talk.name}, the turns before the last"
    search.roles["response"] = f"{talk.name}, the last turn"
    turns = [v[-1] for v in search.table.values(talk.name) if isinstance(v, list) and v]
    inside = ("reasoning_content", "reasoning", "thinking")
    if any(isinstance(turn, Mapping) and any(turn.get(k) for k in inside) for turn in turns):
        search.roles["thinking"] = f"{talk.name}, beside the last turn's content"
    else:
        last = [v[-1] if isinstance(v, list) and v else v for v in search.table.values(talk.name)]
        choose_think(search, think_columns(search), last)
        if not search.hints.think:
            _refuse_other_thinking(search, talk)
    _refuse_long_talks(search, talk)


def _refuse_other_thinking(search: Search, talk: Column) -> None:
    """Ask where the last turns hold thinking under a key that is not read."""
    values = search.table.values(talk.name)
    lengths = sorted({len(value) for value in values if isinstance(value, list)})
    for turn in (search.table.column(f"{talk.name}.{n - 1}") for n in lengths):
        for own in search.table.inner(turn) if turn else []:
            key = own.name.removeprefix(f"{turn.name}." if turn else "")
            if own.words < 3 or all(read_name(part).role != "think" for part in key.split(".")):
                continue
            pairs = zip(
                map(text_of, search.table.values(own.name)), map(text_of, values), strict=True
            )
            apart = [thought.strip() not in whole for thought, whole in pairs if thought]
            if sum(apart) > 0.1 * len(apart):
                plain = len(lengths) == 1 and own.kind == "text"
                raise search.ask(
                    f"the last turns hold thinking under the key {key}, which is not read", [own],
                    "call the key reasoning_content, or leave it unread: --think none"
                    + (f", or --think {own.name}" if plain else ""),
                )  # fmt: skip


def _refuse_long_talks(search: Search, talk: Column) -> None:
    """Ask where the turns before the last differ, though the first ones are shared."""
    values = search.table.values(talk.name)
    first = [
        as_key(list(takewhile(lambda turn: role_of(turn) not in ASSISTANT, value)))
        if isinstance(value, list)
        else ""
        for value in values
    ]
    turns = [len(value) for value in values if isinstance(value, list)]
    shared = len(first) - len(set(first))
    still = len(first) - len(set(search.groups))
    if shared * 2 >= len(first) and still * 10 < shared and max(turns) > 3:
        raise search.ask(
            f"the conversations in {talk.name} begin alike and differ before their last turn, so "
            "that the last turns answer different prompts", [talk],
            "cut each conversation after the turn that is the response to a shared prompt, or "
            "score every turn of the assistant: --turns all",
        )  # fmt: skip
