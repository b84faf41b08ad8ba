"""One metric's order beside another's, by hand."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.metrics import get_metric
from tests.helpers_samples import make_record
from tests.ranking.builders import Row, rank_rows, table


def two_windows(prompt: str, teacher: str, local: float, whole: float) -> Row:
    reasons = {"global": "too long"} if math.isnan(whole) else {}
    record = make_record(teacher, {"4": [local], "global": [whole]}, [1], undefined=reasons)
    return Row(prompt, teacher, record)


def test_agreement_of_local_with_global_by_hand() -> None:
    rows = [
        *(two_windows("p0", "A", -1, -3), two_windows("p0", "B", -2, -2)),
        *(two_windows("p0", "C", -3, -4), two_windows("p1", "A", -1, -1)),
        *(two_windows("p1", "B", -2, -1.5), two_windows("p1", "C", -3, -4)),
    ]
    found = rank_rows(rows).agreement
    assert (found.metric, found.window, found.prompts) == ("global_naturalness", "global", 2)
    assert found.tau == pytest.approx(1 / 3)
    assert found.same_winner == 0.5
    back = rank_rows(rows, get_metric("global_naturalness")).agreement
    assert (back.metric, back.window, back.tau) == ("local_naturalness", "4", found.tau)


def test_agreement_rests_on_prompts_where_both_are_defined() -> None:
    rows = [two_windows("p0", "A", -1, -2), two_windows("p0", "B", -2, -1)]
    rows += [two_windows("p1", "A", -1, math.nan), two_windows("p1", "B", -2, -1)]
    ranking = rank_rows(rows)
    assert ranking.prompts_used == 2
    assert (ranking.agreement.prompts, ranking.agreement.tau) == (1, pytest.approx(-1.0))


def test_without_a_global_score_there_is_no_agreement() -> None:
    rows = [two_windows("p0", teacher, -1, math.nan) for teacher in "AB"]
    ranking = rank_rows(rows)
    assert ranking.agreement.prompts == 0
    assert math.isnan(ranking.agreement.tau)
    assert "No prompt has global_naturalness for every teacher" in ranking.notes[-1]


def test_tau_counts_ties_as_tau_b_does() -> None:
    scores = {"A": [-1.0], "B": [-1.0], "C": [-2.0]}
    assert rank_rows(table(scores)).agreement.tau == pytest.approx(1.0)
    equal = rank_rows(table({"A": [-1.0], "B": [-1.0]}))
    assert math.isnan(equal.agreement.tau)
