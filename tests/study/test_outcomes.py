"""What outcomes hold, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.study import Outcomes
from tests.study.builders import outcomes

NAN = math.nan
GOOD = [[[0, 1], [1, 1]], [[1, 1], [NAN, NAN]]]


def test_means_leave_missing_units_out() -> None:
    found = outcomes(np.array(GOOD), kinds="nt")
    assert found.known.tolist() == [[True, True], [True, False]]
    assert found.means.tolist() == [0.75, 1.0]
    assert found.item_means.tolist() == [[0.5, 1.0], [1.0, 1.0]]
    assert found.unit_means[0].tolist() == [0.5, 1.0]
    assert found.teachers == ("B",)
    assert found.of_kind("none") == ("A",)


def test_arms_are_taken_by_name() -> None:
    found = outcomes(np.array(GOOD), kinds="nt").only(["B"])
    assert (found.names, found.kinds, found.means.tolist()) == (("B",), ("teacher",), [1.0])
    more = found.with_arm("best", "selection", np.zeros((2, 2)))
    assert more.names == ("B", "best")
    assert more.means.tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="no such arm"):
        found.only(["A"])


@pytest.mark.parametrize(
    ("values", "names", "kinds", "message"),
    [
        ([[0, 1]], "A", ["teacher"], "values by arm, seed and item"),
        (GOOD, "A", ["teacher"], "1 names, 1 kinds"),
        (GOOD, "AB", ["teacher"], "2 names, 1 kinds"),
        (np.zeros((1, 0, 3)), "A", ["teacher"], "without an arm, a seed or an item"),
        (GOOD, "AA", ["teacher", "teacher"], "named twice (found 'A')"),
        (GOOD, "AB", ["teacher", "teachr"], "unknown kind of arm (found 'teachr'). Did you mean"),
        (GOOD, "AB", ["none", "none"], "two arms of the kind none"),
        ([[[NAN, NAN]]], "A", ["teacher"], "arm 'A': no unit of this arm is evaluated"),
        ([[[0, NAN]]], "A", ["teacher"], "arm 'A', seed 0: a unit is evaluated on some"),
        ([[[0, 1.5]]], "A", ["teacher"], "out of bounds (found 1.5)"),
        ([[[0, math.inf]]], "A", ["teacher"], "infinite or out of bounds"),
    ],
)
def test_what_is_refused(values: object, names: str, kinds: list[str], message: str) -> None:
    with pytest.raises(DataError) as error:
        Outcomes(tuple(names), tuple(kinds), np.array(values, dtype=np.float64))  # type: ignore[arg-type]
    assert message in str(error.value)


def test_other_figures_have_no_bounds() -> None:
    assert outcomes(np.array([[[-3.5, 2.0]]]), bounds=None).means.tolist() == [-0.75]
    with pytest.raises(DataError, match="infinite"):
        outcomes(np.array([[[-math.inf, 2.0]]]), bounds=None)
