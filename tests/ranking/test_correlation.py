"""Correlations with length and between metrics, by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking.correlation import spearman
from tests.helpers_samples import make_record
from tests.ranking import oracle
from tests.ranking.builders import Row, random_rows, rank_rows, row, table

LN = get_metric("local_naturalness")


def test_spearman_is_scipys() -> None:
    generator = np.random.default_rng(0)
    for size in (2, 3, 10, 50):
        one = generator.integers(0, 6, size).astype(float) + np.arange(size) / size
        other = generator.integers(0, 6, size).astype(float)
        other[0] += 10
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_spearman_of_a_constant_is_undefined() -> None:
    assert math.isnan(spearman(np.array([1.0, 1.0]), np.array([1.0, 2.0])))
    assert math.isnan(spearman(np.array([1.0]), np.array([1.0])))


def test_the_two_correlations_with_length_can_disagree() -> None:
    rows = [row("p0", "A", -1.0, 1), row("p0", "B", -2.0, 2)]
    rows += [row("p1", "A", -0.3, 30), row("p1", "B", -0.4, 40)]
    length = rank_rows(rows).length
    assert length.within_prompt == pytest.approx(-1.0)
    assert length.overall == pytest.approx(0.6)
    assert (length.responses, length.prompts) == (4, 2)


def test_prompts_without_a_correlation_are_left_out_of_its_mean() -> None:
    rows = [row("p0", "A", -1.0, 1), row("p0", "B", -2.0, 2), row("p1", "A", -1.0, 5)]
    rows += [row("p1", "B", -2.0, 5)]
    length = rank_rows(rows).length
    assert (length.within_prompt, length.prompts) == (pytest.approx(-1.0), 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_loops_agree(seed: int) -> None:
    rows = random_rows(seed)
    expected, prompts = oracle.length_within(rows, LN)
    length = rank_rows(rows).length
    assert length.within_prompt == pytest.approx(expected)
    assert length.prompts == prompts


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
