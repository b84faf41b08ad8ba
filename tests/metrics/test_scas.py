"""SCAS by hand, and of records that another version scored."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lnat_plugins.metrics import METRICS
from tests.metrics.rows import reason, record_with, value

NEEDS = {"cosine_self": 0.5, "cosine_prompt": 0.25, "content_nll": 4.0, "prompt_nll": 2.0}


def test_both_terms_weigh_the_same() -> None:
    # ½ · 4² · 0.5 + ½ · 4 · 2 · 0.25
    assert value("scas", record_with(**NEEDS)) == 5.0


def test_length_alone_changes_nothing() -> None:
    """An earlier version multiplied by counts of tokens instead of mean NLLs."""
    long = record_with((-40.0, -120.0), (20, 60), **NEEDS)
    assert value("scas", long) == value("scas", record_with(**NEEDS))


def test_surprise_raises_it_and_so_does_likeness() -> None:
    plain = value("scas", record_with(**NEEDS))
    for name, number in NEEDS.items():
        assert value("scas", record_with(**{**NEEDS, name: 1.1 * number})) > plain


@pytest.mark.parametrize("requested", [["scas"], ["all"]])
def test_statistics_of_the_earlier_version_give_no_value(requested: list[str]) -> None:
    record = record_with(activation_self=30.0, activation_prompt=12.0)
    old = replace(record, settings={**record.settings, "metrics": requested})
    assert math.isnan(value("scas", old))
    assert reason("scas", old) == (
        "the statistic 'content_nll' was not gathered: older version, score again"
    )


@pytest.mark.parametrize("name", sorted(METRICS["scas"].needs))
def test_the_reason_of_a_missing_statistic_is_reported(name: str) -> None:
    why = "the last layer of this student has no `mlp.up_proj`"
    record = record_with(undefined={name: why}, **{k: v for k, v in NEEDS.items() if k != name})
    assert math.isnan(value("scas", record))
    assert reason("scas", record) == why
