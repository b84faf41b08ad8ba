"""What a registered function may answer, and what becomes of it when it fails."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import Registry
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import UndefinedError
from tests.helpers_samples import make_record
from tests.metrics.rows import Row

from . import lab

RECORD = make_record("QwQ", tokens=(2, 18))
ROWS = [Row("p0", teacher, make_record(teacher)) for teacher in ("QwQ", "R1")]


def add(kind: str, entry: Any) -> Registry:
    registry = Registry("mine (module)")
    getattr(registry, f"add_{kind}")(entry)
    return registry


def pair(record: Any, window: str) -> tuple[float, float]:
    return 1.0, 2.0


RATIO: dict[str, Any] = {"aggregate": "ratio_of_means", "parts": pair}


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


@pytest.mark.parametrize("value", [None, "1", True, math.inf, -math.inf, [1.0]])
def test_a_value_must_be_a_number(value: Any) -> None:
    registry = add("metric", lab.metric(compute=lambda record, window: value))
    with pytest.raises(ConfigError, match="metric longer gave no number for teacher 'QwQ'"):
        registry.metrics["longer"].of(RECORD, "4")


@pytest.mark.parametrize("value", [np.float32(-1.5), -1.5, math.nan])
def test_a_value_may_be_any_float(value: Any) -> None:
    registry = add("metric", lab.metric(compute=lambda record, window: value))
    found = registry.metrics["longer"].of(RECORD, "4")
    assert type(found) is float
    assert found == pytest.approx(float(value), nan_ok=True)


def of_rows(compute: Any) -> Any:
    """A metric that looks at the responses to a prompt, through the registry."""
    return add("metric", lab.metric(scope="prompt", compute=compute)).metrics["longer"]


@pytest.mark.parametrize("values", [[1, 2], (1.0, 2.0), np.array([1.0, 2.0]), iter([1.0, 2.0])])
def test_values_of_several_rows_may_be_of_any_kind_of_list(values: Any) -> None:
    assert of_rows(lambda rows, window: values).rate(ROWS, "4").values == (1.0, 2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "gave no list of 2 values"),
        (1.0, "gave no list of 2 values"),
        ([1.0], "gave 1 values for 2 responses"),
        ([1.0, 2.0, 3.0], "gave 3 values for 2 responses"),
        ([1.0, None], "gave no number for teacher 'R1'"),
        ([math.inf, 1.0], "gave no number for teacher 'QwQ'"),
        ("ab", "gave no number for teacher 'QwQ'"),
    ],
)
def test_values_of_several_rows_are_a_number_each(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"mine \(module\): metric longer {message}"):
        of_rows(lambda rows, window: values).rate(ROWS, "4")


@pytest.mark.parametrize("rows", [(), (1,)])
@pytest.mark.parametrize("scope", ["response", "prompt"])
def test_undefined_is_an_answer_and_no_failure(scope: str, rows: tuple[int, ...]) -> None:
    def compute(given: Any, window: str) -> Any:
        if scope == "response" or len(given) == 2:
            raise UndefinedError("too few", rows)
        return [1.0]

    found = add("metric", lab.metric(scope=scope, compute=compute)).metrics["longer"]
    reasons = found.rate(ROWS, "4").reasons
    assert reasons == (("", "too few") if rows and scope == "prompt" else ("too few", "too few"))


def test_what_a_metric_needs_is_kept() -> None:
    found = add("metric", lab.metric(needs=frozenset({"entropy"}))).metrics["longer"]
    assert found.needs == {"entropy"}
    assert found.rate(ROWS, "4").reasons == ("the statistic 'entropy' was not gathered",) * 2


def parts_of(parts: Any) -> tuple[float, float]:
    found = add("metric", lab.metric(**RATIO | {"parts": parts})).metrics["longer"].parts
    assert found is not None
    return found(RECORD, "4")


def test_parts_become_plain_floats() -> None:
    found = parts_of(lambda record, window: (np.float32(1.5), record.n_tokens))
    assert found == (1.5, 20.0)
    assert {type(each) for each in found} == {float}
    assert math.isnan(parts_of(lambda record, window: (math.nan, 1.0))[0])
    assert add("metric", lab.metric()).metrics["longer"].parts is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (1.0, "gave no pair of numerator and denominator"),
        ((1.0,), "gave no pair of numerator and denominator"),
        ((1.0, 2.0, 3.0), "gave no pair of numerator and denominator"),
        ((1.0, None), "gave no number for teacher 'QwQ'"),
        ((math.inf, 1.0), "gave no number for teacher 'QwQ'"),
    ],
)
def test_parts_must_be_a_pair_of_numbers(parts: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"metric longer {message}"):
        parts_of(lambda record, window: parts)


def broken(*arguments: Any) -> Any:
    raise KeyError("no such thing")


def careful(*arguments: Any) -> Any:
    raise DataError("not of these", where="row 3")


def read(registry: Registry) -> Any:
    return list(registry.loaders["none"].read(Path("x"), "x"))


def rate(registry: Registry) -> Any:
    return registry.metrics["longer"].rate(ROWS, "4")


def parts(registry: Registry) -> Any:
    found = registry.metrics["longer"].parts
    assert found is not None
    return found(RECORD, "4")


CALLS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("splitter", "split", {}, lambda registry: registry.splitters["whole"].split("a")),
    ("metric", "compute", {}, lambda registry: registry.metrics["longer"].of(RECORD, "4")),
    ("metric", "compute", {"scope": "corpus"}, rate),
    ("metric", "parts", RATIO, parts),
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
