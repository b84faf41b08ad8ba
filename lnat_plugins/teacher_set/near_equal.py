"""Prompts that would join if Unicode form, line ends and blanks did not count."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable
from itertools import chain

from lnat_plugins.teacher_set.prompts import NearEqual, Prompt


def near_equal(kept: Iterable[Prompt], left_out: Iterable[Prompt]) -> NearEqual | None:
    """How many prompts left out would join with another; None if none would.

    Only such that would bring a teacher to the other prompt.
    """
    left_out = list(left_out)
    groups: dict[Hashable, list[Prompt]] = {_form(prompt): [] for prompt in left_out}
    if not groups:
        return None
    for prompt in chain(kept, left_out):
        group = groups.get(_form(prompt))
        if group is not None:
            group.append(prompt)
    count, example = 0, ""
    for group in groups.values():
        teachers = [{response.teacher for response in prompt.responses} for prompt in group]
        if len(set().union(*teachers)) > max(map(len, teachers)):
            count += len(group) - 1
            example = example or _difference(*group[:2])
    return NearEqual(count, example) if count else None


def _form(prompt: Prompt) -> Hashable:
    """The prompt in Unicode form NFKC, every run of white space as one blank."""
    return tuple(
        (turn["role"], " ".join(unicodedata.normalize("NFKC", turn["content"]).split()))
        for turn in prompt.messages
    )


def _difference(one: Prompt, other: Prompt) -> str:
    """Where both are, and each around the first character that differs, in ASCII."""
    pairs = enumerate(zip(one.text, other.text, strict=False))
    shorter = min(len(one.text), len(other.text))
    start = max(0, next((i for i, (a, b) in pairs if a != b), shorter) - 6)
    shown = [
        f"{prompt.text[start : start + 12]!a} ({prompt.responses[0].where})"
        for prompt in (one, other)
    ]
    return " and ".join(shown)
