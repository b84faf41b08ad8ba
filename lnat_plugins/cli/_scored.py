"""What the commands share that start from lm-eval's scores. Prints; computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lnat_plugins.cli._output import remark

if TYPE_CHECKING:
    from lnat_plugins.store import ScoredSet


def names(listed: str | None) -> list[str] | None:
    """ "A, B" -> ["A", "B"]; None stays None."""
    return None if listed is None else [name.strip() for name in listed.split(",")]


def tell_files(scored: ScoredSet) -> None:
    """Say which files were read, which were not, and what stands in several of them."""
    for file in scored.files:
        remark(f"read {file}")
    for reason in scored.left_aside:
        remark(f"left aside {reason}")
    if scored.duplicates:
        remark(f"{scored.duplicates} responses stand in several files; each counts once")
