"""A plugin before and after it is loaded: its name, and where it comes from.

Knows nothing of hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Found:
    """A plugin that was named, or found installed, and is not loaded yet.

    Attributes:
        name: module, entry point, file or type.
        origin: "built in", "entry point of my-package 1.0", "module", ...
        load: gives the module or object; may raise anything.
        named: whether the user named it, so that a failure is the user's to hear of. A failure
            of one that merely is installed must not stop a run that may not need it.
    """

    name: str
    origin: str
    load: Callable[[], object]
    named: bool = True

    def __str__(self) -> str:
        return f"{self.name} ({self.origin})"


@dataclass(frozen=True)
class LoadedPlugin:
    """What became of one plugin.

    Attributes:
        name, origin: as found.
        registers: "splitters", "metrics", "strategies", "loaders" -> names; only kinds it has.
        implements: names of the hooks.
        error: why it was left out; "" for a plugin that is loaded.
    """

    name: str
    origin: str
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    implements: tuple[str, ...] = ()
    error: str = ""
