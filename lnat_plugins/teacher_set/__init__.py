"""Teacher sets: prompts, each with responses from several teachers, read from data.

Knows nothing of steps' tokens, models or hosts. `load_teacher_set` reads a YAML or a
dictionary of the same keys; every row that cannot be used is one DataError that names
file, row and field, and every response left out is counted with its reason.
"""

from __future__ import annotations

from lnat_plugins.teacher_set.load import load, load_teacher_set
from lnat_plugins.teacher_set.prompts import JSON, Message, Prompt, Response, TeacherSet

__all__ = [
    "JSON",
    "Message",
    "Prompt",
    "Response",
    "TeacherSet",
    "load",
    "load_teacher_set",
]
