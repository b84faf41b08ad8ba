"""What a loaded set holds that may be meant otherwise, and what of its data is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lnat_plugins.formatting import plural
from lnat_plugins.teacher_set.prompts import Prompt, TeacherSet
from lnat_plugins.teacher_set.template_columns import template_column_notes

_THINKING_COLUMNS: Final = ("reasoning", "thinking", "think")
_LOOKED_AT: Final = frozenset((*_THINKING_COLUMNS, "history"))
_LONG: Final = 200  # characters; shorter values are settings such as "on"


def reading_notes(prompts: Sequence[Prompt], columns: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each kind of text that may be missing or is there twice, with its count.

    Looked for are columns that may hold the thinking part and are not read (unless the YAML
    switches `think` off), earlier turns in Alpaca's `history`, responses of one teacher to one
    prompt with equal text, and columns that the chat template should get and cannot.
    """
    unread: Counter[str] = Counter()
    repeated = history = 0
    for prompt in prompts:
        for response in prompt.responses:
            extra = response.extra
            if _LOOKED_AT.isdisjoint(extra):
                continue
            for name in _THINKING_COLUMNS:
                value = extra.get(name)
                if isinstance(value, str) and len(value) > _LONG and not response.parts:
                    unread[name] += 1
            history += bool(extra.get("history")) and isinstance(extra["history"], list)
        if len({response.teacher for response in prompt.responses}) < len(prompt.responses):
            texts = {(response.teacher, response.text) for response in prompt.responses}
            repeated += len(prompt.responses) - len(texts)
    if "think" in columns and columns["think"] is None:
        unread.clear()
    notes = [
        f"the column {name!r} holds long text in {count} rows and is not read: write "
        f"`columns: {{think: {name}}}` if it is the thinking part, `think: null` if not"
        for name, count in unread.items()
    ]
    if history:
        notes.append(
            f"the column 'history' holds earlier turns in {history} rows and is not read: write "
            "the rows as `messages` if they belong to the prompt"
        )
    if repeated:
        notes.append(f"{repeated} responses repeat another one of their teacher word for word")
    notes += template_column_notes(one for prompt in prompts for one in prompt.responses)
    return tuple(notes)


def left_out(teacher_set: TeacherSet) -> Iterator[str]:
    """A line for each reason: rows that cannot be used by teacher, then what filters dropped."""
    reasons = {reason for one in teacher_set.unusable.values() for reason in one.reasons}
    for teacher, one in teacher_set.unusable.items():
        of_whom = f"{one.rows} of teacher {teacher}" if teacher else "an unknown teacher"
        for reason, count in one.reasons.items():
            yield f"unusable rows: {count} of {of_whom}: {reason} (first: {one.places[reason]})"
    for reason, count in teacher_set.dropped.items():
        if reason not in reasons:
            yield f"dropped {plural(count, 'response')}: {reason}"
