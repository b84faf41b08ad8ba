"""Metrics named in a setting."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import METRICS, resolve_metrics


def names(*asked: str) -> list[str]:
    return [metric.name for metric in resolve_metrics(asked, METRICS, "set.yaml")]


def test_in_the_order_named() -> None:
    assert names("rsr", "local_naturalness") == ["rsr", "local_naturalness"]


def test_all_is_every_metric_in_its_order() -> None:
    assert names("all") == list(METRICS)
    fewer = {"mine": METRICS["rsr"]}
    assert resolve_metrics(["all"], fewer, "") == (METRICS["rsr"],)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("rsr", "larc"), "unknown metric 'larc'. Did you mean 'lark'?"),
        (("rsr", "lark", "rsr"), "the metric 'rsr' is named twice. Name it once."),
        (("all", "rsr"), "'all' already stands for every metric (found 'all, rsr')"),
        (("all", "all"), "'all' already stands for every metric"),
        ((), "no metric is named. Name one, or 'all' for all of them."),
    ],
)
def test_what_cannot_be_meant_is_refused(asked: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names(*asked)
    assert str(caught.value).startswith(f"set.yaml: {message}")
