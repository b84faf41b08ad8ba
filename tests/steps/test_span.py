"""Tiling: white space goes to the step before it, and nothing is lost."""

from __future__ import annotations

import pytest

from lnat_plugins.steps.blocks import tile


@pytest.mark.parametrize(
    ("text", "cuts", "expected"),
    [
        ("", [], []),
        ("ab", [], [(0, 2)]),
        ("ab", [1], [(0, 1), (1, 2)]),
        ("a  b", [1], [(0, 3), (3, 4)]),
        ("a  b", [1, 2, 3], [(0, 3), (3, 4)]),
        ("  ab", [1], [(0, 4)]),
        ("  ab", [2], [(0, 4)]),
        ("ab  ", [2], [(0, 4)]),
        ("ab", [0, 2], [(0, 2)]),
        (" \n ", [1], [(0, 3)]),
    ],
)
def test_tile(text: str, cuts: list[int], expected: list[tuple[int, int]]) -> None:
    assert tile(text, cuts) == expected
