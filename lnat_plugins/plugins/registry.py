"""The registry: splitters, metrics, strategies and loaders by name, each with its owner.

An entry checks itself where it is made, and what its functions return is checked where they are
used; the registry only refuses a name that is taken, and tells each entry whose it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import Metric
from lnat_plugins.selection import Strategy
from lnat_plugins.steps import Splitter
from lnat_plugins.teacher_set import Loader

E = TypeVar("E")


class NameClashError(ConfigError):
    """Two plugins register the same name, so nobody can say which one is meant."""


class _Table(Generic[E]):
    """The entries of one kind, and whose they are.

    Args:
        kind: as written in messages.
        wanted: the class of an entry.
        function: the field whose function a message points to.
    """

    def __init__(self, kind: str, wanted: type[E], function: str) -> None:
        self.kind, self.wanted, self.function = kind, wanted, function
        self.entries: dict[str, E] = {}
        self.owners: dict[str, str] = {}

    def add(self, entry: object, owner: str) -> None:
        if not isinstance(entry, self.wanted):
            name = self.wanted.__name__
            raise ConfigError(
                f"add_{self.kind} takes a `{name}`",
                where=owner,
                found=entry,
                remedy=f"write from lnat_plugins import {name}",
            )
        mine: Any = entry
        if mine.name in self.entries:
            raise name_clash(f"the {self.kind} {mine.name!r}", self.owners[mine.name], owner)
        function = getattr(mine, self.function)
        self.entries[mine.name] = replace(mine, owner=f"{owner}{_defined_at(function)}")
        self.owners[mine.name] = owner


def _defined_at(function: Any) -> str:
    """ ", /path/plugin.py line 12", or nothing for what has no source."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f", {code.co_filename} line {code.co_firstlineno}"


def name_clash(what: str, first: str, second: str) -> NameClashError:
    """The error for a name that two plugins register."""
    return NameClashError(
        f"two plugins register {what}: {first} and {second}",
        remedy="rename one of them, or leave one of the two plugins out",
    )


class Registry:
    """What `lnat_register` adds to: named splitters, metrics, strategies and loaders.

    Each `add_*` raises ConfigError for an entry of another class, and for a name (or a loader's
    suffix) that is taken; the latter names both owners. Adding is possible only during
    `lnat_register`: a registry that was kept changes nothing for anybody else.

    Args:
        owner: who adds, for messages.
        earlier: the registry so far.
    """

    def __init__(self, owner: str = "", earlier: Registry | None = None) -> None:
        self._owner = owner
        self._splitters = _Table("splitter", Splitter, "split")
        self._metrics = _Table("metric", Metric, "compute")
        self._strategies = _Table("strategy", Strategy, "choose")
        self._loaders = _Table("loader", Loader, "read")
        if earlier is not None:
            for mine, theirs in zip(self._tables(), earlier._tables(), strict=True):
                mine.entries |= theirs.entries
                mine.owners |= theirs.owners

    def _tables(self) -> tuple[_Table[Any], ...]:
        return self._splitters, self._metrics, self._strategies, self._loaders

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
                    raise name_clash(f"a loader of {suffix} files", first, self._owner)
        self._loaders.add(loader, self._owner)

    @property
    def splitters(self) -> Mapping[str, Splitter]:
        """Name -> splitter, read-only."""
        return MappingProxyType(self._splitters.entries)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Name -> metric, read-only."""
        return MappingProxyType(self._metrics.entries)

    @property
    def strategies(self) -> Mapping[str, Strategy]:
        """Name -> strategy, read-only."""
        return MappingProxyType(self._strategies.entries)

    @property
    def loaders(self) -> Mapping[str, Loader]:
        """Name -> loader, read-only."""
        return MappingProxyType(self._loaders.entries)

    def added_by(self, owner: str) -> dict[str, tuple[str, ...]]:
        """Kind in the plural -> the names that this owner added; only kinds that have some."""
        plurals: Final = ("splitters", "metrics", "strategies", "loaders")
        found = {
            plural: tuple(name for name, own in table.owners.items() if own == owner)
            for plural, table in zip(plurals, self._tables(), strict=True)
        }
        return {plural: names for plural, names in found.items() if names}
