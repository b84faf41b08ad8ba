"""The order against a known one: by hand, against scipy, and resampled in pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking import Reference, ReferenceFit, read_reference
from tests.ranking.builders import LOWER, rank_rows, row, table

SCORES = {"A": [-1.0, -1.2], "B": [-2.0, -2.2], "C": [-3.0, -3.0], "D": [-4.0, -3.9]}


def fit_of(reference: Reference, scores: dict[str, list[float]] = SCORES) -> ReferenceFit:
    found = rank_rows(table(scores), reference=reference).reference
    assert found is not None
    return found


def numbers(**values: float) -> Reference:
    return Reference("known.json", values, True)


def test_a_perfect_order() -> None:
    found = fit_of(numbers(A=0.9, B=0.8, C=0.7, D=0.1))
    assert (found.tau, found.tau_low, found.tau_high, found.spearman) == pytest.approx((1,) * 4)
    assert (found.pairwise_accuracy, found.pairs, found.ties_excluded) == (1.0, 6, 0)
    assert (found.regret, found.best, found.chosen) == (0.0, "A", "A")


def test_by_hand_with_ties_in_what_is_known() -> None:
    found = fit_of(numbers(A=0.5, B=0.9, C=0.5, D=0.2))
    assert (found.pairs, found.ties_excluded) == (5, 1)
    assert found.pairwise_accuracy == pytest.approx(4 / 5)
    assert found.tau == pytest.approx((4 - 1) / math.sqrt(6 * 5))
    assert found.regret == pytest.approx(0.4)
    assert (found.best, found.chosen) == ("B", "A")


def test_a_pair_on_which_the_metric_ties_counts_half() -> None:
    found = fit_of(numbers(A=1, B=2), {"A": [-1.0, -1.0], "B": [-1.0, -1.0]})
    assert found.pairwise_accuracy == 0.5
    assert math.isnan(found.tau)


def test_an_order_without_numbers_has_no_regret() -> None:
    found = fit_of(read_reference("D>C>B>A", list("ABCD")))
    assert math.isnan(found.regret)
    assert found.tau == pytest.approx(-1.0)
    assert (found.best, found.pairwise_accuracy) == ("D", 0.0)


def test_all_that_tie_for_the_known_best_are_named() -> None:
    found = fit_of(read_reference("B=A>C=D", list("ABCD")))
    assert (found.best, found.chosen) == ("A = B", "A")


def test_a_reference_that_is_one_tie_says_nothing() -> None:
    found = fit_of(read_reference("A=B=C=D", list("ABCD")))
    assert (found.pairs, found.ties_excluded) == (0, 6)
    assert all(map(math.isnan, (found.tau, found.tau_low, found.spearman)))
    assert math.isnan(found.pairwise_accuracy)


def test_the_direction_of_the_metric_counts() -> None:
    reference = numbers(A=0.9, B=0.8, C=0.7, D=0.1)
    lower = rank_rows(table(SCORES), LOWER, reference=reference).reference
    assert lower == fit_of(reference)


@pytest.mark.parametrize("seed", range(4))
def test_against_scipy_and_plain_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values_PT = generator.integers(-20, 0, size=(9, 5)) / 8
    known = generator.integers(0, 4, size=5).astype(float)
    known[:2] = 5, 6
    rows = [
        row(f"p{p}", name, float(values_PT[p, t]))
        for p in range(9)
        for t, name in enumerate("ABCDE")
    ]
    reference = numbers(**dict(zip("ABCDE", map(float, known), strict=True)))
    found = rank_rows(rows, reference=reference, bootstrap_iters=80, seed=seed).reference
    assert found is not None
    means_T = np.round(values_PT.mean(axis=0), 9)
    assert found.tau == pytest.approx(stats.kendalltau(means_T, known).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(means_T, known).statistic)
    drawn = np.random.default_rng(seed).integers(0, 9, size=(80, 9))
    taus = [
        stats.kendalltau(np.round(values_PT[one].mean(axis=0), 9), known).statistic for one in drawn
    ]
    assert (found.tau_low, found.tau_high) == pytest.approx(
        tuple(np.nanquantile(taus, (0.025, 0.975), method="inverted_cdf"))
    )


def test_without_a_resample_there_is_no_interval() -> None:
    found = rank_rows(
        table(SCORES), reference=numbers(A=4, B=3, C=2, D=1), bootstrap_iters=0
    ).reference
    assert found is not None
    assert found.tau == pytest.approx(1.0)
    assert math.isnan(found.tau_low)
