"""The scored record: what goes out comes back, and nothing else gets in."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.record import StepSums
from tests.helpers_samples import make_record


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


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(StepSums)])
def test_every_field_is_required(field: str) -> None:
    raw = json.loads(make_record().to_json())
    del raw[field]
    with pytest.raises(DataError, match=r"lacks the field|not a scored record"):
        StepSums.from_json(raw)
