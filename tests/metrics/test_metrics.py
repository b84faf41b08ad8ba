"""The built-in metrics: what each declares, and how they are found by name."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lnat_plugins.engine.types import ALL, CALIBRATION
from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import METRICS, get_metric, metrics_to_compare, resolve_metrics
from lnat_plugins.ranking import rank
from lnat_plugins.selection import parse_selection
from lnat_plugins.selection.strategies import STRATEGIES
from tests.metrics.rows import record_with, row


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
        "perplexity": False,
        "entropy": None,
        "ifd": False,
        "car": True,
        "masters": True,
        "contrast": True,
        "strategy_count": True,
        "strategy_density": None,
        "disagreement": None,
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
        "masters": "prompt",
        "strategy_count": "prompt",
        "strategy_density": "prompt",
        "disagreement": "prompt",
        "random": "prompt",
    }


def test_every_aggregate_that_is_not_the_mean() -> None:
    ratios = {name for name, metric in METRICS.items() if metric.aggregate != "mean"}
    assert ratios == {"rsr", "car"}
    assert {name for name, metric in METRICS.items() if metric.parts is not None} == ratios


def test_every_statistic_that_can_be_gathered_serves_a_metric() -> None:
    asked = frozenset().union(*(metric.asked for metric in METRICS.values()))
    assert asked == ALL - {*CALIBRATION}
    assert [name for name, one in METRICS.items() if one.asked != one.needs] == ["contrast"]


def test_what_reads_the_requested_window() -> None:
    named = [name for name, metric in METRICS.items() if metric.reads == "window"]
    assert named == ["local_naturalness", "masters"]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_documented_under_its_name(name: str) -> None:
    assert METRICS[name].name == name
    assert METRICS[name].compute.__doc__


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


# metrics named in a setting


def names(*requested: str) -> list[str]:
    return [metric.name for metric in resolve_metrics(requested, METRICS, "set.yaml")]


def test_in_the_order_named() -> None:
    assert names("rsr", "local_naturalness") == ["rsr", "local_naturalness"]


def test_all_is_every_metric_in_its_order() -> None:
    assert names("all") == list(METRICS)
    fewer = {"mine": METRICS["rsr"]}
    assert resolve_metrics(["all"], fewer, "") == (METRICS["rsr"],)


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        (("rsr", "larc"), "unknown metric 'larc'. Did you mean 'lark'?"),
        (("rsr", "lark", "rsr"), "duplicate metric name 'rsr'. Name it once."),
        (("all", "rsr"), "'all' already stands for every metric (found 'all, rsr')"),
        (("all", "all"), "'all' already stands for every metric"),
        ((), "no metric is named. Name one, or 'all' for all of them."),
    ],
)
def test_what_names_no_metrics_is_refused(requested: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names(*requested)
    assert str(caught.value).startswith(f"set.yaml: {message}")


def test_only_metrics_with_a_direction_are_compared_unless_named() -> None:
    compared = metrics_to_compare(["all"], METRICS, "--metric")
    directed = [name for name, one in METRICS.items() if one.higher_is_better is not None]
    assert [one.name for one in compared] == directed
    assert "n_tokens" not in directed and "lark" in directed
    named = metrics_to_compare(["n_tokens", "rsr"], METRICS, "--metric")
    assert [one.name for one in named] == ["n_tokens", "rsr"]


def by_ranking() -> object:
    return rank([row(record_with())], ["p0"], METRICS["n_tokens"], "4", metrics=METRICS)


def by_selecting() -> object:
    return parse_selection({"metric": "n_tokens"}, metrics=METRICS, strategies=STRATEGIES)


@pytest.mark.parametrize("refused", [by_ranking, by_selecting])
def test_remedies_name_only_metrics_with_a_direction(refused: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        refused()
    offered = re.findall(r"\w+", caught.value.remedy.partition("one of")[2])
    directed = [name for name, one in METRICS.items() if one.higher_is_better is not None]
    assert offered == directed
