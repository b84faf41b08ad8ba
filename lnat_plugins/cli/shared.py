"""Where the command line's words go: stdout for results, stderr for remarks, files written whole.

Knows nothing of what it writes.

What the commands share that start from lm-eval's scores. Prints; computes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import write_whole

if TYPE_CHECKING:
    from lnat_plugins.scoring.samples import ScoredSet

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def say(text: str) -> None:
    """Print a result; a terminal that lacks a character (↑, Σ) gets "?" in its place."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def remark(text: str) -> None:
    """Print a line about the run, beside its result."""
    print(f"lnat: {text}", file=sys.stderr)


def write_out(path: Path, text: str) -> None:
    """Write a text file whole, and say so.

    Raises:
        ConfigError: the folder cannot be made or written to.
    """
    write_whole(path, text, "--output_path")
    remark(f"wrote {path}")


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
    for reason in scored.skipped:
        remark(f"left aside {reason}")
    if scored.duplicates:
        remark(f"{scored.duplicates} responses stand in several files; each counts once")
