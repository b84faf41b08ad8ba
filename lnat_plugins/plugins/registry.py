"""The registry: splitters, metrics, strategies and loaders by name, each with its owner.

An entry checks itself where it is made, and what its functions return is checked where they are
used; the registry only refuses a name that is taken, and sets each entry's `owner`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import Metric
from lnat_plugins.selection import Strategy
from lnat_plugins.steps import Splitter
from lnat_plugins.teacher_set import Loader

E = TypeVar("E")


class NameClashError(ConfigError):
    """Two plugins register the same name, so that it is ambiguous."""


class _Table(Generic[E]):
    """The entries of one kind by name, and who added them.

    Messages give the line of the entry's function, which is in the field `function`.
    """

    def __init__(self, plural: str, wanted: type[E], function: str) -> None:
        self.plural, self.wanted, self.function = plural, wanted, function
        self.entries: dict[str, E] = {}
        self.owners: dict[str, str] = {}

    def add(self, entry: object, owner: str) -> None:
        name = self.wanted.__name__
        if not isinstance(entry, self.wanted):
            remedy = f"write from lnat_plugins import {name}"
            what = f"add_{name.lower()} takes a `{name}`"
            raise ConfigError(what, where=owner, found=entry, remedy=remedy)
        mine: Any = entry
        if mine.name in self.entries:
            what = f"the {name.lower()} {mine.name!r}"
            raise _name_clash(what, self.owners[mine.name], owner)
        code = getattr(inspect.unwrap(getattr(mine, self.function)), "__code__", None)
        line = f", {code.co_filename} line {code.co_firstlineno}" if code else ""
        self.entries[mine.name] = replace(mine, owner=f"{owner}{line}")
        self.owners[mine.name] = owner


def _name_clash(what: str, first: str, second: str) -> NameClashError:
    return NameClashError(
        f"two plugins register {what}: {first} and {second}",
        remedy="rename one of them, or leave one of the two plugins out",
    )


class Registry:
    """What `lnat_register` adds to: named splitters, metrics, strategies and loaders.

    Each `add_*` raises ConfigError for an entry of another class, and for a name (or a loader's
    suffix) that is taken; the latter names both owners. A registry that a plugin keeps after
    `lnat_register` changes no later one.

    Args:
        owner: the plugin that adds, for messages.
        earlier: the registry so far.

    Attributes:
        splitters, metrics, strategies, loaders: name -> entry, read-only.
    """

    def __init__(self, owner: str = "", earlier: Registry | None = None) -> None:
        self._owner = owner
        self._splitters = _Table("splitters", Splitter, "split")
        self._metrics = _Table("metrics", Metric, "compute")
        self._strategies = _Table("strategies", Strategy, "choose")
        self._loaders = _Table("loaders", Loader, "read")
        self._tables: list[_Table[Any]] = [
            self._splitters, self._metrics, self._strategies, self._loaders,
        ]  # fmt: skip
        if earlier is not None:
            for mine, theirs in zip(self._tables, earlier._tables, strict=True):
                mine.entries |= theirs.entries
                mine.owners |= theirs.owners
        self.splitters: Mapping[str, Splitter] = MappingProxyType(self._splitters.entries)
        self.metrics: Mapping[str, Metric] = MappingProxyType(self._metrics.entries)
        self.strategies: Mapping[str, Strategy] = MappingProxyType(self._strategies.entries)
        self.loaders: Mapping[str, Loader] = MappingProxyType(self._loaders.entries)

    def add_splitter(self, splitter: Splitter) -> None:
        """Add a splitter; the spans of every text must tile it, or scoring stops."""
        self._splitters.add(splitter, self._owner)

    def add_metric(self, metric: Metric) -> None:
        """Add a metric; its values must be numbers, finite or NaN."""
        self._metrics.add(metric, self._owner)

    def add_strategy(self, strategy: Strategy) -> None:
        """Add a selection strategy; it must return a `Choice`."""
        self._strategies.add(strategy, self._owner)

    def add_loader(self, loader: Loader) -> None:
        """Add a loader; no other loader may read the same suffix."""
        if isinstance(loader, Loader):
            for other in self._loaders.entries.values():
                for suffix in set(loader.suffixes) & set(other.suffixes):
                    first = self._loaders.owners[other.name]
                    raise _name_clash(f"a loader of {suffix} files", first, self._owner)
        self._loaders.add(loader, self._owner)

    def added_by(self, owner: str) -> dict[str, tuple[str, ...]]:
        """Kind in the plural -> the names that this owner added; only kinds that have some."""
        found = {
            table.plural: tuple(name for name, own in table.owners.items() if own == owner)
            for table in self._tables
        }
        return {plural: names for plural, names in found.items() if names}
