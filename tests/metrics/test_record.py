"""The scored record: what goes out comes back, and nothing else gets in."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.metrics.rows import record_with

OPTIONAL = ("step_statistics", "statistics")


def test_a_record_survives_the_journey() -> None:
    record = make_record(
        sample="a", sums={"4": [-0.4, -18.0], "global": None}, totals={"global": -19.5}
    )
    assert StepSums.from_json(record.to_json()) == record
    assert StepSums.from_json(json.loads(record.to_json())) == record


def test_nan_travels_as_null_and_keeps_its_reason() -> None:
    record = make_record(
        sums={"4": [-0.4, math.nan], "global": None},
        undefined={"4": "step 2", "global": "too long"},
    )
    text = record.to_json()
    assert "NaN" not in text
    assert json.loads(text)["sums"] == {"4": [-0.4, None], "global": None}
    back = StepSums.from_json(text)
    four = back.sums["4"]
    assert four is not None
    assert math.isnan(four[1])
    assert math.isnan(back.totals["global"])
    assert back.undefined == {"4": "step 2", "global": "too long"}


def test_an_infinite_sum_is_refused_on_the_way_out() -> None:
    record = make_record("DSQ", {"4": [-math.inf, -1.0]})
    with pytest.raises(DataError, match=r"teacher 'DSQ', sample 0: a step sum is infinite"):
        record.to_json()


def test_steps_without_a_token_are_not_counted() -> None:
    assert make_record(sums={"4": [-1.0, 0.0, -1.0]}, tokens=[3, 0, 2]).n_steps == 2


@pytest.mark.parametrize("text", ["", "-12.5", "[]", '{"teacher": "x"}', "{", "null"])
def test_anything_else_is_not_a_scored_record(text: str) -> None:
    with pytest.raises(DataError, match=r"out\.jsonl line 3: not a scored record"):
        StepSums.from_json(text, "out.jsonl line 3")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("teacher", 3, "'teacher' has the wrong shape"),
        ("sample", True, "'sample' has the wrong shape"),
        ("sample", None, "'sample' has the wrong shape"),
        ("spans", [[0, 10], [10]], "'spans' has the wrong shape"),
        ("spans", [[0, 10], [10, -1]], "'spans' has the wrong shape"),
        ("tokens", [2], "does not hold a count for each of 2 steps"),
        ("tokens", [2, 1.5], "'tokens' has the wrong shape"),
        ("tokens", [2, -1], "'tokens' has the wrong shape"),
        ("sums", {"4": [-1.0], "global": None}, "a sum for each of 2 steps in window '4'"),
        ("sums", {"4": [-1.0, "x"], "global": None}, "'sums' has the wrong shape"),
        ("sums", {"4": [-1.0, math.nan], "global": None}, "'sums' has the wrong shape"),
        ("sums", [], "'sums' has the wrong shape"),
        ("totals", {"4": -1.0}, "'totals' does not hold the windows of 'sums'"),
        ("totals", {"4": None, "global": -1.0}, "does not say why '4' is undefined"),
        ("undefined", {"4": 1}, "'undefined' has the wrong shape"),
        ("path", None, "'path' has the wrong shape"),
        ("settings", None, "'settings' has the wrong shape"),
        ("versions", {"torch": 2}, "'versions' has the wrong shape"),
    ],
)
def test_a_bad_field_is_named(field: str, value: Any, message: str) -> None:
    raw = json.loads(make_record().to_json()) | {field: value}
    with pytest.raises(DataError, match=message) as caught:
        StepSums.from_json(raw, "out.jsonl line 3")
    assert str(caught.value).startswith("out.jsonl line 3: ")
    assert "Score the responses again" in str(caught.value)


def names() -> list[str]:
    return [field.name for field in dataclasses.fields(StepSums)]


@pytest.mark.parametrize("field", [name for name in names() if name not in OPTIONAL])
def test_every_other_field_is_required(field: str) -> None:
    raw = json.loads(make_record().to_json())
    del raw[field]
    with pytest.raises(DataError, match=r"lacks the field|not a scored record"):
        StepSums.from_json(raw)


# statistics


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_record_without_statistics_is_read(field: str) -> None:
    """Those of before there were any."""
    raw = json.loads(make_record().to_json())
    del raw[field]
    assert getattr(StepSums.from_json(raw), field) == {}


def test_statistics_survive_the_journey() -> None:
    record = record_with(entropy=(1.5, 2.0), capped_rank=(3.0, 100.0), reward=0.25, scas=-1.0)
    back = StepSums.from_json(record.to_json())
    assert back == record
    assert back.step_statistics["entropy"] == (1.5, 2.0)
    assert back.statistics == {"reward": 0.25, "scas": -1.0}


def test_an_undefined_statistic_travels_as_null_and_keeps_its_reason() -> None:
    reasons = {"entropy": "NaN logits", "reward": "the row has no reward"}
    record = record_with(undefined=reasons, entropy=(1.5, math.nan), reward=math.nan)
    text = record.to_json()
    assert "NaN," not in text
    assert json.loads(text)["step_statistics"] == {"entropy": [1.5, None]}
    back = StepSums.from_json(text)
    assert back.undefined == reasons
    assert math.isnan(back.step_statistics["entropy"][1])
    assert math.isnan(back.statistics["reward"])


@pytest.mark.parametrize("given", [{"entropy": (1.0, math.inf)}, {"reward": -math.inf}])
def test_an_infinite_statistic_is_refused_on_the_way_out(given: Any) -> None:
    with pytest.raises(DataError, match=r"teacher 'QwQ', sample 0: .* is infinite"):
        record_with(**given).to_json()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("step_statistics", {"entropy": [1.0]}, "a sum for each of 2 steps in 'entropy'"),
        ("step_statistics", {"entropy": [1.0, 2.0, 3.0]}, "a sum for each of 2 steps"),
        ("step_statistics", {"entropy": [1.0, None]}, "does not say why 'entropy' is undefined"),
        ("step_statistics", {"entropy": [1.0, "x"]}, "'step_statistics' has the wrong shape"),
        ("step_statistics", {"entropy": None}, "'step_statistics' has the wrong shape"),
        ("step_statistics", [], "'step_statistics' has the wrong shape"),
        ("step_statistics", None, "'step_statistics' has the wrong shape"),
        ("statistics", {"reward": None}, "does not say why 'reward' is undefined"),
        ("statistics", {"reward": [1.0]}, "'statistics' has the wrong shape"),
        ("statistics", {"reward": True}, "'statistics' has the wrong shape"),
        ("statistics", {"reward": math.inf}, "'statistics' has the wrong shape"),
        ("statistics", "reward", "'statistics' has the wrong shape"),
    ],
)
def test_a_bad_statistic_is_named(field: str, value: Any, message: str) -> None:
    raw = json.loads(make_record().to_json()) | {field: value}
    with pytest.raises(DataError, match=message) as caught:
        StepSums.from_json(raw, "out.jsonl line 3")
    assert str(caught.value).startswith("out.jsonl line 3: ")
