"""Local, global and global step naturalness, on the smallest inputs where they differ."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.metrics import Metric, get_metric
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.metrics.rows import row

SCORES = ("local_naturalness", "global_naturalness", "global_step_naturalness")


def value(name: str, record: StepSums, window: str = "4") -> float:
    return get_metric(name).of(record, window)


def reason(metric: Metric, record: StepSums, window: str) -> str:
    (found,) = metric.rate([row(record)], window).reasons
    return found


def test_step_mean_is_not_token_mean() -> None:
    record = make_record(sums={w: [2 * -0.2, 18 * -1.0] for w in ("4", "global")}, tokens=[2, 18])
    assert value("local_naturalness", record) == pytest.approx(-0.6)
    assert value("global_step_naturalness", record) == pytest.approx(-0.6)
    assert value("global_naturalness", record) == pytest.approx(-0.92)


def test_one_step_makes_all_three_equal() -> None:
    record = make_record(sums={"4": [-7.0], "global": [-7.0]}, tokens=[5])
    assert {value(name, record) for name in SCORES} == {-1.4}


def test_context_and_weights_are_separated() -> None:
    record = make_record(sums={"0": [-4.0, -6.0], "global": [-4.0, -2.0]}, tokens=[4, 2])
    assert value("local_naturalness", record, "0") == pytest.approx((-1 - 3) / 2)
    assert value("local_naturalness", record, "global") == pytest.approx((-1 - 1) / 2)
    assert value("global_step_naturalness", record, "0") == pytest.approx(-1.0)
    assert value("global_naturalness", record, "0") == pytest.approx(-1.0)


def test_global_needs_the_total_alone() -> None:
    record = make_record(sums={"4": [-1.0, -1.0], "global": None}, totals={"global": -30.0})
    assert value("global_naturalness", record) == pytest.approx(-1.5)
    step = get_metric("global_step_naturalness")
    assert math.isnan(step.of(record, "4"))
    assert reason(step, record, "4") == "the back end gives only the total, not the steps"


def test_a_failure_is_nan_with_its_reason() -> None:
    record = make_record(sums={"4": [-1.0, -1.0], "global": None}, undefined={"global": "too long"})
    for name in ("global_naturalness", "global_step_naturalness"):
        assert math.isnan(value(name, record))
        assert reason(get_metric(name), record, "4") == "too long"
    local = get_metric("local_naturalness")
    assert local.of(record, "4") == pytest.approx((-0.5 - 1 / 18) / 2)
    assert reason(local, record, "4") == ""


def test_one_undefined_step_leaves_the_response_undefined() -> None:
    record = make_record(sums={"4": [-1.0, math.nan]}, undefined={"4": "step 2 does not fit"})
    assert math.isnan(value("local_naturalness", record))
    assert reason(get_metric("local_naturalness"), record, "4") == "step 2 does not fit"


def test_a_window_that_was_not_scored_is_nan() -> None:
    record = make_record(sums={"4": [-1.0, -1.0]})
    assert math.isnan(value("local_naturalness", record, "8"))
    assert reason(get_metric("local_naturalness"), record, "8") == "window '8' was not scored"
    assert math.isnan(value("global_naturalness", record))
    assert math.isnan(value("global_step_naturalness", record))
