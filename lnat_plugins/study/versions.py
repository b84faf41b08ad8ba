"""By which versions of the packages units were done: a study that goes on may have got others.

A unit is not done again for them, since that would throw days of work away. So each unit says by
which it was done; what is left is done by the installed ones with a warning, and the result counts
the units of each.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lnat_plugins.formatting import is_or_are, plural
from lnat_plugins.steps import SPLITTERS

VERSIONS: Final = "versions"
"""The key in a unit's file."""

PACKAGES: Final = ("lnat-plugins", "lm-eval", "torch", "transformers", "trl")
"""Those that decide what a unit gives."""

_NAMED: Final = 3


@dataclass(frozen=True)
class VersionGroup:
    """Units that were done by the same versions.

    Attributes:
        versions: package -> version, and "steps" -> how responses are cut; None for units that do
            not say, which older versions of this package wrote.
        units: their names.
    """

    versions: Mapping[str, str] | None
    units: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The versions, and how many units; the names are those of all folders."""
        versions = None if self.versions is None else dict(self.versions)
        return {"versions": versions, "units": len(self.units)}


def installed(steps: str) -> dict[str, str]:
    """Package -> version, and "steps" -> the splitter with its version, as it is done now.

    Args:
        steps: as the teacher set's settings name them.
    """
    return {**_packages(), "steps": str(SPLITTERS.get(steps, steps))}


@functools.cache
def _packages() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def by_versions(done: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[VersionGroup, ...]:
    """Units by the versions that did them, in order of first appearance.

    Args:
        done: name and file of each unit that is done.
    """
    groups: dict[tuple[tuple[str, str], ...] | None, list[str]] = {}
    for name, found in done:
        versions = found.get(VERSIONS)
        key = None if versions is None else tuple(sorted(versions.items()))
        groups.setdefault(key, []).append(name)
    return tuple(
        VersionGroup(None if key is None else dict(key), tuple(names))
        for key, names in groups.items()
    )


def in_words(groups: Sequence[VersionGroup]) -> str:
    """ "Units of 2 versions: 12 by torch 2.8, 3 by torch 2.9."; "" where all are of one.

    Only what differs between the groups is named.
    """
    if len(groups) < 2:
        return ""
    every = [dict(one.versions) for one in groups if one.versions is not None]
    same = {item for item in every[0].items() if all(item in one.items() for one in every)}
    parts = []
    for one in groups:
        if one.versions is None:
            parts.append(f"{len(one.units)} do not say by which")
        else:
            own = _named(
                item for item in one.versions.items() if len(every) < 2 or item not in same
            )
            parts.append(f"{len(one.units)} by {own}")
    return f"Units of {plural(len(groups), 'version')}: {'; '.join(parts)}."


def warning(groups: Sequence[VersionGroup], now: Mapping[str, str]) -> str:
    """What to know before more units are done by the versions of now; "" if none differs."""
    others = [one for one in groups if one.versions is not None and one.versions != now]
    if not others:
        return ""
    units = [name for one in others for name in one.units]
    differing = {
        name for one in others for name in now if (one.versions or {}).get(name) != now[name]
    }
    were = "; ".join(
        f"{len(one.units)} under "
        + _named(
            (name, version) for name, version in (one.versions or {}).items() if name in differing
        )
        for one in others
    )
    shown = ", ".join(units[:_NAMED]) + (", …" if len(units) > _NAMED else "")
    return (
        f"{plural(len(units), 'unit')} {is_or_are(len(units))} done under other versions and kept: "
        f"{were} ({shown}). The others are done under "
        f"{_named((name, now[name]) for name in now if name in differing)}. "
        "To have all alike, remove the folders of these units"
    )


def _named(versions: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions)
