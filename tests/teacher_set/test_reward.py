"""The column `reward`: a number, nothing, or an error."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.layouts import reward_of


@pytest.mark.parametrize(("extra", "expected"), [({}, None), ({"reward": None}, None)])
def test_none_is_none(extra: dict[str, Any], expected: None) -> None:
    assert reward_of(extra, "row 1") is expected


@pytest.mark.parametrize("value", [0, -1.5, 3])
def test_numbers(value: float) -> None:
    assert reward_of({"reward": value}, "row 1") == value


@pytest.mark.parametrize("value", ["0.5", True, math.nan, math.inf, [1.0]])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match=r"row 1: column 'reward' is not a number"):
        reward_of({"reward": value}, "row 1")
