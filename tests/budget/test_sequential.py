"""The sequential t-test: its closed form against scipy, and its error under looking at every n."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from lnat_plugins.budget.sequential import SCALES, critical, limits, log_e, raised


def oracle(t: float, n: int) -> float:
    """The likelihood ratio of t, noncentral over central, averaged over the effect sizes."""
    central = stats.t.pdf(t, n - 1)

    def ratio(effect: float, scale: float) -> float:
        weight = 2 * stats.norm.pdf(effect, 0, scale)
        return float(weight * stats.nct.pdf(t, n - 1, math.sqrt(n) * effect) / central)

    parts = [integrate.quad(ratio, 0, 8 * scale, args=(scale,))[0] for scale in SCALES]
    return float(np.log(np.mean(parts)))


@pytest.mark.parametrize(
    ("t", "n"), [(2.0, 10), (-1.0, 5), (0.0, 7), (4.5, 20), (3.0, 60), (5.0, 8), (-0.4, 150)]
)
def test_the_closed_form_is_the_averaged_likelihood_ratio(t: float, n: int) -> None:
    assert float(log_e(t, n)) == pytest.approx(oracle(t, n), abs=1e-6)


def test_it_rises_with_t_and_takes_arrays() -> None:
    t_N = np.linspace(-30, 30, 200)
    assert (np.diff(log_e(t_N, 12)) >= 0).all()
    assert log_e(t_N[:, None], np.array([5, 50])).shape == (200, 2)
    assert log_e(np.array(-1e8), 400) < 0


@pytest.mark.parametrize("n", [5, 10, 20, 300, 5000])
@pytest.mark.parametrize("threshold", [20.0, 220.0])
def test_critical_is_where_the_e_value_reaches_the_threshold(n: int, threshold: float) -> None:
    found = critical(n, threshold)
    if math.isinf(found):
        assert log_e(1e5, n) < math.log(threshold)
    else:
        assert math.exp(float(log_e(found, n))) == pytest.approx(threshold, rel=1e-6)
        assert found > stats.t.isf(1 / threshold, n - 1)  # dearer than one look


def test_few_prompts_settle_nothing() -> None:
    assert math.isinf(critical(3, 20.0)) and math.isinf(critical(1, 20.0))
    assert limits(1.0, 0.1, 3, 20.0) == (-math.inf, math.inf)


@pytest.mark.parametrize("mean", [0.0, -0.1])
def test_the_error_holds_when_one_looks_after_every_difference(mean: float) -> None:
    draws, size, error = 2000, 150, 0.05
    differences = np.random.default_rng(1).normal(mean, 1.0, (draws, size))
    n = np.arange(1, size + 1)
    sums, squares = differences.cumsum(axis=1), (differences**2).cumsum(axis=1)
    with np.errstate(all="ignore"):
        deviation = np.sqrt((squares - sums**2 / n) / (n - 1))
        t = (sums / np.sqrt(n) / deviation)[:, 4:]
    ours = (log_e(t, n[4:]) >= math.log(1 / error)).any(axis=1).mean()
    naive = (t >= stats.t.isf(error, n[4:] - 1)).any(axis=1).mean()
    assert ours <= error + 2 * math.sqrt(error * (1 - error) / draws)
    assert naive > 0.15 if mean == 0 else ours < 0.02


def test_the_confidence_sequence_inverts_the_test() -> None:
    for lead, skewness in ((0.4, 0.0), (0.4, -0.8), (0.1, 0.5)):
        low, high = limits(lead, 0.1, 40, 60.0, skewness)
        t_low, t_high = raised(critical(40, 60.0), np.array([skewness, -skewness]), 40)
        assert (low > 0) == (lead / 0.1 > t_low)
        assert high - lead == pytest.approx(0.1 * float(t_high))
    assert limits(0.0, 0.0, 40, 60.0) == pytest.approx((0.0, 0.0))


def test_the_confidence_sequence_covers_at_all_n_at_once() -> None:
    draws, size = 1000, 120
    values = np.random.default_rng(2).normal(0.3, 1.0, (draws, size))
    missed = np.zeros(draws, dtype=bool)
    for n in range(10, size + 1, 5):
        mean, error = values[:, :n].mean(axis=1), values[:, :n].std(axis=1, ddof=1) / math.sqrt(n)
        half = critical(n, 40.0) * error
        missed |= np.abs(mean - 0.3) > half
    assert missed.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / draws)


def test_a_tail_below_raises_the_critical_value_and_one_above_does_not() -> None:
    plain = critical(40, 20.0)
    values = raised(plain, np.array([-2.0, -0.5, 0.0, 1.0]), 40)
    assert values[0] > values[1] > plain
    assert values[2:] == pytest.approx([plain, plain])
    assert float(raised(plain, -1.0, 100_000)) == pytest.approx(plain, rel=0.02)
    for skewness in (-0.3, -1.0, -4.0):  # against the transformation itself
        b = -skewness / math.sqrt(40)
        t = float(raised(plain, skewness, 40))
        assert (1 - (1 - b * t / 3) ** 3) / b - b / 6 == pytest.approx(plain)
    assert np.isinf(raised(math.inf, np.array([-1.0, 1.0]), 5)).all()
