"""JSON text is read as Python's `json` reads it, and refused where that, or JSON itself, would."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lnat_plugins.files import RepeatedKeyError, is_finite, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
# Pieces that make text which is nearly JSON.
PIECES = st.sampled_from([
    *"{}[]:,", '"', r"\"", r"\u0061", r"\ud800", r"\ud83d\ude00", "a",
    '"a"', '"a":', '"b":', "1", "-0",
    "0", "01", "1.", ".5", "1e999", "1e-999", "NaN", "-Infinity", "Infinity", "nan", "true", "null",
    " ", "\t", "\n", "\x00", "\ufeff", "é", "9007199254740993", "1e23", "5e-324",
])  # fmt: skip


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise KeyError
    return dict(pairs)


def by_json(text: str) -> str:
    """What `json` makes of it; as text, so that -0.0 is not 0, and NaN is itself."""
    try:
        return repr(json.loads(text, object_pairs_hook=unique))
    except KeyError:
        return "duplicate key"
    except ValueError:
        return "no JSON"


def by_us(text: str, *, finite: bool = False) -> str:
    try:
        return repr(parse_json(text, finite=finite))
    except RepeatedKeyError:
        return "duplicate key"
    except ValueError:
        return "no JSON"


@settings(max_examples=500)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_is_read(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert by_us(text) == by_json(text) == repr(value)


@settings(max_examples=2_000)
@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20))
@example('{"a": 1, "b": {"a": 2}}')
@example('{"a": 1, "\\u0061": 2}')
@example('{"a" : 1, "a" : 2}')
@example('{"a\\\\": 1, "a\\\\": 2}')
@example('[{"b": [{"a": 1, "a": 2}]}]')
@example('{"a": "\\"b\\": "}')
@example('"\ud800"')
@example("1" * 4_301)
@example("[" * 500 + "]" * 500)
def test_any_text_is_read_as_json_reads_it(text: str) -> None:
    assert by_us(text) == by_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("text", ["{}", "[{}]", '{{"a": {{"b": [1, "x", {}]}}}}'])
def test_what_is_not_finite_is_no_json_where_that_is_asked(text: str, number: str) -> None:
    assert by_us(text.format(number), finite=True) == "no JSON"
    assert by_us(text.format(number)) == by_json(text.format(number)) != "no JSON"


@given(VALUES)
def test_is_finite(value: object) -> None:
    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [number for one in value for number in numbers(one)]
        return [value] if isinstance(value, float) else []

    assert is_finite(value) == all(map(math.isfinite, numbers(value)))


def test_is_finite_however_deep() -> None:
    deep: list[object] = [1.0]
    for _ in range(100_000):
        deep = [deep]
    assert is_finite(deep)
    assert not is_finite([deep, {"a": [math.inf]}])
