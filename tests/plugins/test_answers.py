"""What a registered function may answer, and what becomes of it when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import Choice, Registry, ScoredCandidates
from lnat_plugins.errors import ConfigError, DataError
from tests.helpers_samples import make_record

from . import lab

RECORD = make_record("QwQ", tokens=(2, 18))
CONTEST = ScoredCandidates(lab.ROWS, np.zeros(4), np.zeros(4, np.int64), {}, 0)


def add(kind: str, entry: Any) -> Registry:
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
        ([(0, 4)], "ended at another character than the text, at 4"),
        ([(0, 6)], "ended at another character than the text, at 6"),
        ([], "ended at another character than the text, at 0"),
        ([0, 5], "no list of"),
        ([(0.0, 5.0)], "no list of"),
        (None, "no list of"),
    ],
)
def test_spans_must_tile_the_text(spans: Any, message: str) -> None:
    split = add("splitter", lab.splitter(split=lambda text: spans)).splitters["whole"].split
    with pytest.raises(ConfigError, match=rf"mine \(module\): splitter whole@1 .*{message}"):
        split("a b c")


def test_spans_may_be_of_numpys_numbers() -> None:
    pairs = lambda text: np.array([[0, 2], [2, len(text)]])  # noqa: E731
    assert add("splitter", lab.splitter(split=pairs)).splitters["whole"].split("a b") == [
        (0, 2),
        (2, 3),
    ]


def test_a_metric_of_a_plugin_knows_its_owner() -> None:
    found = add("metric", lab.metric(compute=lambda record, window: None)).metrics["longer"]
    assert found.owner == "mine (module)"
    with pytest.raises(ConfigError, match=r"^mine \(module\): metric longer gave no number"):
        found.of(RECORD, "4")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (None, "gave no `Choice`"),
        ((0, 1), "gave no `Choice`"),
        (Choice((0.5,)), "gave a `Choice` that cannot be read"),  # type: ignore[arg-type]
        (Choice((0,), weights={0: "heavy"}), "gave a `Choice` that cannot be read"),  # type: ignore[dict-item]
        (Choice((0,), reasons=["late"]), "gave a `Choice` that cannot be read"),  # type: ignore[arg-type]
    ],
)
def test_a_choice_must_be_readable(choice: Any, message: str) -> None:
    registry = add("strategy", lab.strategy(choose=lambda contest: choice))
    with pytest.raises(ConfigError, match=f"strategy first {message}"):
        registry.strategies["first"].choose(CONTEST)


def broken(*arguments: Any) -> Any:
    raise KeyError("no such thing")


def careful(*arguments: Any) -> Any:
    raise DataError("not of these", where="row 3")


def read(registry: Registry) -> Any:
    return list(registry.loaders["none"].read(Path("x"), "x"))


CALLS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("splitter", "split", {}, lambda registry: registry.splitters["whole"].split("a")),
    ("strategy", "choose", {}, lambda registry: registry.strategies["first"].choose(CONTEST)),
    ("strategy", "check", {}, lambda registry: registry.strategies["first"].check({}, (), "here")),
    ("loader", "read", {}, read),
]


@pytest.mark.parametrize(("kind", "field", "others", "call"), CALLS)
def test_a_foreign_exception_names_the_plugin_and_ours_passes(
    kind: str, field: str, others: dict[str, Any], call: Any
) -> None:
    registry = add(kind, getattr(lab, kind)(**others | {field: broken}))
    with pytest.raises(ConfigError, match=rf"^mine \(module\): {kind} .* failed: KeyError") as told:
        call(registry)
    assert isinstance(told.value.__cause__, KeyError)
    registry = add(kind, getattr(lab, kind)(**others | {field: careful}))
    with pytest.raises(DataError, match="^row 3: not of these"):
        call(registry)


def test_a_file_that_cannot_be_opened_is_not_the_loaders_fault() -> None:
    registry = add("loader", lab.loader(read=lambda path, shown: path.open()))
    with pytest.raises(FileNotFoundError):
        list(registry.loaders["none"].read(Path("/no/such/file"), "x"))
