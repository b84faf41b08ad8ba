"""The teachers that may be best: cases by hand, a slow oracle, and error rates by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.budget.sequential import limits
from lnat_plugins.ranking.best_set import MOST, BestSet, best_set
from lnat_plugins.ranking.bootstrap import resampled_means
from lnat_plugins.ranking.table import Floats

REPLICATIONS = 400


def of(scores_PT: Floats, iters: int = 500, seed: int = 0, **settings: Any) -> BestSet:
    draws_BT = resampled_means(scores_PT, iters, seed)
    return best_set(scores_PT.mean(axis=0), draws_BT, scores_PT, **settings)


def normal(seed: int, prompts: int, *means: float) -> Floats:
    return np.random.default_rng(seed).normal(size=(prompts, len(means))) + np.array(means)


def exactly(seed: int, prompts: int, *means: float) -> Floats:
    """Normal scores whose means over the prompts are these."""
    scores_PT = normal(seed, prompts, *means)
    return np.asarray(scores_PT - scores_PT.mean(axis=0) + np.array(means))


def skewed(seed: int, prompts: int, deviations: Floats) -> Floats:
    """With a long tail below, as log-probabilities have; all true scores are 0."""
    noise = np.random.default_rng(seed).exponential(size=(prompts, len(deviations)))
    return np.asarray((1 - noise) * deviations)


def oracle(scores_PT: Floats, draws_BT: Floats) -> tuple[list[float], float]:
    """Critical values of each teacher and of all pairs, by loops."""
    n_prompts, n_teachers = scores_PT.shape
    every_draw: list[list[float]] = []
    errors, skews = (
        [[of_one(j - i) for j in scores_PT.T] for i in scores_PT.T]
        for of_one in (stats.sem, lambda d: stats.skew(d) if d.any() else 0.0)
    )
    for i in range(n_teachers):
        largest = []
        for draw_T in draws_BT:
            found = [0.0]
            for j in range(n_teachers):
                if i == j:
                    continue
                seen = scores_PT[:, j].mean() - scores_PT[:, i].mean()
                drawn = (draw_T[j] - draw_T[i] - seen) / errors[i][j]
                lean = min(0.0, skews[i][j]) / math.sqrt(n_prompts)
                if drawn > 0:
                    found.append(drawn / math.sqrt(max(0.25, 1 + lean * drawn)))
            largest.append(max(found))
        every_draw.append(largest)

    def student(largest: list[float]) -> float:
        quantile = np.quantile(largest, 0.95) * math.sqrt(n_prompts / (n_prompts - 1))
        return float(stats.t.ppf(stats.norm.cdf(quantile), n_prompts - 1))

    all_pairs = [max(each) for each in zip(*every_draw, strict=True)]
    return [student(each) for each in every_draw], student(all_pairs)


@pytest.mark.parametrize(("seed", "teachers"), [(0, 2), (1, 3), (2, 5)])
def test_against_the_oracle(seed: int, teachers: int) -> None:
    scores_PT = skewed(seed, 40, np.linspace(0.5, 2, teachers)) + np.linspace(0, 1.5, teachers)
    draws_BT = resampled_means(scores_PT, 200, seed)
    found = best_set(scores_PT.mean(axis=0), draws_BT, scores_PT)
    critical, all_pairs = oracle(scores_PT, draws_BT)
    assert found.critical == pytest.approx(critical)
    means = scores_PT.mean(axis=0)
    leader = int(means.argmax())
    members = []
    for i in range(teachers):
        leads = {
            j: (means[j] - means[i]) / stats.sem(scores_PT[:, j] - scores_PT[:, i])
            for j in range(teachers)
            if j != i
        }
        out = max(leads.values()) > critical[i]
        members += [] if out else [i]
        better = sum(lead > all_pairs for lead in leads.values())
        worse = sum(lead < -all_pairs for lead in leads.values())
        assert found.ranks[i][0] == max(1 + better, 2 if out else 1)
        if found.members != (i,):
            assert found.ranks[i][1] == teachers - worse
        if i != leader:
            half = all_pairs * stats.sem(scores_PT[:, i] - scores_PT[:, leader])
            assert found.low[i] == pytest.approx(means[i] - means[leader] - half)
            high = means[i] - means[leader] + half
            assert found.high[i] == pytest.approx(min(high, 0) if len(found.members) == 1 else high)
    assert sorted(found.members) == members


def test_two_teachers_are_the_paired_one_sided_test() -> None:
    difference_P = np.random.default_rng(3).normal(size=200)
    difference_P = np.concatenate([difference_P, -difference_P])  # without skew
    base_P = np.random.default_rng(4).normal(size=400)
    error = stats.sem(difference_P)
    one_sided = stats.t.ppf(0.95, 399) * error
    for factor, sole in ((0.9, False), (1.1, True)):
        scores_PT = np.stack([base_P, base_P + difference_P + factor * one_sided], axis=1)
        found = of(scores_PT, 20_000)
        assert found.members == ((1,) if sole else (1, 0))
        assert found.ranks == (((2, 2), (1, 1)) if sole else ((1, 2), (1, 2)))
        assert found.critical == pytest.approx([stats.t.ppf(0.95, 399)] * 2, abs=0.04)
        half = stats.t.ppf(0.975, 399) * error
        assert found.low[0] == pytest.approx(-factor * one_sided - half, abs=0.04 * error)


def test_all_pairs_are_those_of_the_studentized_range_for_many_prompts() -> None:
    scores_PT = normal(5, 4000, *[0.0] * 5)
    found = of(scores_PT, 10_000)
    leader = int(scores_PT.mean(axis=0).argmax())
    others = [i for i in range(5) if i != leader]
    halves = [(found.high[i] - found.low[i]) / 2 for i in others]
    errors = [stats.sem(scores_PT[:, i] - scores_PT[:, leader]) for i in others]
    expected = stats.studentized_range.ppf(0.95, 5, 3999) / math.sqrt(2)
    assert np.array(halves) / errors == pytest.approx([expected] * 4, abs=0.06)


def test_clear_differences_settle_every_rank() -> None:
    found = of(normal(6, 100, 0.0, 4.0, 2.0))
    assert (found.members, found.needed) == ((1,), None)
    assert found.ranks == ((3, 3), (1, 1), (2, 2))
    assert found.low[1] == found.high[1] == 0
    assert found.high[0] < found.low[2] < found.high[2] < 0


def test_members_stand_in_the_order_of_their_scores() -> None:
    scores_PT = normal(7, 50, 0.0, 0.0, 0.0, 0.0)
    found = of(scores_PT)
    assert list(found.members) == np.argsort(-scores_PT.mean(axis=0)).tolist()


def test_the_same_teacher_twice_is_a_tie_that_no_number_of_prompts_ends() -> None:
    one, other = normal(8, 60, 5.0, 0.0).T
    found = of(np.stack([one, other, one], axis=1))
    assert found.members == (0, 2)
    assert found.ranks == ((1, 2), (3, 3), (1, 2))
    assert (found.low[2], found.high[2], found.needed) == (0, 0, None)
    all_the_same = of(np.stack([one, one], axis=1))
    assert (all_the_same.members, all_the_same.needed) == ((0, 1), None)


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_a_difference_that_is_the_same_on_every_prompt_is_certain(size: float) -> None:
    base_P = size * np.random.default_rng(9).normal(size=40)
    found = of(np.stack([base_P, base_P + 0.001, base_P], axis=1))
    assert (found.members, found.needed) == ((1,), None)
    assert found.ranks == ((2, 3), (1, 1), (2, 3))
    assert found.low[0] == pytest.approx(-0.001)
    assert found.high[0] == pytest.approx(-0.001)


def test_a_certainly_worse_teacher_takes_no_part_in_what_is_needed() -> None:
    scores_PT = normal(10, 60, 0.3, 0.0, 0.0)
    worse_PT = np.column_stack([scores_PT, np.full(60, -9.0)])
    found = of(worse_PT)
    assert 3 not in found.members and found.ranks[3] == (4, 4)
    assert found.needed is None or found.needed > 60


def test_constant_scores() -> None:
    found = of(np.tile([1.0, 3.0, 2.0], (10, 1)))
    assert (found.members, found.ranks) == ((1,), ((3, 3), (1, 1), (2, 2)))
    assert found.low == found.high == (-2, 0, -1)


def test_one_teacher_is_best() -> None:
    found = of(normal(11, 20, 0.0))
    assert (found.members, found.ranks, found.needed) == ((0,), ((1, 1),), None)
    assert found.low == found.high == (0,)


@pytest.mark.parametrize(("prompts", "iters"), [(1, 100), (30, 0)])
def test_nothing_can_be_said_without_resamples(prompts: int, iters: int) -> None:
    scores_PT = normal(12, prompts, 0.0, 9.0, 5.0)
    found = of(scores_PT, iters)
    assert found.members == (1, 2, 0)
    assert found.ranks == ((1, 3),) * 3
    assert np.isnan([found.critical, found.low, found.high]).all()
    assert found.needed is None


def test_a_better_leader_stays_and_never_brings_others_in() -> None:
    scores_PT = normal(13, 50, 0.0, 0.2, 0.1, -0.2)
    leader = int(scores_PT.mean(axis=0).argmax())
    before: set[int] = set(range(4))
    for gain in np.linspace(0, 1, 21):
        members = of(scores_PT + gain * (np.arange(4) == leader)).members
        assert members[0] == leader and set(members) <= before
        before = set(members)
    assert before == {leader}


def test_columns_may_come_in_any_order() -> None:
    scores_PT = normal(14, 60, 0.0, 0.3, 0.1, -0.6)
    draws_BT = resampled_means(scores_PT, 500, 0)
    order = np.array([2, 0, 3, 1])
    found = best_set(scores_PT.mean(axis=0), draws_BT, scores_PT, outcomes=0)
    moved = best_set(
        scores_PT[:, order].mean(axis=0), draws_BT[:, order], scores_PT[:, order], outcomes=0
    )
    assert [int(order[member]) for member in moved.members] == list(found.members)
    assert moved.ranks == tuple(found.ranks[column] for column in order)
    for name in ("critical", "low", "high"):
        assert getattr(moved, name) == pytest.approx([getattr(found, name)[c] for c in order])


def test_unit_and_what_all_teachers_share_play_no_part() -> None:
    scores_PT = exactly(15, 60, 0.0, 0.28, -0.6)
    shared_P1 = np.random.default_rng(16).normal(size=(60, 1))
    found, changed = of(scores_PT), of(100 * (scores_PT + shared_P1))
    assert changed.members == found.members
    assert changed.ranks == found.ranks
    assert changed.critical == pytest.approx(found.critical)
    assert changed.low == pytest.approx(100 * np.array(found.low))
    assert found.needed is not None
    assert changed.needed == pytest.approx(found.needed, rel=0.5)


def test_a_ratio_of_means_by_its_influence() -> None:
    generator = np.random.default_rng(17)
    denominators_PT = generator.integers(1, 50, size=(300, 2)).astype(float)
    numerators_PT = denominators_PT * generator.normal([-1.0, -1.1], 0.3, size=(300, 2))
    means = numerators_PT.mean(axis=0), denominators_PT.mean(axis=0)
    scores_T = means[0] / means[1]
    draws_BC = resampled_means(np.concatenate([numerators_PT, denominators_PT], axis=1), 4000, 0)
    draws_BT = draws_BC[:, :2] / draws_BC[:, 2:]
    influence_PT = (numerators_PT - scores_T * denominators_PT) / means[1]
    found = best_set(scores_T, draws_BT, influence_PT)
    spread = np.quantile(draws_BT[:, 0] - draws_BT[:, 1], [0.05, 0.95])
    error = stats.sem(influence_PT[:, 1] - influence_PT[:, 0])
    assert found.critical[1] * error == pytest.approx((spread[1] - spread[0]) / 2, rel=0.05)
    assert found.members == (0,)


@pytest.mark.parametrize("seed", range(30))
def test_set_ranks_and_intervals_agree(seed: int) -> None:
    generator = np.random.default_rng(seed)
    teachers = int(generator.integers(2, 9))
    scores_PT = normal(seed, 40, *generator.normal(scale=0.4, size=teachers))
    found = of(scores_PT, outcomes=0)
    leader = int(scores_PT.mean(axis=0).argmax())
    assert found.members[0] == leader
    for i, (lowest, highest) in enumerate(found.ranks):
        assert 1 <= lowest <= highest <= teachers
        assert (lowest == 1) == (i in found.members)
        assert found.low[i] <= scores_PT[:, i].mean() - scores_PT[:, leader].mean() <= found.high[i]
    if len(found.members) == 1:
        assert found.ranks[leader] == (1, 1) and max(found.high) == 0


def test_many_teachers() -> None:
    found = of(normal(18, 40, *np.linspace(0, 1, 100)), 300)
    assert 99 in found.members and 0 not in found.members
    assert found.ranks[0][0] > 1


class TestNeeded:
    def test_what_it_depends_on(self) -> None:
        scores_PT = exactly(20, 60, 0.0, 0.33, -0.6)
        found = of(scores_PT)
        assert len(found.members) > 1 and found.needed is not None
        assert 60 < found.needed < MOST * 60
        assert of(scores_PT, outcomes=0).needed is None
        assert of(scores_PT).needed == found.needed
        assert of(scores_PT, outcomes=4000, seed=3).needed == pytest.approx(found.needed, rel=0.5)
        closer = of(exactly(20, 60, 0.0, 0.28, -0.6)).needed
        assert closer is not None and closer > found.needed

    def test_close_teachers_have_no_number(self) -> None:
        assert of(exactly(21, 60, *np.linspace(0, 0.1, 6))).needed is None

    @pytest.mark.parametrize(("teachers", "prompts"), [(3, 50), (6, 40)])
    def test_it_is_reached_as_often_as_it_says(self, teachers: int, prompts: int) -> None:
        """The true scores are two standard errors apart; half as far it is about the same."""
        generator = np.random.default_rng(teachers)
        reached = []
        for replication in range(250):
            true_T = 2 / math.sqrt(prompts) * generator.normal(size=teachers)
            scores_PT = true_T + generator.normal(size=(prompts, teachers))
            found = of(scores_PT, 300, replication, outcomes=1000)
            if found.needed is not None:
                more = generator.normal(size=(found.needed - prompts, teachers))
                both_PT = np.concatenate([scores_PT, true_T + more])
                # Normal draws for the same law: resamples of so many prompts take long.
                means_T, covariance = both_PT.mean(axis=0), np.cov(both_PT.T) / len(both_PT)
                draws_BT = generator.multivariate_normal(means_T, covariance, 300)
                reached.append(len(best_set(means_T, draws_BT, both_PT, outcomes=0).members) == 1)
        assert len(reached) > 50
        assert 0.70 <= np.mean(reached) <= 0.92


class TestErrorRates:
    """400 data sets: a share of .95 has a standard error of .011."""

    @pytest.mark.parametrize("teachers", [2, 3, 8])
    @pytest.mark.parametrize("shape", ["normal", "skewed", "unequal", "t3"])
    def test_among_equal_teachers(self, teachers: int, shape: str) -> None:
        prompts = 30
        deviations = np.linspace(0.3, 2, teachers) if shape == "unequal" else np.ones(teachers)
        held_RT = np.zeros((REPLICATIONS, teachers), dtype=bool)
        for replication in range(REPLICATIONS):
            seed = 1000 * teachers + replication
            if shape == "normal":
                scores_PT = normal(seed, prompts, *[0.0] * teachers)
            elif shape == "t3":
                scores_PT = np.random.default_rng(seed).standard_t(3, (prompts, teachers))
            else:
                scores_PT = skewed(seed, prompts, deviations)
            found = of(scores_PT, 300, replication, outcomes=0)
            held_RT[replication, list(found.members)] = True
        # Nominally .95; a set of one leaves T - 1 of them out, so of two .10 is nominal.
        assert held_RT.mean(axis=0).min() >= 0.90
        assert held_RT.mean() >= 0.93
        sole = (held_RT.sum(axis=1) == 1).mean()
        assert sole <= (0.14 if teachers == 2 else 0.05)

    def test_any_statement_about_close_teachers(self) -> None:
        """Set and ranks together, a standard error apart, each with a noise of its own."""
        prompts, teachers, wrong, tight = 40, 6, 0, 0
        generator = np.random.default_rng(22)
        for replication in range(REPLICATIONS):
            true_T = 1 / math.sqrt(prompts) * generator.normal(size=teachers)
            scores_PT = true_T + generator.normal(size=(prompts, teachers))
            found = of(scores_PT, 300, replication, outcomes=0)
            rank_T = stats.rankdata(-true_T)
            inside = [low <= r <= high for (low, high), r in zip(found.ranks, rank_T, strict=True)]
            wrong += not (all(inside) and int(true_T.argmax()) in found.members)
            tight += any(interval != (1, teachers) for interval in found.ranks)
        assert wrong / REPLICATIONS <= 0.07
        assert tight / REPLICATIONS >= 0.2  # and it says something


# Looks at a set that grows.


@pytest.mark.parametrize("teachers", [2, 3])
def test_repeated_looks_take_the_bounds_of_a_race(teachers: int) -> None:
    three_PT = skewed(3, 60, np.array([0.5, 1.0, 2.0])) + np.array([0.0, 0.6, -0.4])
    scores_PT = three_PT[:, :teachers]
    found = of(scores_PT, repeated=True)
    leader = int(scores_PT.mean(axis=0).argmax())
    rivals, pairs = teachers - 1, teachers * (teachers - 1)
    members = []
    for i in range(teachers):
        largest, critical = -math.inf, 0.0
        for j in {*range(teachers)} - {i}:
            difference = scores_PT[:, j] - scores_PT[:, i]
            mean, error = difference.mean(), stats.sem(difference)
            skewness = float(stats.skew(difference, bias=False))
            low, _ = limits(mean, error, 60, rivals / 0.05, skewness)
            largest = max(largest, low)
            critical = max(critical, (mean - low) / error)
            if i == leader:
                low, high = limits(mean, error, 60, pairs / 0.05, skewness)
                high = min(high, 0.0) if len(found.members) == 1 else high
                assert (found.low[j], found.high[j]) == pytest.approx((low, high))
        assert found.critical[i] == pytest.approx(critical)
        members += [i] if largest <= 0 else []
    assert sorted(found.members) == members
    assert found.needed is None
    plain = of(scores_PT)
    assert found.low[0] < plain.low[0] < plain.high[0] < found.high[0]


@pytest.mark.parametrize("teachers", [2, 4])
def test_whoever_looks_again_and_again_is_not_misled(teachers: int) -> None:
    """The share of sets in which the true best is left out at one look at least."""
    deviations = np.linspace(0.5, 2, teachers)
    misled = np.zeros((2, teachers))
    for seed in range(120):
        scores_PT = np.random.default_rng(seed).normal(size=(200, teachers)) * deviations
        for repeated in (False, True):
            out = np.zeros(teachers, dtype=bool)
            for n in range(20, 201, 20):
                found = of(scores_PT[:n], 200, seed, repeated=repeated, outcomes=0)
                out |= ~np.isin(np.arange(teachers), found.members)
            misled[int(repeated)] += out / 120
    plain, bounded = misled.max(axis=1)
    assert bounded <= 0.05 < 0.12 < plain


def test_the_last_digits_of_large_scores_are_no_lead() -> None:
    first = 1e9 + np.random.default_rng(0).normal(size=40)
    found = of(np.stack([first, first + 4 * np.spacing(1e9)], axis=1), repeated=True)
    assert sorted(found.members) == [0, 1] and found.ranks == ((1, 2), (1, 2))


def test_a_lead_that_no_look_can_doubt() -> None:
    found = of(exactly(0, 50, 0.0, 3.0), repeated=True)
    assert found.members == (1,) and found.ranks == ((2, 2), (1, 1))
    equal = of(np.zeros((20, 3)), repeated=True)
    assert equal.members == (0, 1, 2) and equal.low == equal.high == (0.0, 0.0, 0.0)
