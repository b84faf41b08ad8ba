"""The registry: splitters, metrics, strategies and loaders by name, each with its owner.

Knows nothing of how plugins are found or called. What is added is checked here, once; what an
added function answers later is checked by the wrapper that it gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import Metric
from lnat_plugins.registry.answers import (
    CheckedCheck,
    CheckedChoose,
    CheckedCompute,
    CheckedParts,
    CheckedRate,
    CheckedRead,
    CheckedSplit,
)
from lnat_plugins.registry.checks import (
    check_loader,
    check_metric,
    check_splitter,
    check_strategy,
)
from lnat_plugins.selection import Strategy
from lnat_plugins.steps import Splitter
from lnat_plugins.teacher_set import Loader

__all__ = ["NameClashError", "Registry"]


class NameClashError(ConfigError):
    """Two plugins register the same name, so nobody can say which one is meant."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class _Table(Generic[T]):
    """The entries of one kind, and whose they are."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: dict[str, T] = {}
        self.owners: dict[str, str] = {}

    def take(self, earlier: _Table[T]) -> None:
        self.entries |= earlier.entries
        self.owners |= earlier.owners

    def add(self, entry: T, owner: str) -> None:
        if entry.name in self.entries:
            raise _clash(f"the {self.kind} {entry.name!r}", self.owners[entry.name], owner)
        self.entries[entry.name] = entry
        self.owners[entry.name] = owner


class Registry:
    """What `lnat_register` adds to: named splitters, metrics, strategies and loaders.

    Each `add_*` raises ConfigError for an entry that is not what it must be, and for a name (or a
    loader's suffix) that is taken; the latter names both owners. Adding is possible only during
    `lnat_register`: a registry that was kept changes nothing for anybody else.

    Args:
        owner: who adds, for messages.
        earlier: the registry so far.
    """

    def __init__(self, owner: str = "", earlier: Registry | None = None) -> None:
        self._owner = owner
        self._splitters: _Table[Splitter] = _Table("splitter")
        self._metrics: _Table[Metric] = _Table("metric")
        self._strategies: _Table[Strategy] = _Table("strategy")
        self._loaders: _Table[Loader] = _Table("loader")
        if earlier is not None:
            self._splitters.take(earlier._splitters)
            self._metrics.take(earlier._metrics)
            self._strategies.take(earlier._strategies)
            self._loaders.take(earlier._loaders)

    def add_splitter(self, splitter: Splitter) -> None:
        """Add a splitter; the spans of every text must tile it, or scoring stops."""
        check_splitter(splitter, self._owner)
        split = CheckedSplit(f"splitter {splitter}", self._owner, splitter.split)
        self._splitters.add(replace(splitter, split=split), self._owner)

    def add_metric(self, metric: Metric) -> None:
        """Add a metric; its values must be numbers, finite or NaN."""
        check_metric(metric, self._owner)
        what = f"metric {metric.name}"
        checked = CheckedCompute if metric.scope == "response" else CheckedRate
        compute = checked(what, self._owner, metric.compute)
        parts = metric.parts and CheckedParts(what, self._owner, metric.parts)
        self._metrics.add(replace(metric, compute=compute, parts=parts), self._owner)

    def add_strategy(self, strategy: Strategy) -> None:
        """Add a selection strategy; its answers must be a `Choice`."""
        check_strategy(strategy, self._owner)
        what = f"strategy {strategy.name}"
        choose = CheckedChoose(what, self._owner, strategy.choose)
        check = strategy.check and CheckedCheck(what, self._owner, strategy.check)
        self._strategies.add(replace(strategy, choose=choose, check=check), self._owner)

    def add_loader(self, loader: Loader) -> None:
        """Add a loader; no other loader may read the same suffix."""
        check_loader(loader, self._owner)
        for other in self._loaders.entries.values():
            for suffix in set(loader.suffixes) & set(other.suffixes):
                other_owner = self._loaders.owners[other.name]
                raise _clash(f"a loader of {suffix} files", other_owner, self._owner)
        read = CheckedRead(f"loader {loader.name}", self._owner, loader.read)
        self._loaders.add(replace(loader, read=read), self._owner)

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
        """Kind in the plural -> the names that this owner added; kinds without any left out."""
        owners = {
            "splitters": self._splitters.owners,
            "metrics": self._metrics.owners,
            "strategies": self._strategies.owners,
            "loaders": self._loaders.owners,
        }
        found = {
            kind: tuple(name for name, own in names.items() if own == owner)
            for kind, names in owners.items()
        }
        return {kind: names for kind, names in found.items() if names}


def _clash(what: str, first: str, second: str) -> NameClashError:
    return NameClashError(
        f"two plugins register {what}: {first} and {second}",
        remedy="rename one of them, or leave one of the two plugins out",
    )
