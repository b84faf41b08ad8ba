"""The paired bootstrap where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.ranking import bootstrap as module
from lnat_plugins.ranking.bootstrap import Bootstrap, bootstrap, resampled_means
from tests.ranking.builders import lines, rank_rows, table


def boot_of(values_PT: np.ndarray, higher: bool, first: int, iters: int, seed: int) -> Bootstrap:
    return bootstrap(resampled_means(values_PT, iters, seed), higher, first)


def test_a_constant_difference_is_certain() -> None:
    prompts = np.random.default_rng(0).normal(size=40)
    values_PT = np.stack([prompts - 0.01, prompts, prompts - 0.5], axis=1)
    boot = boot_of(values_PT, True, first=1, iters=500, seed=3)
    assert boot.p_rank.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert boot.difference_low == pytest.approx([-0.01, 0.0, -0.5])
    assert boot.difference_high == pytest.approx(boot.difference_low)
    assert boot.low[0] < boot.high[0]
    lower = boot_of(values_PT, False, first=2, iters=500, seed=3)
    assert lower.p_rank.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_equal_teachers_share_every_rank() -> None:
    values = np.random.default_rng(1).normal(size=(20, 1))
    boot = boot_of(np.repeat(values, 4, axis=1), True, first=0, iters=100, seed=3)
    assert boot.p_rank == pytest.approx(np.full((4, 4), 0.25))


def test_p_best_is_the_share_of_the_first_rank() -> None:
    ranking = rank_rows(table({"A": [-1, -2, -3], "B": [-2, -1, -3], "C": [-2, -2, -2.5]}))
    for line in ranking.teachers:
        assert line.p_best == line.p_rank[0]
        assert sum(line.p_rank) == pytest.approx(1)
    assert sum(line.p_best for line in ranking.teachers) == pytest.approx(1)


def test_the_interval_is_that_of_the_normal_approximation_for_many_prompts() -> None:
    values = np.random.default_rng(4).normal(size=(2000, 1))
    boot = boot_of(values, True, 0, 4000, 6)
    error = values.std() / math.sqrt(2000)
    assert boot.low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert boot.high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(8)
    hits = 0
    for seed in range(300):
        boot = boot_of(generator.normal(size=(60, 1)), True, 0, 300, seed)
        hits += boot.low[0] <= 0 <= boot.high[0]
    assert 0.90 <= hits / 300 <= 0.98


def test_the_seed_decides() -> None:
    values_PT = np.random.default_rng(5).normal(size=(10, 3))
    assert np.array_equal(resampled_means(values_PT, 50, 1), resampled_means(values_PT, 50, 1))
    assert not np.array_equal(resampled_means(values_PT, 50, 1), resampled_means(values_PT, 50, 2))


@pytest.mark.parametrize("size", [None, 3, 20])
def test_the_size_of_a_chunk_plays_no_part(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    values_PT = np.random.default_rng(6).normal(size=(7, 3))
    whole = resampled_means(values_PT, 50, 1, size)
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 21)
    assert resampled_means(values_PT, 50, 1, size) == pytest.approx(whole)


@pytest.mark.parametrize("size", [2, 9, 40])
def test_a_resample_of_another_size_is_a_mean_of_so_many_prompts(size: int) -> None:
    values_PT = np.random.default_rng(7).normal(size=(9, 2))
    drawn = np.random.default_rng(3).integers(0, 9, size=(5, size))
    expected = values_PT[drawn].mean(axis=1)
    assert resampled_means(values_PT, 5, 3, size) == pytest.approx(expected)


@pytest.mark.parametrize(("n_prompts", "iters"), [(1, 100), (3, 0)])
def test_nothing_to_resample_gives_no_figure(n_prompts: int, iters: int) -> None:
    ranking = rank_rows(
        table({"A": [-1.0] * n_prompts, "B": [-2.0] * n_prompts}), bootstrap_iters=iters
    )
    assert lines(ranking)["A"].mean == -1.0
    for line in ranking.teachers:
        for name in ("low", "high", "difference_low", "difference_high", "p_best"):
            assert math.isnan(getattr(line, name))
        assert all(map(math.isnan, line.p_rank))
    stability = ranking.stability
    assert (stability.sizes, stability.p_best, stability.tau) == ((), (), ())
    assert stability.needed is None
