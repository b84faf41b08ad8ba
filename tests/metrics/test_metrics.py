"""Each metric against numbers worked out by hand, on the smallest input where they differ."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.engine.types import ALL
from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import METRICS, Metric, get_metric
from lnat_plugins.metrics.base import AGGREGATES, READS, SCOPES
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.metrics.rows import row

SCORES = ("local_naturalness", "global_naturalness", "global_step_naturalness")


def value(name: str, record: object, window: str = "4") -> float:
    return get_metric(name).of(record, window)  # type: ignore[arg-type]


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


def test_context_and_weights_are_told_apart() -> None:
    record = make_record(sums={"0": [-4.0, -6.0], "global": [-4.0, -2.0]}, tokens=[4, 2])
    assert value("local_naturalness", record, "0") == pytest.approx((-1 - 3) / 2)
    assert value("local_naturalness", record, "global") == pytest.approx((-1 - 1) / 2)
    assert value("global_step_naturalness", record, "0") == pytest.approx(-1.0)
    assert value("global_naturalness", record, "0") == pytest.approx(-1.0)


def test_global_stands_on_the_total_alone() -> None:
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


def test_a_step_without_a_token_has_no_weight() -> None:
    record = make_record(sums={"4": [-4.0, 0.0, -2.0]}, tokens=[2, 0, 2])
    assert value("local_naturalness", record) == pytest.approx(-1.5)
    assert value("n_steps", record) == 2
    assert value("mean_step_tokens", record) == 2


def test_a_response_without_a_token_is_undefined() -> None:
    record = make_record(sums={"4": [0.0], "global": [0.0]}, tokens=[0])
    for name in (*SCORES, "mean_step_tokens", "first_token_ratio"):
        assert math.isnan(value(name, record))
        assert reason(get_metric(name), record, "4") == "the response holds no token"


def test_controls_are_counts() -> None:
    record = make_record(tokens=[2, 18])
    assert value("n_tokens", record) == 20
    assert value("n_steps", record) == 2
    assert value("mean_step_tokens", record) == 10
    assert value("first_token_ratio", record) == pytest.approx(0.1)


def test_every_direction_by_name() -> None:
    assert {name: metric.higher_is_better for name, metric in METRICS.items()} == {
        "local_naturalness": True,
        "global_naturalness": True,
        "global_step_naturalness": True,
        "aslec_drop": True,
        "aslec_drop2": True,
        "aslec_casl": True,
        "aslec_casl_by_teacher": True,
        "rsr": False,
        "lark": True,
        "lark_top50": True,
        "scas": False,
        "entropy": None,
        "ifd": False,
        "car": True,
        "n_tokens": None,
        "n_steps": None,
        "mean_step_tokens": None,
        "first_token_ratio": None,
        "random": True,
    }


def test_every_scope_that_is_not_the_response() -> None:
    assert {
        name: metric.scope for name, metric in METRICS.items() if metric.scope != "response"
    } == {
        "aslec_casl": "corpus",
        "aslec_casl_by_teacher": "corpus",
        "lark": "prompt",
        "lark_top50": "prompt",
        "random": "prompt",
    }


def test_every_aggregate_that_is_not_the_mean() -> None:
    ratios = {name for name, metric in METRICS.items() if metric.aggregate != "mean"}
    assert ratios == {"rsr", "car"}
    assert {name for name, metric in METRICS.items() if metric.parts is not None} == ratios


def test_every_statistic_that_can_be_gathered_serves_a_metric() -> None:
    assert frozenset().union(*(metric.needs for metric in METRICS.values())) == ALL


def test_only_local_naturalness_reads_the_window_asked_for() -> None:
    assert [name for name, m in METRICS.items() if m.reads == "window"] == ["local_naturalness"]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_declares_itself(name: str) -> None:
    metric = METRICS[name]
    assert metric.name == name
    assert metric.unit
    assert metric.source
    assert metric.compute.__doc__
    assert metric.scope in SCOPES
    assert metric.aggregate in AGGREGATES
    assert metric.reads in READS


def test_an_unknown_metric_offers_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown metric 'local_naturalnes'.*'local_naturalness'"
    ):
        get_metric("local_naturalnes")


def test_a_table_of_other_metrics_can_be_named_from() -> None:
    other = {"mine": get_metric("n_tokens")}
    assert get_metric("mine", other) is get_metric("n_tokens")
    with pytest.raises(ConfigError, match="unknown metric 'n_tokens'. Known: mine"):
        get_metric("n_tokens", other)
