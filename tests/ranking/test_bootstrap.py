"""The paired bootstrap where the answer is known.

How the order settles with the number of prompts: against brute force, and where it is known.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.ranking import Ranking
from lnat_plugins.ranking import bootstrap as module
from lnat_plugins.ranking.bootstrap import (
    LEVEL,
    grid,
    intervals,
    resampled_means,
    simultaneous_intervals,
    tau_interval,
)
from tests.ranking import oracle
from tests.ranking.builders import LOWER, Row, lines, rank_rows, table


def test_a_constant_difference_is_certain() -> None:
    prompts = np.random.default_rng(0).normal(size=40)
    rows = table({"A": list(prompts - 0.01), "B": list(prompts), "C": list(prompts - 0.5)})
    found, lower = (lines(rank_rows(rows, metric, bootstrap_iters=500)) for metric in (None, LOWER))
    for name, place in {"A": 2, "B": 1, "C": 3}.items():
        assert (found[name].rank_low, found[name].rank_high) == (place, place)
        assert found[name].may_be_best is (place == 1)
        assert found[name].first_in == float(place == 1)
    assert found["A"].low < found["A"].high
    for name, difference in {"A": -0.01, "B": 0.0, "C": -0.5}.items():
        assert found[name].difference_low == pytest.approx(difference)
        assert found[name].difference_high == pytest.approx(difference)
        assert lower[name].rank_high == found[name].rank_high
        assert lower[name].first_in == found[name].first_in
        assert lower[name].low == pytest.approx(-found[name].high)
        assert lower[name].difference_low == pytest.approx(-difference)


def test_equal_teachers_share_every_rank() -> None:
    values = list(np.random.default_rng(1).normal(size=20))
    for line in rank_rows(table(dict.fromkeys("ABCD", values)), bootstrap_iters=200).teachers:
        assert (line.rank_low, line.rank_high, line.may_be_best) == (1, 4, True)
        assert line.first_in == pytest.approx(0.25)


def test_someone_is_first_in_every_resample() -> None:
    ranking = rank_rows(table({"A": [-1, -2, -3], "B": [-2, -1, -3], "C": [-2, -2, -2.5]}))
    assert sum(line.first_in for line in ranking.teachers) == pytest.approx(1)


def test_the_interval_is_that_of_the_normal_approximation_for_many_prompts() -> None:
    values = np.random.default_rng(4).normal(size=(2000, 1))
    low, high = intervals(resampled_means(values, 4000, 6))[:, 0]
    error = values.std() / math.sqrt(2000)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(8)
    hits = 0
    for seed in range(300):
        low, high = intervals(resampled_means(generator.normal(size=(60, 1)), 300, seed))[:, 0]
        hits += low <= 0 <= high
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


@pytest.mark.parametrize("prompts", [7, 40])
@pytest.mark.parametrize("size", [None, 3, 90])
def test_many_prompts_are_counted_row_by_row_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, prompts: int, size: int | None
) -> None:
    values_PT = np.random.default_rng(6).normal(size=(prompts, 3))
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 200)
    at_once = resampled_means(values_PT, 50, 1, size)
    monkeypatch.setattr(module, "_MANY", 0)
    assert np.array_equal(resampled_means(values_PT, 50, 1, size), at_once)


def test_an_error_while_drawing_is_raised() -> None:
    with pytest.raises(ValueError, match="negative"):
        resampled_means(np.zeros((7, 3)), 50, 1, -1)


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
        for name in ("low", "high", "difference_low", "difference_high", "first_in"):
            assert math.isnan(getattr(line, name))
        assert (line.rank_low, line.rank_high, line.may_be_best) == (1, 2, None)
    stability = ranking.stability
    assert (stability.sizes, stability.first, stability.tau) == ((), (), ())


def noisy(n_prompts: int, gap: float, seed: int = 0, teachers: str = "AB") -> list[Row]:
    """Independent normal noise of size 1 around means that lie `gap` apart, exactly."""
    noise = np.random.default_rng(seed).normal(size=(n_prompts, len(teachers)))
    noise -= noise.mean(axis=0)
    return table({name: list(noise[:, t] - 10 - gap * t) for t, name in enumerate(teachers)})


def at(ranking: Ranking) -> dict[int, tuple[float, float]]:
    found = ranking.stability
    return {n: (p, t) for n, p, t in zip(found.sizes, found.first, found.tau, strict=True)}


def test_the_sizes() -> None:
    assert grid(817) == (10, 20, 50, 100, 200, 500, 817, 1000, 2000, 5000, 8170)
    assert grid(100) == (10, 20, 50, 100, 200, 500, 1000)
    assert grid(3) == (3, 10, 20, 30)


def test_at_its_own_size_the_curve_is_the_table() -> None:
    ranking = rank_rows(noisy(30, 0.2), bootstrap_iters=500)
    assert at(ranking)[30][0] == ranking.teachers[0].first_in


def test_by_brute_force() -> None:
    rows = noisy(20, 0.3, seed=3, teachers="ABCD")
    ranking = rank_rows(rows, bootstrap_iters=2000, seed=4)
    values_PT = np.array([row.record.sums["4"][0] / 10 for row in rows]).reshape(20, 4)  # type: ignore[index]
    generator = np.random.default_rng(99)
    for size in (10, 50):
        means_BT = values_PT[generator.integers(0, 20, size=(1500, size))].mean(axis=1)
        best = (means_BT.argmax(axis=1) == 0).mean()
        taus = [stats.kendalltau(means, [4, 3, 2, 1]).statistic for means in means_BT]
        assert at(ranking)[size][0] == pytest.approx(best, abs=0.04)
        assert at(ranking)[size][1] == pytest.approx(np.mean(taus), abs=0.04)


def test_ties_share_the_first_place() -> None:
    same = [-1.0, -2.0, -3.0]
    ranking = rank_rows(table({"A": same, "B": same}))
    assert ranking.stability.first == tuple([0.5] * 4)
    assert all(np.isnan(ranking.stability.tau))


def test_the_direction_of_the_metric_counts() -> None:
    rows = noisy(40, 0.3)
    assert rank_rows(rows, LOWER).stability == rank_rows(rows).stability


def test_the_seed_decides_stability() -> None:
    rows = noisy(40, 0.2)
    one, again, other = (rank_rows(rows, seed=seed).stability for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("iters", "drawn"),
    [
        (10_000, {10: 2_000, 10_000: 1_677, 50_000: 335, 200_000: 200}),
        (300, {10: 300, 10_000: 300, 50_000: 300, 200_000: 200}),
        (100, {10: 100, 10_000: 100, 50_000: 100, 200_000: 100}),
    ],
)
def test_many_prompts_are_resampled_less_often(
    iters: int, drawn: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}

    def means(values_PC: module.Floats, draws: int, seed: object, size: int) -> module.Floats:
        found[size] = draws
        return values_PC[:2]

    monkeypatch.setattr(module, "resampled_means", means)
    monkeypatch.setattr(module, "grid", lambda own: tuple(drawn))
    stability = rank_rows(noisy(20, 0.2), bootstrap_iters=iters).stability
    assert stability.sizes == tuple(drawn)
    assert found == {**found, **drawn}


def test_one_teacher_has_no_stability() -> None:
    assert rank_rows(table({"A": [-1.0, -2.0]})).stability.sizes == ()


NAN = (math.nan, math.nan)


def inside(draws: list[np.ndarray], spans: list[tuple[float, float]]) -> float:
    """The share of the joint draws that lie in every interval."""
    each = [(low <= one) & (one <= high) for one, (low, high) in zip(draws, spans, strict=True)]
    return float(np.all(each, axis=0).mean())


@pytest.mark.parametrize("n_draws", [1, 2, 20, 39, 40, 41, 99, 1000, 10_000])
@pytest.mark.parametrize("tied", [False, True])
def test_of_one_statistic_it_is_the_percentile_interval(n_draws: int, tied: bool) -> None:
    draws = np.random.default_rng(n_draws).normal(size=n_draws)
    if tied:
        draws = np.round(draws)
    ((low, high),) = simultaneous_intervals([draws])
    assert (low, high) == tau_interval(draws)
    assert low in draws and high in draws
    assert inside([draws], [(low, high)]) >= LEVEL
    if not tied:  # one draw less at either end would be too few
        within = n_draws * inside([draws], [(low, high)])
        assert within - 2 < LEVEL * n_draws


def test_ties_at_one_end_are_no_room_at_the_other() -> None:
    """Nine in ten draws are the highest value: only at the low end is there anything to cut."""
    draws = np.repeat([-1.0, 0.0, 0.5, 1.0], [20, 10, 70, 900])
    assert simultaneous_intervals([draws]) == [(0.0, 1.0)]
    beside = np.random.default_rng(0).permutation(draws)
    for (low, high), one in zip(
        simultaneous_intervals([draws, beside]), (draws, beside), strict=True
    ):
        alone_low, alone_high = tau_interval(one)
        assert low <= alone_low and alone_high <= high


@pytest.mark.parametrize("n_statistics", [2, 5, 12])
@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_several_hold_at_once(n_statistics: int, shared: float) -> None:
    draw = np.random.default_rng(3)
    common = draw.normal(size=800)
    draws = [
        shared * common + (1 - shared) * draw.standard_t(3, size=800) + i
        for i in range(n_statistics)
    ]
    found = simultaneous_intervals(draws)
    assert LEVEL <= inside(draws, found) < LEVEL + 0.03
    assert found == oracle.deepest_cut(draws)
    for (low, high), one in zip(found, draws, strict=True):
        ((alone_low, alone_high),) = simultaneous_intervals([one])
        assert low <= alone_low and alone_high <= high
        assert low in one and high in one


@pytest.mark.parametrize("seed", range(6))
def test_ties_are_inside_together(seed: int) -> None:
    """As taus are: few values, each drawn often."""
    draw = np.random.default_rng(seed)
    draws = [draw.binomial(6, p, size=300) / 3 - 1 for p in (0.2, 0.5, 0.9)]
    found = simultaneous_intervals(draws)
    assert inside(draws, found) >= LEVEL
    assert found == oracle.deepest_cut(draws)


def test_what_is_constant_or_the_same_does_not_widen_the_others() -> None:
    one = np.random.default_rng(0).normal(size=500)
    (alone,) = simultaneous_intervals([one])
    assert simultaneous_intervals([np.zeros(500), one]) == [(0.0, 0.0), alone]
    assert simultaneous_intervals([one, one, one]) == [alone] * 3
    assert simultaneous_intervals([one, -one]) == [alone, (-alone[1], -alone[0])]


def test_what_has_no_draw_has_no_interval() -> None:
    one = np.random.default_rng(0).normal(size=500)
    (alone,) = simultaneous_intervals([one])
    gone = np.full(500, np.nan)
    assert simultaneous_intervals([]) == []
    assert simultaneous_intervals([np.empty(0), gone]) == [pytest.approx(NAN, nan_ok=True)] * 2
    found = simultaneous_intervals([gone, one, np.empty(0)])
    assert found[1] == alone
    assert [found[0], found[2]] == [pytest.approx(NAN, nan_ok=True)] * 2


def test_a_draw_that_lacks_one_statistic_counts_for_none() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 500))
    holes = np.where(np.arange(500) % 5 == 0, np.nan, other)
    kept = ~np.isnan(holes)
    assert simultaneous_intervals([one, holes]) == simultaneous_intervals([one[kept], other[kept]])
    never = [np.where(kept, one, np.nan), np.where(kept, np.nan, other)]
    assert simultaneous_intervals(never) == [pytest.approx(NAN, nan_ok=True)] * 2
