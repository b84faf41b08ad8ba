"""Which columns hold the prompt, the response and the thinking part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lnat_plugins.teacher_set.detect.found import NONE, Search
from lnat_plugins.teacher_set.detect.names import CONTEXT_NAMES, PROMPT_NAMES, read_name
from lnat_plugins.teacher_set.detect.profile import (
    ASSISTANT,
    Column,
    role_of,
    same_text,
    text_of,
    varies,
)

_PAIR: Final = ("instruction", "input")  # read together
_LONG: Final = 20  # characters of a prompt that no response begins with by chance
_REPLIES: Final = ("text", "texts", "reply", "replies")
CONVERSATIONS: Final = ("messages", "conversations", "conversation")
"""Columns that the messages layout reads by default."""


def choose_prompt(search: Search) -> None:
    """Name the prompt's columns, and group the rows by them."""
    table, hints = search.table, search.hints
    if hints.prompt:
        chosen = [column.name for column in search.hinted(hints.prompt, "prompt")]
    else:
        chosen = [_the_prompt(search).name]
    if chosen[0].lower() in _PAIR and not hints.prompt and table.columns[chosen[0]].kind == "text":
        chosen = [
            c.name for part in _PAIR for c in table.filled()
            if c.name.lower() == part and c.kind == "text"
        ]  # fmt: skip
    search.groups = table.keys(chosen)
    if tuple(chosen) == _PAIR:
        search.take("prompt", "prompt", chosen)
        search.columns["prompt"] = "instruction"  # `input` is read behind it
    else:
        search.take("prompt", "prompt", chosen, ("prompt",))


def _the_prompt(search: Search) -> Column:
    table = search.table
    kinds = ("text", "turns")
    half = len(table.rows) / 2
    fits = [c for c in table.filled() if c.kind in kinds and c.filled >= half]
    strong = [c for c in fits if c.name.lower() in PROMPT_NAMES]
    if set(_PAIR) <= {c.name.lower() for c in strong}:
        # the same in every row: an instruction alone
        strong = [c for c in strong if c.name.lower() != _PAIR[0] or c.kind != "text"]
    weak = [c for c in fits if read_name(c.name).role == "prompt" and c.varied]
    found = strong or weak
    moving = [c for c in found if c.distinct > 1 or len(table.rows) < 3]
    still = [c for c in found if c not in moving]
    found = moving or found
    if still and moving:
        named = ",".join(c.name for c in (still[0], moving[0]))
        search.doubts.append(
            f"{still[0].name} holds the same text in every row and is not read; if it belongs to "
            f"the prompt: --prompt {named}"
        )
    if not found:
        odd = [c for c in table.filled() if read_name(c.name).role == "prompt"]
        what = "no column is called like a prompt"
        if odd:
            what = "no column called like a prompt holds text, or turns that end with a user's"
        texts = [c for c in search.paths() if c.words >= 2 and c not in odd]
        raise search.ask(
            what, [*odd, *texts] or table.filled(),
            "name it: --prompt COL (or a path, as in --prompt input.text)",
        )  # fmt: skip
    context = [
        c for c in table.filled()
        if c not in found and c.kind not in ("reply", "replies")
        and {c.name.lower(), found[0].name.lower()} != set(_PAIR)
        and (c.name.lower() in CONTEXT_NAMES or (c in weak and not _within(search, c, found[0])))
    ]  # fmt: skip
    if context:
        own = [c.name for c in context if c.kind == "text"]
        how = f"--prompt {','.join([*own, found[0].name])}" if own else "write it into the prompt"
        said = " and ".join(c.name for c in context)
        search.doubts.append(f"{said} may belong to the prompt and is not read: {how}")
    first = max(found, key=lambda c: c.kind == "turns")  # turns hold a system text too
    for other in found:
        if other is not first and not same_text(table.values(first.name), table.values(other.name)):
            raise search.ask(
                "several columns may be the prompt",
                found,
                "name the one: --prompt COL, or --prompt COL,COL for all of them in this order",
            )
    return first


def _within(search: Search, column: Column, prompt: Column) -> bool:
    """Whether the prompts hold a column's text, or it is too short to be a part of them."""
    pairs = zip(search.table.values(column.name), search.table.values(prompt.name), strict=True)
    texts = [(text_of(own), "\n".join(map(text_of, asked)) if isinstance(asked, list)
              else text_of(asked)) for own, asked in pairs if own and asked]  # fmt: skip
    inside = sum(own.strip() in asked for own, asked in texts)
    return column.words < 3 or inside >= 0.9 * len(texts)


def response_columns(search: Search) -> list[Column]:
    """The columns that may hold responses, those of the likeliest name and content alone."""
    table, hints = search.table, search.hints
    if hints.response:
        return search.hinted(hints.response, "response")
    named = [
        c for c in table.filled()
        if c.name not in search.taken and read_name(c.name).role == "response"
        and c.kind in _REPLIES and not _all_verdicts(c)
    ]  # fmt: skip
    usual = [c for c in named if read_name(c.name).rank == 0]
    differing = [c for c in named if differs(search, c)]
    free = [c for c in differing if c.is_free]
    same = [c for c in named if differs(search, c) is False and c not in usual]
    if free or [c for c in usual if c in differing]:
        found = free or [c for c in usual if c in differing]
    else:
        found = usual or [c for c in named if c not in same and c.is_free]
    return [c for c in found if c in usual] or found


def differs(search: Search, column: Column) -> bool | None:
    """Whether a column differs between the rows of one prompt; None if no prompt has two rows."""
    found = varies(search.table.values(column.name), search.groups)
    return None if found is None else found >= 0.05


def _all_verdicts(column: Column) -> bool:
    return column.verdicts == 1


def choose_response(search: Search, default: str = "response") -> None:
    """Name the response's columns, and the thinking part's."""
    table, hints = search.table, search.hints
    found = response_columns(search)
    think = think_columns(search)
    if not found:
        # an answer that all teachers share, beside thinking parts that differ
        answers = [
            c for c in table.filled()
            if read_name(c.name).role == "response" and c.kind in _REPLIES
            and c.name not in search.taken
        ]  # fmt: skip
        found = answers if think else []
    if not found:
        found = _by_content(search, think)
    if not hints.response and not any(column.is_free for column in found):
        _refuse_short(search, found, think)
    several = len(found) > 1 and not hints.response
    if several and all(same_text(_values(search, found[0]), _values(search, c)) for c in found):
        search.doubts.append(
            f"{' and '.join(c.name for c in found)} hold the same text: {found[0].name} is read"
        )
        found = found[:1]
    elif several and _numbered(found):
        search.doubts.append(
            f"{', '.join(c.name for c in found)} are read as several responses of one teacher"
        )
    elif several:
        raise search.ask(
            "several columns may be the response", found,
            "name the one: --response COL (for a column a teacher: --layout wide "
            "--response COL,COL)",
        )  # fmt: skip
    search.take("response", "response", [c.name for c in found], (default,))
    if not hints.response and read_name(found[0].name).rank == 1:
        if differs(search, found[0]) is None:
            search.doubts.append(
                f"{found[0].name} is read as the response; it may be the data set's own solution"
            )
    if not hints.response:
        _refuse_prompt_within(search, found[0])
    choose_think(search, think, _values(search, found[0]))


def _refuse_prompt_within(search: Search, response: Column) -> None:
    """Ask where the responses begin with their prompts, as a model's whole text does."""
    prompts = search.table.values(search.roles.get("prompt", ""))
    pairs = [
        (text_of(asked).strip(), text_of(own))
        for asked, own in zip(prompts, _values(search, response), strict=True)
        if asked and own
    ]
    within = sum(own.lstrip().startswith(asked) for asked, own in pairs if len(asked) >= _LONG)
    if pairs and within >= 0.9 * len(pairs):
        raise search.ask(
            f"the texts in {response.name} begin with the prompt", [response],
            "cut the prompt off; if the teachers do repeat it, or for another column: "
            "--response COL",
        )  # fmt: skip


def _refuse_short(search: Search, found: list[Column], think: list[Column]) -> None:
    """Ask where the likeliest names hold short values, and another column holds free text."""
    read = {*search.taken, *(c.name for c in [*found, *think])}
    others = [
        c for c in search.table.filled()
        if c.is_free and c.name not in read and differs(search, c) is not False
    ]  # fmt: skip
    if others:
        raise search.ask(
            "the column of the likeliest name holds short values, and another free text",
            [*found, *others], "name the response: --response COL",
        )  # fmt: skip


def _values(search: Search, column: Column) -> list[Any]:
    return search.table.values(column.name)


def _numbered(columns: list[Column]) -> bool:
    names = [read_name(column.name) for column in columns]
    return len({name.rest for name in names}) == 1 and all(name.number for name in names)


def _by_content(search: Search, think: list[Column]) -> list[Column]:
    """Free text that differs within prompts, under whatever name."""
    taken = {*search.taken, *(c.name for c in think)}
    free = [c for c in search.table.filled() if c.is_free and c.name not in taken]
    differing = [
        c for c in free
        if differs(search, c) and read_name(c.name).role == "" and read_name(c.name).rank == 1
    ]  # fmt: skip
    if len(differing) == 1:
        search.doubts.append(
            f"{differing[0].name} is read as the response by its content: free text that differs "
            "between the rows of a prompt"
        )
        return differing
    answers = [
        c for c in search.table.filled()
        if read_name(c.name).role in ("response", "reference") and c.kind != "object"
    ]  # fmt: skip
    objects = [c for c in search.paths() if "." in c.name and c.words >= 2]
    for column in search.table.filled():
        if column.kind == "turns" and _has_assistant(search, column):
            raise search.ask(
                f"the conversations in {column.name} end with a turn of the user or of a tool in "
                "most rows, and the response is the last turn, of the assistant", [column],
                "cut each conversation after the turn that is the response, a row a response; or "
                "score every turn of the assistant: --turns all",
            )  # fmt: skip
    raise search.ask(
        "no column is certain to be the response",
        [*dict.fromkeys([*free, *think, *answers, *objects])] or search.table.filled(),
        "name it: --response COL (or a path, as in --response output.text)",
    )  # fmt: skip


def _has_assistant(search: Search, column: Column) -> bool:
    values = [value for value in search.table.values(column.name) if isinstance(value, list)]
    with_one = [value for value in values if any(role_of(turn) in ASSISTANT for turn in value)]
    return len(with_one) * 2 > len(values)


def think_columns(search: Search) -> list[Column]:
    """The columns of long text that are called like a thinking part."""
    if search.hints.think:
        if search.hints.think == (NONE,):
            return []
        return search.hinted(search.hints.think, "think")
    return [
        c for c in search.table.filled()
        if read_name(c.name).role == "think" and c.kind in ("text", "texts")
        and c.words >= 3 and c.varied and c.name not in search.taken
        and differs(search, c) is not False
    ]  # fmt: skip


def _name_inner_thinking(search: Search) -> None:
    """Say which objects under a name of thinking hold text that is not read."""
    for column in search.table.filled():
        if read_name(column.name).role == "think" and column.kind in ("object", "reply"):
            inner = [c.name for c in search.table.inner(column) if c.kind == "text" and c.is_free]
            if inner:
                search.doubts.append(
                    f"{', '.join(inner)} may be the thinking part and is not read: "
                    f"--think {inner[0]}"
                )


def choose_think(search: Search, found: list[Column], responses: Sequence[Any]) -> None:
    """Name the thinking part's column, unless the responses hold the same text already."""
    default = ("reasoning_content",)
    if search.hints.think == (NONE,):
        if search.table.column(default[0]):
            search.columns["think"] = None
        return
    if search.hints.think:
        search.hinted(search.hints.think, "think")  # by now it may be read as something else
    kept = []
    for column in found:
        pairs = [
            (text_of(thought), text_of(whole))
            for thought, whole in zip(search.table.values(column.name), responses, strict=True)
            if thought and whole
        ]
        within = sum(thought.strip() in whole for thought, whole in pairs)
        if pairs and within >= 0.9 * len(pairs) and not search.hints.think:
            search.doubts.append(f"{column.name} is not read: the response holds its text already")
            if column.name in default:
                search.columns["think"] = None
        elif column.name not in search.taken:
            kept.append(column)
    if not found and not search.hints.think:
        _name_inner_thinking(search)
    if len(kept) > 1 and not search.hints.think:
        raise search.ask(
            "several columns may be the thinking part", kept,
            "name the one: --think COL, or --think none",
        )  # fmt: skip
    if kept:
        names = [c.name for c in kept]
        if (
            len(kept) == 1
            and kept[0].kind == "texts"
            and sum(isinstance(one, list) for one in responses) * 2 < len(responses)
        ):
            lists = [own for own in search.table.values(names[0]) if isinstance(own, list)]
            if sum(len(own) == 1 for own in lists) >= 0.9 * len(lists):
                search.taken.add(names[0])
                names = [f"{names[0]}.0"]  # a list of one, beside a response that is no list
        search.take("think", "thinking", names, default)
