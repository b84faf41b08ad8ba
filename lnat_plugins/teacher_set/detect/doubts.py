"""What a loaded set shows of its teachers that its rows did not."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Final

from lnat_plugins.formatting import plural
from lnat_plugins.teacher_set.prompts import TeacherSet

_COMPARED: Final = 1000  # prompts in which teachers' texts are compared


def teacher_doubts(teacher_set: TeacherSet) -> list[str]:
    """Names that may mean one teacher: alike, without a shared prompt, or with the same texts."""
    alike: dict[str, list[str]] = {}
    for name in teacher_set.teachers:
        alike.setdefault("".join(name.split()).lower(), []).append(repr(name))
    doubts = [
        f"{' and '.join(own)} differ in case or blanks alone, and are read as different teachers"
        for own in alike.values() if len(own) > 1
    ]  # fmt: skip
    apart = set(combinations(sorted(teacher_set.teachers), 2))
    same: Counter[tuple[str, str]] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    for i, prompt in enumerate(teacher_set.prompts):
        texts = {response.teacher: response.text for response in prompt.responses}
        apart = {(a, b) for a, b in apart if a not in texts or b not in texts}
        if i < _COMPARED:
            for a, b in combinations(sorted(texts), 2):
                both[a, b] += 1
                same[a, b] += texts[a] == texts[b]
    doubts += [
        f"{a} and {b} have the same text in {same[a, b]} of {plural(both[a, b], 'prompt')}"
        for a, b in both if same[a, b] > 0.5 * both[a, b] and both[a, b] > 1
    ]  # fmt: skip
    if apart:
        more = f", nor do {plural(len(apart) - 1, 'further pair')}" if len(apart) > 1 else ""
        doubts.append(
            f"{' and '.join(min(apart))} share no prompt{more}: if they are one teacher, give it "
            "all of its files (--teacher NAME=FILE NAME=FILE ...)"
        )
    return doubts
