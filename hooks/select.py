"""The built-in way to choose rows; asked last, after every other plugin."""

from __future__ import annotations

from lnat_plugins import Pool, Selection, SelectionSpec, Student, choose, hookimpl


@hookimpl
def lnat_select(candidates: Pool, student: Student, config: SelectionSpec) -> Selection:
    """Filters, then scores, then the block's strategy."""
    return choose(candidates, student, config)
