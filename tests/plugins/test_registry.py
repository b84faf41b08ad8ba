"""What may be added, and what is refused.

What a registered function may answer, and what becomes of it when it fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import Registry
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.plugins.registry import NameClashError
from lnat_plugins.selection import Choice, ScoredCandidates
from lnat_plugins.teacher_set.loaders import read_file
from tests.helpers_samples import make_record
from tests.metrics.rows import Row

from . import lab

RECORD = make_record("QwQ", tokens=(2, 18))
CANDIDATES = ScoredCandidates(lab.ROWS, np.zeros(4), np.zeros(4, np.int64), {}, 0)


def line_of(function: Any) -> int:
    """The line of the lambda that `function` puts into its entry."""
    return int(function().choose.__code__.co_firstlineno)


def add(kind: str, entry: Any, registry: Registry | None = None) -> Registry:
    registry = Registry("mine (module)") if registry is None else registry
    getattr(registry, f"add_{kind}")(entry)
    return registry


def test_what_is_added_is_there_by_name() -> None:
    registry = add("splitter", lab.splitter())
    add("metric", lab.metric(), registry)
    add("strategy", lab.strategy(), registry)
    add("loader", lab.loader(), registry)
    assert registry.splitters["whole"].cut("a b") == [(0, 3)]
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
    calls: list[Any] = []
    entry = lab.strategy(weighs=True, check=lambda *given: calls.append(given))
    found = add("strategy", entry).strategies["first"]
    assert found.weighs
    assert found.owner.startswith("mine (module), ")
    assert found.owner.endswith(f"lab.py line {line_of(lab.strategy)}")
    assert found.check is not None
    found.check({"k": 1}, ("QwQ",), "here")
    assert calls == [({"k": 1}, ("QwQ",), "here")]
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


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("splitter", {"name": "Whole"}, "`name` must be a name of lower-case letters"),
    ("splitter", {"name": "tokens"}, "`name` must be none of supplied"),
    ("splitter", {"version": 1}, "`version` must be text"),
    ("splitter", {"version": "1|2"}, "`version` must be text"),
    ("splitter", {"split": "."}, "`split` must be a function"),
    ("loader", {"name": "my loader"}, "`name` must be"),
    ("loader", {"suffixes": ".tsv"}, "`suffixes` must be a tuple"),
    ("loader", {"suffixes": (".TSV",)}, "`suffixes` must be a tuple"),
    ("loader", {"suffixes": ("tsv",)}, "`suffixes` must be a tuple"),
    ("loader", {"read": "csv"}, "`read` must be a function"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD)
def test_a_wrong_field_is_refused_where_the_entry_is_made(
    kind: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        getattr(lab, kind)(**fields)
    assert f"{kind} {fields.get('name', getattr(lab, kind)().name)}: a {kind}'s " in str(
        caught.value
    )
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["splitter", "metric", "strategy", "loader"])
def test_something_else_than_an_entry_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"add_{kind} takes a `{kind.title()}` .*'x'"):
        add(kind, "x")


def test_a_strategy_without_needs_and_options_and_a_loader_without_suffixes_are_fine() -> None:
    registry = add("loader", lab.loader(suffixes=()), add("strategy", lab.strategy()))
    assert list(registry.loaders) == ["none"]


ROWS = [Row("p0", teacher, make_record(teacher)) for teacher in ("QwQ", "R1")]


def put(kind: str, entry: Any) -> Registry:
    registry = Registry("mine (module)")
    getattr(registry, f"add_{kind}")(entry)
    return registry


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 2), (3, 5)], "at character 2"),
        ([(0, 3), (2, 5)], "at character 3"),
        ([(0, 0), (0, 5)], "at character 0"),
        ([(1, 5)], "at character 0"),
        ([(0, 10**5000)], "than the text, at a value of type int that cannot be shown"),
        ([(0, 4)], "ended at another character than the text, at 4"),
        ([(0, 6)], "ended at another character than the text, at 6"),
        ([], "ended at another character than the text, at 0"),
        ([0, 5], "no list of"),
        ([(0.0, 5.0)], "no list of"),
        (None, "no list of"),
    ],
)
def test_spans_must_tile_the_text(spans: Any, message: str) -> None:
    splitter = put("splitter", lab.splitter(split=lambda text: spans)).splitters["whole"]
    owner = rf"^mine \(module\), .*test_registry.py line \d+: splitter whole@1 .*{message}"
    with pytest.raises(ConfigError, match=owner):
        splitter.cut("a b c")


def test_spans_may_be_of_numpys_numbers() -> None:
    pairs = lambda text: np.array([[0, 2], [2, len(text)]])  # noqa: E731
    assert put("splitter", lab.splitter(split=pairs)).splitters["whole"].cut("a b") == [
        (0, 2),
        (2, 3),
    ]


def broken(*arguments: Any) -> Any:
    raise KeyError("no such thing")


def careful(*arguments: Any) -> Any:
    raise DataError("not of these", where="row 3")


def read(registry: Registry) -> Any:
    return list(read_file(Path("x"), "x", registry.loaders["none"]))


def rate(registry: Registry) -> Any:
    return registry.metrics["longer"].rate(ROWS, "4")


CALLS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("splitter", "split", {}, lambda registry: registry.splitters["whole"].cut("a")),
    ("metric", "compute", {}, lambda registry: registry.metrics["longer"].of(RECORD, "4")),
    ("metric", "compute", {"scope": "corpus"}, rate),
    ("loader", "read", {}, read),
]


@pytest.mark.parametrize(("kind", "field", "others", "call"), CALLS)
def test_a_foreign_exception_names_the_plugin_and_ours_passes(
    kind: str, field: str, others: dict[str, Any], call: Any
) -> None:
    registry = put(kind, getattr(lab, kind)(**others | {field: broken}))
    owner = rf"^mine \(module\), .*test_registry.py line \d+: {kind} .* failed: KeyError"
    with pytest.raises(ConfigError, match=owner) as caught:
        call(registry)
    assert isinstance(caught.value.__cause__, KeyError)
    registry = put(kind, getattr(lab, kind)(**others | {field: careful}))
    with pytest.raises(DataError, match="^row 3: not of these"):
        call(registry)


def test_a_file_that_cannot_be_opened_is_not_the_loaders_fault() -> None:
    registry = put("loader", lab.loader(read=lambda path, shown: path.open()))
    with pytest.raises(DataError, match="^x: no such file"):
        list(read_file(Path("/no/such/file"), "x", registry.loaders["none"]))
