"""How the order settles with the number of prompts: against brute force, and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking import Ranking
from lnat_plugins.ranking.bootstrap import grid
from tests.ranking.builders import LOWER, Row, rank_rows, table


def noisy(n_prompts: int, gap: float, seed: int = 0, teachers: str = "AB") -> list[Row]:
    """Independent normal noise of size 1 around means that lie `gap` apart, exactly."""
    noise = np.random.default_rng(seed).normal(size=(n_prompts, len(teachers)))
    noise -= noise.mean(axis=0)
    return table({name: list(noise[:, t] - 10 - gap * t) for t, name in enumerate(teachers)})


def at(ranking: Ranking) -> dict[int, tuple[float, float]]:
    found = ranking.stability
    return {n: (p, t) for n, p, t in zip(found.sizes, found.p_best, found.tau, strict=True)}


def test_the_sizes() -> None:
    assert grid(817) == (10, 20, 50, 100, 200, 500, 817, 1000, 2000, 5000, 8170)
    assert grid(100) == (10, 20, 50, 100, 200, 500, 1000)
    assert grid(3) == (3, 10, 20, 30)


def test_at_its_own_size_the_curve_is_the_table() -> None:
    ranking = rank_rows(noisy(30, 0.2), bootstrap_iters=500)
    assert at(ranking)[30][0] == ranking.teachers[0].p_best


def test_by_brute_force() -> None:
    rows = noisy(20, 0.3, seed=3, teachers="ABCD")
    ranking = rank_rows(rows, bootstrap_iters=2000, seed=4)
    values_PT = np.array([row.record.sums["4"][0] / 10 for row in rows]).reshape(20, 4)  # type: ignore[index]
    generator = np.random.default_rng(99)
    for size in (10, 50):
        means_BT = values_PT[generator.integers(0, 20, size=(4000, size))].mean(axis=1)
        best = (means_BT.argmax(axis=1) == 0).mean()
        taus = [stats.kendalltau(means, [4, 3, 2, 1]).statistic for means in means_BT]
        assert at(ranking)[size][0] == pytest.approx(best, abs=0.04)
        assert at(ranking)[size][1] == pytest.approx(np.mean(taus), abs=0.04)


def test_needed_is_where_the_normal_curve_says() -> None:
    rows = noisy(100, 0.1, seed=1)
    ranking = rank_rows(rows, bootstrap_iters=2000)
    values = [row.record.totals["4"] / 10 for row in rows]
    spread = np.std(np.array(values[0::2]) - np.array(values[1::2]))
    expected = (1.645 * spread / 0.1) ** 2
    needed = ranking.stability.needed
    assert needed == pytest.approx(expected, rel=0.15)
    assert needed > 100
    assert f"at about {needed} prompts: need about {needed - 100} more" in ranking.notes[0]


def test_a_clear_first_needs_few() -> None:
    ranking = rank_rows(noisy(60, 2.0), bootstrap_iters=500)
    assert ranking.stability.needed is not None
    assert ranking.stability.needed <= 6
    assert ranking.stability.p_best[-1] == 1.0


def test_equal_teachers_never_settle() -> None:
    ranking = rank_rows(noisy(30, 0.0), bootstrap_iters=1000)
    assert ranking.stability.needed is None
    assert ranking.stability.sizes[-1] == 300
    assert "does not reach 0.95 with 300 prompts" in ranking.notes[0]


def test_ties_share_the_first_place() -> None:
    same = [-1.0, -2.0, -3.0]
    ranking = rank_rows(table({"A": same, "B": same}))
    assert ranking.stability.p_best == tuple([0.5] * 4)
    assert all(np.isnan(ranking.stability.tau))


def test_the_direction_of_the_metric_counts() -> None:
    rows = noisy(40, 0.3)
    assert rank_rows(rows, LOWER).stability == rank_rows(rows).stability


def test_the_seed_decides() -> None:
    rows = noisy(40, 0.2)
    one, again, other = (rank_rows(rows, seed=seed).stability for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_one_teacher_has_no_stability() -> None:
    assert rank_rows(table({"A": [-1.0, -2.0]})).stability.sizes == ()
