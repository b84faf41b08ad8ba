"""Ranks and ties against scipy's, and the share of first places against plain loops.

Rank correlations against scipy, value by value and many at once.

One metric's order beside another's, by hand.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking.bootstrap import tau_interval
from lnat_plugins.ranking.orders import mean_known, ranks, spearman, spearman_rows, tau_b
from lnat_plugins.ranking.table import TIE
from tests.helpers_samples import make_record
from tests.ranking.builders import Row, rank_rows, table


def random_values(seed: int, rows: int = 30, teachers: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 4, size=(rows, teachers)).astype(float)


def test_by_hand() -> None:
    found = ranks(np.array([[-1.0, -3.0, -1.0, -2.0]]))
    assert found.better.tolist() == [[0, 3, 0, 2]]
    assert found.tied.tolist() == [[2, 1, 2, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_scipys(seed: int) -> None:
    values_BT = random_values(seed)
    found = ranks(values_BT)
    assert (found.better + 1 == stats.rankdata(-values_BT, "min", axis=1)).all()
    assert (found.better + found.tied == stats.rankdata(-values_BT, "max", axis=1)).all()


@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_rounding_makes_no_order(scale: float) -> None:
    near = np.array([[1.0, 1.0 + TIE / 2, 1.0 + 1e-9]]) * scale
    assert ranks(near).better.tolist() == [[1, 1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_first_places_by_loops(seed: int) -> None:
    values_BT = random_values(seed)
    expected = np.zeros(5)
    for row in values_BT:
        for teacher, value in enumerate(row):
            if value == max(row):
                expected[teacher] += 1 / sum(row == value) / len(values_BT)
    standings = ranks(values_BT)
    assert [standings.share_best(column) for column in range(5)] == pytest.approx(expected)
    assert math.isnan(ranks(np.empty((0, 2))).share_best(0))


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


@pytest.mark.parametrize("n_teachers", [2, 3, 4, 8])
def test_tau_b_is_scipys_ties_and_all(n_teachers: int) -> None:
    generator = np.random.default_rng(n_teachers)
    ours_BT = generator.integers(0, 5, size=(60, n_teachers)).astype(float)
    theirs_BT = generator.integers(0, 5, size=(60, n_teachers)).astype(float)
    found = tau_b(ranks(ours_BT).better, ranks(theirs_BT).better)
    to_first = tau_b(ranks(ours_BT).better, ranks(theirs_BT[:1]).better)
    for row, (ours, theirs) in enumerate(zip(ours_BT, theirs_BT, strict=True)):
        expected = stats.kendalltau(ours, theirs, variant="b").statistic
        assert found[row] == pytest.approx(expected, nan_ok=True)
        expected = stats.kendalltau(ours, theirs_BT[0], variant="b").statistic
        assert to_first[row] == pytest.approx(expected, nan_ok=True)


def test_a_lower_is_better_side_is_turned_round() -> None:
    ours, theirs = np.array([[1.0, 2.0, 3.0]]), np.array([[9.0, 8.0, 7.0]])
    assert tau_b(ranks(-ours).better, ranks(theirs).better).tolist() == [1.0]
    assert tau_b(ranks(ours).better, ranks(theirs).better).tolist() == [-1.0]


def test_copies_of_teachers_count_as_if_written_out() -> None:
    one, other = (ranks(random_values(seed)).better for seed in (1, 2))
    copies = np.random.default_rng(3).integers(0, 3, size=one.shape)
    found = tau_b(one, other, copies)
    for b, times in enumerate(copies):
        # Two copies of one teacher tie in both orders, which tau-b passes over.
        written = [np.repeat(each[b], times)[None] for each in (one, other)]
        assert found[b] == pytest.approx(tau_b(*written)[0], nan_ok=True)


def test_one_teacher_has_no_tau() -> None:
    one = ranks(np.array([[1.0]])).better
    assert math.isnan(tau_b(one, one)[0])


def test_what_is_undefined_is_left_out_of_means_and_intervals() -> None:
    values = np.array([math.nan, 1.0, 3.0])
    assert mean_known(values) == 2.0
    assert tau_interval(values) == pytest.approx((1.0, 3.0))
    taus = np.array([-1.0] * 3 + [1.0] * 97)
    assert tau_interval(taus) == (-1.0, 1.0)
    nothing = np.array([math.nan])
    assert math.isnan(mean_known(nothing))
    assert all(map(math.isnan, tau_interval(nothing)))


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


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
def test_correlations_of_many_rows_are_those_of_each(size: int) -> None:
    one, other = (random_values(seed, teachers=max(size, 1))[:, :size] for seed in (1, 2))
    expected = [spearman(*pair) for pair in zip(one, other, strict=True)]
    assert spearman_rows(one, other) == pytest.approx(expected, nan_ok=True)
    assert spearman_rows(one[:0], other[:0]).shape == (0,)
