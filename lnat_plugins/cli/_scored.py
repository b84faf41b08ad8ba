"""What the commands share that start from lm-eval's scores. Prints; computes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from lnat_plugins.cli._output import remark
from lnat_plugins.errors import ConfigError

if TYPE_CHECKING:
    from lnat_plugins.store import ScoredSet


def names(listed: str | None, option: str) -> list[str] | None:
    """ "A, B" -> ["A", "B"]; None stays None. ConfigError for a name listed twice."""
    if listed is None:
        return None
    found = [name.strip() for name in listed.split(",")]
    twice = [name for place, name in enumerate(found) if name in found[:place]]
    if twice:
        raise ConfigError(f"{twice[0]!r} is named twice", where=option, remedy="name it once")
    return found


def tell_unloaded(
    asked: Collection[str], known: Collection[str], scored_sets: Sequence[ScoredSet]
) -> None:
    """Say which metrics were scored for whose plugin is not loaded now, if all are asked for.

    Raises:
        ConfigError: one of them is asked for.
    """
    from lnat_plugins.metrics import ALL

    for scored in scored_sets:
        for name in scored.settings.get("metrics") or ():
            if name in known:
                continue
            if name in asked:
                raise ConfigError(
                    f"unknown metric {name!r}, though task {scored.task} was scored for it",
                    where="--metric",
                    remedy="give its plugin with --plugins",
                )
            if ALL in asked:
                remark(
                    f"warning: task {scored.task} was scored for metric {name!r} too, which is "
                    "left out: give its plugin with --plugins"
                )


def tell_files(scored: ScoredSet) -> None:
    """Say which files were read, which were not, and what stands in several of them."""
    for file in scored.files:
        remark(f"read {file}")
    for reason in scored.left_aside:
        remark(f"left aside {reason}")
    if scored.duplicates:
        remark(f"{scored.duplicates} responses stand in several files; each counts once")
