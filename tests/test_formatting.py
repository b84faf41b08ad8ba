"""Figures and counts as they are printed."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.formatting import (
    duration,
    is_or_are,
    number,
    plural,
    roughly,
    share_of,
    span,
    with_span,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-2.5, "-2.5000"),
        (-1e-9, "0.0000"),
        (0, "0.0000"),
        (999.12344, "999.1234"),
        (1479.2661, "1479.27"),
        (-12345.678, "-12345.7"),
        (1479266.1912, "1479266"),
        (math.nan, "N/A"),
        (math.inf, "inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_fewer_decimals_stay_few() -> None:
    assert number(1479.2661, 1) == "1479.3"
    assert span(-1.5, 2000.123, 3) == "[-1.500, 2000.12]"
    assert span(math.nan, math.nan, 3) == "N/A"
    assert span(-0.91, -0.0042, 2) == "[-0.91, -0.004]"
    assert span(0.0, 4e-8, 2) == "[0.00, 0.000000]"


def test_a_value_with_its_interval() -> None:
    assert with_span(0.45, 0.04, 0.79, 2) == "0.45 [0.04, 0.79]"
    assert with_span(0.45, 0.04, 0.79, 1, signed=True) == "+0.5 [0.04, 0.8]"
    assert with_span(-0.45, math.nan, math.nan, 2, signed=True) == "-0.45 N/A"
    assert with_span(math.nan, math.nan, math.nan) == "N/A"


def test_one_and_many() -> None:
    assert [is_or_are(count) for count in (0, 1, 2)] == ["are", "is", "are"]
    assert [plural(count, "prompt") for count in (0, 1, 2)] == [
        "0 prompts",
        "1 prompt",
        "2 prompts",
    ]


@pytest.mark.parametrize(
    ("share", "count", "text"),
    [(0.8, 10, "8 of 10"), (2 / 3, 3, "2 of 3"), (0.75, 10, "7.5 of 10"), (math.nan, 0, "0 of 0")],
)
def test_shares_are_printed_as_counts(share: float, count: int, text: str) -> None:
    assert share_of(share, count) == text


def test_a_guess_has_two_digits() -> None:
    assert [roughly(n) for n in (1, 99, 142, 1827, 25_499)] == [1, 99, 140, 1800, 25_000]


def test_durations_in_the_unit_that_says_most() -> None:
    assert [duration(s) for s in (0.2, 40, 89, 100, 3000, 12600)] == [
        "1 second", "40 seconds", "89 seconds", "2 minutes", "50 minutes", "3.5 hours",
    ]  # fmt: skip
