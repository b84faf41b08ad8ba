"""What of a loaded set is left out, in words: rows that cannot be used, what is filtered."""

from __future__ import annotations

from collections.abc import Iterator

from lnat_plugins.formatting import plural
from lnat_plugins.teacher_set.prompts import TeacherSet


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
    if teacher_set.near_equal is not None:
        yield teacher_set.near_equal.in_words()
