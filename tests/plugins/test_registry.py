"""What may be added, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import Choice, Registry, ScoredCandidates
from lnat_plugins.errors import ConfigError
from lnat_plugins.plugins.registry import NameClashError
from tests.helpers_samples import make_record

from . import lab

RECORD = make_record("QwQ", tokens=(2, 18))
CANDIDATES = ScoredCandidates(lab.ROWS, np.zeros(4), np.zeros(4, np.int64), {}, 0)


def add(kind: str, entry: Any, registry: Registry | None = None) -> Registry:
    registry = Registry("mine (module)") if registry is None else registry
    getattr(registry, f"add_{kind}")(entry)
    return registry


def test_what_is_added_is_there_by_name() -> None:
    registry = add("splitter", lab.splitter())
    add("metric", lab.metric(), registry)
    add("strategy", lab.strategy(), registry)
    add("loader", lab.loader(), registry)
    assert registry.splitters["whole"].split("a b") == [(0, 3)]
    assert registry.metrics["longer"].of(RECORD, "4") == 20.0
    assert registry.strategies["first"].choose(CANDIDATES) == Choice((0,))
    assert list(registry.loaders["none"].read(Path("x"), "x")) == []
    assert registry.added_by("mine (module)") == {
        "splitters": ("whole",),
        "metrics": ("longer",),
        "strategies": ("first",),
        "loaders": ("none",),
    }
    assert registry.added_by("somebody else") == {}


@pytest.mark.parametrize("table", ["splitters", "metrics", "strategies", "loaders"])
def test_the_tables_are_read_only(table: str) -> None:
    with pytest.raises(TypeError):
        getattr(Registry(), table)["x"] = 1


def test_what_a_strategy_declares_is_kept() -> None:
    asked: list[Any] = []
    entry = lab.strategy(weighs=True, check=lambda *given: asked.append(given))
    found = add("strategy", entry).strategies["first"]
    assert found.weighs
    assert found.owner == "mine (module)"
    assert found.check is not None
    found.check({"k": 1}, ("QwQ",), "here")
    assert asked == [({"k": 1}, ("QwQ",), "here")]
    plain = add("strategy", lab.strategy()).strategies["first"]
    assert (plain.check, plain.weighs) == (None, False)


def test_a_registry_builds_on_another_and_leaves_it_alone() -> None:
    earlier = add("metric", lab.metric())
    later = Registry("yours (module)", earlier)
    add("metric", lab.metric(name="longest"), later)
    assert list(later.metrics) == ["longer", "longest"]
    assert list(earlier.metrics) == ["longer"]
    assert later.added_by("mine (module)") == {"metrics": ("longer",)}


@pytest.mark.parametrize("kind", ["splitter", "metric", "strategy", "loader"])
def test_a_clash_names_both_owners(kind: str) -> None:
    entry = getattr(lab, kind)()
    second = Registry("yours (file y.py)", add(kind, entry))
    with pytest.raises(NameClashError) as caught:
        add(kind, entry, second)
    assert "mine (module) and yours (file y.py)" in str(caught.value)


def test_a_clash_of_suffixes_names_both_owners() -> None:
    second = Registry("yours (file y.py)", add("loader", lab.loader(suffixes=(".a", ".b"))))
    with pytest.raises(NameClashError, match=r"\.b files: mine \(module\) and yours"):
        add("loader", lab.loader(name="other", suffixes=(".b", ".c")), second)


def pair(record: Any, window: str) -> tuple[float, float]:
    return 1.0, 2.0


RATIO: dict[str, Any] = {"aggregate": "ratio_of_means", "parts": pair}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("splitter", {"name": "Whole"}, "`name` must be a name of lower-case letters"),
    ("splitter", {"name": "tokens"}, "`name` must be none of supplied"),
    ("splitter", {"version": 1}, "`version` must be text"),
    ("splitter", {"version": "1|2"}, "`version` must be text"),
    ("splitter", {"split": "."}, "`split` must be a function"),
    ("metric", {"name": ""}, "`name` must be"),
    ("metric", {"higher_is_better": 1}, "`higher_is_better` must be True, False or None"),
    ("metric", {"scope": "token"}, '`scope` must be one of "response", "prompt", "corpus"'),
    ("metric", {"unit": ""}, "`unit` must be text"),
    ("metric", {"source": None}, "`source` must be text"),
    ("metric", {"aggregate": "sum"}, '`aggregate` must be one of "mean", "ratio_of_means"'),
    ("metric", {"compute": None}, "`compute` must be a function"),
    ("metric", {"reads": "steps"}, '`reads` must be one of "window", "global", "counts"'),
    ("metric", {"needs": frozenset({"ranks"})}, "`needs` must be a frozenset of some of activ"),
    ("metric", {"needs": {"entropy"}}, "`needs` must be a frozenset of some of"),
    ("metric", {"parts": pair}, '`parts` must be a function with aggregate "ratio_of_means"'),
    ("metric", {"aggregate": "ratio_of_means"}, "`parts` must be a function with aggregate"),
    ("metric", RATIO | {"parts": (1, 2)}, "`parts` must be a function with aggregate"),
    ("metric", RATIO | {"scope": "prompt"}, '`scope` must be "response" with aggregate "ratio'),
    ("loader", {"name": "my loader"}, "`name` must be"),
    ("loader", {"suffixes": ".tsv"}, "`suffixes` must be a tuple"),
    ("loader", {"suffixes": (".TSV",)}, "`suffixes` must be a tuple"),
    ("loader", {"suffixes": ("tsv",)}, "`suffixes` must be a tuple"),
    ("loader", {"read": "csv"}, "`read` must be a function"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD)
def test_a_wrong_field_names_the_owner_and_the_rule(
    kind: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        add(kind, getattr(lab, kind)(**fields))
    assert str(caught.value).startswith(f"mine (module): a {kind}'s ")
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["splitter", "metric", "strategy", "loader"])
def test_something_else_than_an_entry_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"add_{kind} takes a `{kind.title()}` .*'x'"):
        add(kind, "x")


def test_a_strategy_without_needs_and_options_and_a_loader_without_suffixes_are_fine() -> None:
    registry = add("loader", lab.loader(suffixes=()), add("strategy", lab.strategy()))
    assert list(registry.loaders) == ["none"]
