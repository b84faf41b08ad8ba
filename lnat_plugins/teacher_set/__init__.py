"""Teacher sets: prompts, each with responses from several teachers, read from data.

Knows nothing of steps' tokens, models, hosts or plugins. `load` reads what a definition
names, with the splitters and loaders that it is given; every row that cannot be used is one
DataError that names file, row and field, and every response left out is counted with its
reason.
"""

from __future__ import annotations

from lnat_plugins.teacher_set.load import load
from lnat_plugins.teacher_set.loaders import LOADERS, Loader, Row
from lnat_plugins.teacher_set.prompts import JSON, Message, Prompt, Response, TeacherSet

__all__ = [
    "JSON",
    "LOADERS",
    "Loader",
    "Message",
    "Prompt",
    "Response",
    "Row",
    "TeacherSet",
    "load",
]
