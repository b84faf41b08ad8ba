"""Which metrics a run is to serve, and what must be gathered for them."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.metrics import METRICS, request_metrics
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.teacher_set import Response

WINDOWS = ("4", "global")
WITHOUT = Response("QwQ", "Yes.", where="a.jsonl row 3")
WITH = Response("QwQ", "Yes.", extra={"reward": 0.0}, where="a.jsonl row 3")


def ask(*names: str, windows: tuple[str, ...] = WINDOWS) -> RequestedMetrics:
    return request_metrics(names, windows, METRICS, "set.yaml: metrics")


def test_names_in_their_order_and_what_they_need() -> None:
    asked = ask("rsr", "local_naturalness", "ifd")
    assert asked.names == ("rsr", "local_naturalness", "ifd")
    assert asked.statistics == {"capped_rank", "unprompted", "prompted", "unprompted_tokens"}
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


def test_what_the_back_end_lacks_is_refused_by_name() -> None:
    lacks = {"cosine_self": "no projection", "cosine_prompt": "no projection"}
    with pytest.raises(StudentError, match="metric 'scas' cannot be had here: no projection"):
        ask("rsr", "scas").check_student(lacks)
    ask("rsr", "ifd").check_student(lacks)
    ask("all").check_student(lacks)


def test_a_missing_reward_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"a\.jsonl row 3: metric 'car' needs a reward, and this"):
        ask("car").check_reward(WITHOUT)
    ask("car").check_reward(WITH)
    ask("rsr").check_reward(WITHOUT)
    ask("all").check_reward(WITHOUT)
