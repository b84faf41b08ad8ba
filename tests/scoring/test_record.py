"""Scored records: what is written comes back, and nothing else is read."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.metrics import METRICS, request_metrics
from lnat_plugins.scoring.record import RequestedMetrics, StepSums
from lnat_plugins.teacher_set import Response
from tests.helpers_samples import make_record

OPTIONAL = {
    "step_statistics": {},
    "statistics": {},
    "tag_tokens": (),
    "tag_sums": {},
    "variants": {},
    "calibration": {},
    "token_values": None,
    "prompt_tokens": 0,
    "student": {},
    "ids_digest": "",
    "part": {},
    "whole": {},
}
"""Fields that older records lack -> what stands for them."""


def record_with(undefined: Mapping[str, str] | None = None, **statistics: Any) -> StepSums:
    """A record of two steps; a tuple is a statistic by step, a number one of the response."""
    return dataclasses.replace(
        make_record(undefined=undefined),
        step_statistics={k: v for k, v in statistics.items() if isinstance(v, tuple)},
        statistics={k: v for k, v in statistics.items() if not isinstance(v, tuple)},
    )


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


def bad_records() -> list[dict[str, Any]]:
    text = (Path(__file__).parents[1] / "data" / "bad_records.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("case", bad_records(), ids=lambda case: str(case)[:60])
def test_a_bad_record_is_refused_with_its_line(case: dict[str, Any]) -> None:
    raw = json.loads(make_record().to_json()) | case.get("change", {})
    raw.pop(case.get("drop", ""), None)
    with pytest.raises(DataError) as caught:
        StepSums.from_json(case.get("text", raw), "out.jsonl line 3")
    assert str(caught.value) == f"out.jsonl line 3: {case['line']}"


def test_the_table_of_bad_records_drops_every_required_field() -> None:
    """Its negative control: a field that nobody drops could become optional unseen."""
    names = {field.name for field in dataclasses.fields(StepSums)}
    dropped = {case["drop"] for case in bad_records() if "drop" in case}
    assert dropped == names - {*OPTIONAL, "may_pass"}


def test_what_another_run_may_have_is_not_written() -> None:
    text = make_record().to_json()
    assert dataclasses.replace(make_record(), may_pass=True).to_json() == text
    assert "may_pass" not in text and not StepSums.from_json(text).may_pass


def test_deep_nesting_is_not_a_scored_record() -> None:
    with pytest.raises(DataError, match="not a scored record"):
        StepSums.from_json("[" * 100_000)


def test_fields_of_a_later_version_are_passed_over() -> None:
    raw = json.loads(make_record().to_json()) | {"seconds": 3}
    assert StepSums.from_json(raw) == make_record()


def test_whole_numbers_are_read_as_sums() -> None:
    raw = json.loads(make_record().to_json()) | {"sums": {"4": [-1, -17], "global": None}}
    raw["totals"] = {"4": -18, "global": -18}
    assert StepSums.from_json(raw).totals == {"4": -18.0, "global": -18.0}


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_record_without_the_field_is_read(field: str) -> None:
    """Those of before there was one."""
    raw = json.loads(make_record().to_json())
    raw.pop(field, None)
    assert getattr(StepSums.from_json(raw), field) == OPTIONAL[field]


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


WINDOWS = ("4", "global")
WITHOUT = Response("QwQ", "Yes.", where="a.jsonl row 3")
WITH = Response("QwQ", "Yes.", extra={"reward": 0.0}, where="a.jsonl row 3")


def ask(*names: str, windows: tuple[str, ...] = WINDOWS) -> RequestedMetrics:
    return request_metrics(names, windows, METRICS, "set.yaml: metrics")


def test_names_in_their_order_and_what_they_need() -> None:
    requested = ask("rsr", "local_naturalness", "ifd")
    assert requested.names == ("rsr", "local_naturalness", "ifd")
    assert requested.statistics == {"capped_rank", "unprompted", "prompted", "unprompted_tokens"}
    assert ask("local_naturalness", "global_naturalness", "n_tokens").statistics == frozenset()


def test_all_is_everything_that_the_windows_allow() -> None:
    assert ask("all").names == tuple(METRICS)
    local = ask("all", windows=("4",)).names
    assert set(METRICS) - set(local) == {
        name for name, metric in METRICS.items() if metric.reads == "global"
    }


def test_a_metric_by_name_needs_its_window() -> None:
    with pytest.raises(ConfigError) as caught:
        ask("local_naturalness", "ifd", windows=("4", "10%"))
    assert str(caught.value) == (
        "set.yaml: metrics: metric 'ifd' reads the window 'global', which is not scored (found "
        "'4, 10%'). Add `global` to `windows`, or leave the metric out."
    )


def test_what_is_unavailable_is_refused_by_name() -> None:
    unavailable = {"cosine_self": "no projection", "cosine_prompt": "no projection"}
    with pytest.raises(
        StudentError, match="metric 'scas' is not supported by this back end: no projection"
    ):
        ask("rsr", "scas").check_student(unavailable)
    ask("rsr", "ifd").check_student(unavailable)
    ask("all").check_student(unavailable)


def test_a_missing_reward_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"a\.jsonl row 3: metric 'car' needs a reward, and this"):
        ask("car").check_reward(WITHOUT)
    ask("car").check_reward(WITH)
    ask("rsr").check_reward(WITHOUT)
    ask("all").check_reward(WITHOUT)


def test_a_copy_has_every_field() -> None:
    """As a record that another process sends has."""
    record = StepSums(**{each.name: each.name for each in dataclasses.fields(StepSums)})  # type: ignore[arg-type]
    response = Response(**{each.name: each.name for each in dataclasses.fields(Response)})  # type: ignore[arg-type]
    assert copy.copy(record) == record and copy.copy(record) is not record
    assert copy.copy(response) == response and copy.copy(response) is not response
