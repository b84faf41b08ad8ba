"""What outcomes hold, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.study import (
    Estimate,
    Outcomes,
    agreement,
    arm_table,
    gains,
    may_be_best,
    reliability,
)
from tests.study.builders import outcomes, scores

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


def test_means_of_tasks() -> None:
    values = np.arange(12.0).reshape(2, 2, 3)
    found = outcomes(values, bounds=None, tasks=("x", "y", "x"))
    assert {task: means.tolist() for task, means in found.task_means.items()} == {
        "x": [2.5, 8.5], "y": [2.5, 8.5],
    }  # fmt: skip
    assert found.only(["B"]).task_means["y"].tolist() == [8.5]
    assert outcomes(values, bounds=None).task_means == {}
    assert outcomes(values, bounds=None, tasks=("x",) * 3).task_means == {}
    with pytest.raises(DataError, match="2 tasks, 3 items"):
        outcomes(values, bounds=None, tasks=("x", "y"))


def test_values_without_bounds_are_compared_by_their_differences_alone() -> None:
    """Log-probabilities say what any other figures with the same differences do."""
    generator = np.random.default_rng(3)
    logs = generator.normal(-3, 0.2, (9, 1, 30)) + generator.normal(0, 0.1, (9, 3, 30))
    logs += generator.normal(0, 0.4, (9, 1, 1))
    measured = scores(generator.normal(size=(2, 6, 8)))
    kinds, names = "nttttttss", ["none", *"ABCDEF", "random", "best"]

    def statistics(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[object]:
        of = outcomes(values, kinds=kinds, names=names, bounds=None)  # type: ignore[arg-type]
        found = agreement(of, measured, iters=100)
        table = arm_table(of, iters=100)
        assert not any(arm.floor or arm.ceiling for arm in table.arms)
        return [
            [one.fixed["regret"] for one in found.metrics], [arm.gain for arm in table.arms],
            [one.gain for one in gains(of, iters=100).gains],
            [one.fixed["tau"].value for one in found.metrics], reliability(of).share.value,
            may_be_best(of, iters=100),
        ]  # fmt: skip

    first, second = statistics(logs), statistics(logs / 4 + 7)
    for one, other in zip(first[:3], second[:3], strict=True):
        for left, right in zip(one, other, strict=True):  # type: ignore[call-overload]
            assert isinstance(left, Estimate)
            got = [right.value, right.low, right.high]
            expected = [left.value / 4, left.low / 4, left.high / 4]
            assert got == pytest.approx(expected, nan_ok=True, abs=1e-9)
    assert second[3] == pytest.approx(first[3])
    assert second[4] == pytest.approx(first[4])
    assert second[5] == first[5]
