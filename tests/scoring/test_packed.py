"""Packed numbers and spans read as the tuples and dictionaries that they stand for."""

from __future__ import annotations

import copy
import math

import pytest

from lnat_plugins.scoring.packed import PackedSpans, pack


@pytest.mark.parametrize("spans", [(), ((0, 3),), ((0, 3), (3, 70_000), (70_000, 70_001))])
def test_spans(spans: tuple[tuple[int, int], ...]) -> None:
    packed = PackedSpans(end for _, end in spans)
    assert packed == spans and spans == packed and tuple(packed) == spans
    assert len(packed) == len(spans) and packed[-1:] == spans[-1:]
    assert [packed[i] for i in range(-len(spans), len(spans))] == [*spans, *spans]
    assert (hash(packed), repr(packed)) == (hash(spans), repr(spans))
    assert packed != ((0, 4),)
    with pytest.raises(IndexError):
        packed[len(spans)]


def test_a_copy_is_equal() -> None:
    """As what another process sends is."""
    sums, totals = {"4": (0.1, -2.0), "global": (-0.5, -0.25)}, {"4": -1.9, "global": -0.75}
    packed, numbers = pack([{"a": (1.0,)}, sums], [totals])
    for mapping, plain in zip((*packed, *numbers), ({"a": (1.0,)}, sums, totals), strict=True):
        again = copy.copy(mapping)
        assert type(again) is type(mapping) and again == plain


def test_numbers_keep_every_bit() -> None:
    sums = {"4": (0.1, -1e-300, 3.0), "global": (-0.0, 2.5, 1 / 3)}
    totals = {"4": 0.1 + 0.2, "global": -7.0}
    (packed, other, nothing), (numbers, none) = pack(
        [sums, {"first_token": (-1.5, -2.5, -3.5)}, {}], [totals, {}]
    )
    assert packed == sums and numbers == totals and (nothing, none) == ({}, {})
    assert other == {"first_token": (-1.5, -2.5, -3.5)}
    assert math.copysign(1, packed["global"][0]) == -1
    assert (list(packed), len(packed), "4" in packed, "5" in packed) == (
        ["4", "global"], 2, True, False,
    )  # fmt: skip
    assert (packed.get("5"), numbers.get("5", 0.5), numbers.get("4")) == (None, 0.5, 0.1 + 0.2)
    for mapping in (packed, numbers):
        with pytest.raises(KeyError):
            mapping["5"]
    assert repr(packed) == repr(sums) and repr(numbers) == repr(totals)


def test_a_response_without_steps() -> None:
    (packed,), (numbers,) = pack([{"4": ()}], [{"4": math.nan}])
    assert packed == {"4": ()} and math.isnan(numbers["4"])
