"""What a registered splitter, metric, strategy or loader must be.

Knows nothing of names that are taken and of what the functions will answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import ALL as EVERY
from lnat_plugins.metrics import Metric
from lnat_plugins.metrics.base import AGGREGATES, READS, SCOPES
from lnat_plugins.selection import KEYS, Option, Strategy
from lnat_plugins.statistics_names import ALL
from lnat_plugins.steps import RESERVED, Splitter
from lnat_plugins.teacher_set import Loader

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


def check_metric(metric: object, owner: str) -> None:
    """Raises ConfigError, naming the owner and the field."""
    if not isinstance(metric, Metric):
        raise _not_a("Metric", metric, owner)
    _check("metric", metric, _of_metric(metric), owner)


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


def _of_metric(metric: Any) -> Iterator[_Rule]:
    direction = metric.higher_is_better is None or isinstance(metric.higher_is_better, bool)
    yield _Rule("name", _is_name(metric.name), _NAME_RULE)
    yield _Rule("name", metric.name != EVERY, f"other than {EVERY!r}, which stands for all of them")
    yield _Rule("higher_is_better", direction, "True, False or None")
    yield _Rule("scope", metric.scope in SCOPES, _one_of(SCOPES))
    yield _Rule("unit", _is_text(metric.unit), 'text such as "nats per token"')
    yield _Rule("source", _is_text(metric.source), "text: a paper, or who defined it")
    yield _Rule("aggregate", metric.aggregate in AGGREGATES, _one_of(AGGREGATES))
    yield _Rule("compute", callable(metric.compute), "a function")
    yield _Rule("reads", metric.reads in READS, _one_of(READS))
    needs = isinstance(metric.needs, frozenset) and metric.needs <= ALL
    yield _Rule("needs", needs, f"a frozenset of some of {', '.join(sorted(ALL))}")
    parts = callable(metric.parts) if metric.aggregate == "ratio_of_means" else metric.parts is None
    yield _Rule("parts", parts, 'a function with aggregate "ratio_of_means", else None')
    single = metric.aggregate == "mean" or metric.scope == "response"
    yield _Rule("scope", single, '"response" with aggregate "ratio_of_means"')


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


def _one_of(names: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f'"{name}"' for name in names)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
