"""What a registered splitter, metric, strategy or loader must be.

Knows nothing of names that are taken and of what the functions will answer.

What a plugin's functions answer, checked where it enters; a failure names the plugin.

Knows nothing of tables. Each wrapper is called as the function that it wraps. An LnatError
passes through; any other exception, and an answer of the wrong kind, becomes a ConfigError.

The registry: splitters, metrics, strategies and loaders by name, each with its owner.

Knows nothing of how plugins are found or called. What is added is checked here, once; what an
added function answers later is checked by the wrapper that it gets here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from lnat_plugins.errors import ConfigError, LnatError
from lnat_plugins.metrics import Metric
from lnat_plugins.selection import KEYS, Choice, Option, ScoredCandidates, Strategy
from lnat_plugins.steps import RESERVED, Span, Splitter
from lnat_plugins.teacher_set import Loader, Row

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_NAME_RULE: Final = "a name of lower-case letters, digits and underscores"
_VERSION: Final = re.compile(r"[A-Za-z0-9._+-]+")
_SUFFIX: Final = re.compile(r"\.[a-z0-9_]+")
_NEEDS: Final = frozenset({"scores", "tokens"})


class _Rule(NamedTuple):
    field: str
    holds: bool
    must_be: str


def check_splitter(splitter: object, owner: str) -> None:
    """Raises ConfigError, naming the owner and the field."""
    if not isinstance(splitter, Splitter):
        raise _not_a("Splitter", splitter, owner)
    _check("splitter", splitter, _of_splitter(splitter), owner)


def check_strategy(strategy: object, owner: str) -> None:
    """Raises ConfigError, naming the owner and the field."""
    if not isinstance(strategy, Strategy):
        raise _not_a("Strategy", strategy, owner)
    _check("strategy", strategy, _of_strategy(strategy), owner)


def check_loader(loader: object, owner: str) -> None:
    """Raises ConfigError, naming the owner and the field."""
    if not isinstance(loader, Loader):
        raise _not_a("Loader", loader, owner)
    _check("loader", loader, _of_loader(loader), owner)


def _of_splitter(splitter: Any) -> Iterator[_Rule]:
    yield _Rule("name", _is_name(splitter.name), _NAME_RULE)
    yield _Rule("name", splitter.name not in RESERVED, f"none of {', '.join(RESERVED)}")
    version = isinstance(splitter.version, str) and bool(_VERSION.fullmatch(splitter.version))
    yield _Rule("version", version, 'text such as "1"')
    yield _Rule("split", callable(splitter.split), "a function")


def _of_strategy(strategy: Any) -> Iterator[_Rule]:
    yield _Rule("name", _is_name(strategy.name), _NAME_RULE)
    yield _Rule("description", _is_text(strategy.description), "one line of text")
    yield _Rule("choose", callable(strategy.choose), "a function")
    yield _Rule("otherwise", _is_text(strategy.otherwise), "text: why a row was not chosen")
    needs = isinstance(strategy.needs, frozenset) and strategy.needs <= _NEEDS
    yield _Rule("needs", needs, 'a frozenset of "scores" and "tokens", or of neither')
    options = strategy.options
    yield _Rule("options", isinstance(options, Mapping), "a mapping of names to `Option`s")
    for name, option in options.items():
        yield _Rule("options", _is_name(name), f"named: {_NAME_RULE}")
        free = name not in KEYS
        yield _Rule("options", free, f"named unlike the selection's own keys ({name!r} is one)")
        yield _Rule("options", isinstance(option, Option), "a mapping of names to `Option`s")
        yield _Rule("options", callable(option.parse), f"parsed by a function ({name!r} is not)")
    yield _Rule("source", isinstance(strategy.source, str), "text")
    checked = strategy.check is None or callable(strategy.check)
    yield _Rule("check", checked, "a function, or None")
    yield _Rule("weighs", isinstance(strategy.weighs, bool), "True or False")


def _of_loader(loader: Any) -> Iterator[_Rule]:
    yield _Rule("name", _is_name(loader.name), _NAME_RULE)
    suffixes = isinstance(loader.suffixes, tuple) and all(
        isinstance(suffix, str) and _SUFFIX.fullmatch(suffix) for suffix in loader.suffixes
    )
    yield _Rule("suffixes", suffixes, 'a tuple of lower-case suffixes such as (".jsonl",)')
    yield _Rule("read", callable(loader.read), "a function")


def _check(kind: str, entry: object, rules: Iterator[_Rule], owner: str) -> None:
    """The first rule that does not hold ends it, so a later one may rely on the earlier ones."""
    for rule in rules:
        if not rule.holds:
            raise ConfigError(
                f"a {kind}'s `{rule.field}` must be {rule.must_be}",
                where=owner,
                found=getattr(entry, rule.field),
                remedy="mend the plugin",
            )


def _not_a(wanted: str, found: object, owner: str) -> ConfigError:
    return ConfigError(
        f"add_{wanted.lower()} takes a `{wanted}`",
        where=owner,
        found=found,
        remedy=f"write from lnat_plugins import {wanted}",
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True)
class _Checked:
    """What is wrapped ("splitter clauses@1"), and the plugin that it comes from."""

    what: str
    owner: str

    def wrong(self, complaint: str, found: object) -> ConfigError:
        return ConfigError(
            f"{self.what} {complaint}", where=self.owner, found=found, remedy="mend the plugin"
        )

    def failed(self, cause: Exception) -> ConfigError:
        return ConfigError(
            f"{self.what} failed: {type(cause).__name__}: {cause}",
            where=self.owner,
            remedy="mend the plugin",
        )

    def ask(self, function: Callable[..., object], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except LnatError:
            raise
        except Exception as cause:
            raise self.failed(cause) from cause


@dataclass(frozen=True)
class CheckedSplit(_Checked):
    """`Splitter.split`: the spans must be contiguous, non-empty and tile the text."""

    split: Callable[[str], list[Span]]

    def __call__(self, text: str) -> list[Span]:
        """The spans of the text."""
        found = self.ask(self.split, text)
        try:
            spans = [(operator.index(start), operator.index(end)) for start, end in found]
        except (TypeError, ValueError):
            raise self.wrong("gave no list of (start, end) spans", found) from None
        reached = 0
        for start, end in spans:
            if start != reached or end <= start:
                raise self.wrong(
                    f"left a gap, overlapped or gave an empty step at character {reached}",
                    (start, end),
                )
            reached = end
        if reached != len(text):
            raise self.wrong(f"ended at another character than the text, at {reached}", text)
        return spans


@dataclass(frozen=True)
class CheckedChoose(_Checked):
    """`Strategy.choose`: a `Choice` of whole numbers; which ones is checked where it is used."""

    choose: Callable[[ScoredCandidates], Choice]

    def __call__(self, contest: ScoredCandidates) -> Choice:
        """The strategy's choice."""
        choice = self.ask(self.choose, contest)
        if not isinstance(choice, Choice):
            raise self.wrong("gave no `Choice`", choice)
        try:
            weights = choice.weights
            return replace(
                choice,
                positions=tuple(map(operator.index, choice.positions)),
                weights=None
                if weights is None
                else {operator.index(place): float(weight) for place, weight in weights.items()},
                reasons={operator.index(place): str(why) for place, why in choice.reasons.items()},
                ties=operator.index(choice.ties),
            )
        except (TypeError, ValueError, AttributeError) as cause:
            raise self.wrong(f"gave a `Choice` that cannot be read ({cause})", choice) from None


@dataclass(frozen=True)
class CheckedCheck(_Checked):
    """`Strategy.check`: it refuses by an LnatError; its answer says nothing."""

    check: Callable[[Mapping[str, Any], Sequence[str], str], None]

    def __call__(self, options: Mapping[str, Any], teachers: Sequence[str], where: str) -> None:
        """Nothing, or the strategy's refusal."""
        self.ask(self.check, options, teachers, where)


@dataclass(frozen=True)
class CheckedRead(_Checked):
    """`Loader.read`; a file that cannot be opened is the file's fault and passes through too."""

    read: Callable[[Path, str], Iterable[Row | Mapping[str, Any]]]

    def __call__(self, path: Path, shown: str) -> Iterator[Row | Mapping[str, Any]]:
        """The rows of one file."""
        try:
            yield from self.read(path, shown)
        except (LnatError, OSError):
            raise
        except Exception as cause:
            raise self.failed(cause) from cause


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
        if not isinstance(metric, Metric):
            raise _not_a("Metric", metric, self._owner)
        self._metrics.add(replace(metric, owner=self._owner), self._owner)

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
