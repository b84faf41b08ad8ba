"""Metrics against the order after training: figures, intervals, and the error rate of claims."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.ranking.bootstrap import simultaneous_intervals
from lnat_plugins.study import Agreement, Estimate, agreement
from lnat_plugins.study.agreement import claim
from lnat_plugins.study.order_fit import STATISTICS
from tests.study import oracle
from tests.study.builders import outcomes, scores, simulated, study

NAN = math.nan
NEUTRAL = {"tau": 0.0, "spearman": 0.0, "pairs": 0.5}


def small(seed: int, **more: int) -> Agreement:
    settings = {"teachers": 6, "metrics": 3, "prompts": 12, "items": 30, **more}
    return agreement(*study(np.random.default_rng(seed), correlation=0.5, **settings), iters=60)  # type: ignore[arg-type]


@pytest.mark.parametrize("teachers", [2, 3, 6])
def test_every_figure_and_interval_is_that_of_the_resamples(teachers: int) -> None:
    found = small(teachers, teachers=teachers)
    draws, accuracy = found.draws, list(found.accuracy.values())
    for statistic in STATISTICS:
        for form in ("fixed", "resampled"):
            columns = []
            for one in found.metrics:
                point = oracle.fit(list(one.scores.values()), accuracy)[statistic]
                assert one.fixed[statistic].value == pytest.approx(point, nan_ok=True)
                drawn = np.array([
                    oracle.fit(
                        draws.scores[one.metric][b], draws.accuracy[b],
                        draws.copies[b] if form == "resampled" else None,
                    )[statistic]
                    for b in range(60)
                ])  # fmt: skip
                if form == "resampled" and statistic in NEUTRAL:
                    drawn = np.where(np.isnan(drawn), NEUTRAL[statistic], drawn)
                columns.append(drawn)
            spans = simultaneous_intervals([np.round(one, 12) for one in columns])
            for one, (low, high) in zip(found.metrics, spans, strict=True):
                interval = getattr(one, form)[statistic]
                assert (interval.low, interval.high) == pytest.approx((low, high), nan_ok=True)


def test_differences_are_those_of_taus() -> None:
    found = small(1)
    base = found.of("global_naturalness")
    assert math.isnan(base.difference.value) and math.isnan(base.difference.low)
    assert base.claim == "none"
    for form in ("tau", "tau_fixed"):
        taus = getattr(found.draws, form)
        difference = "difference" if form == "tau" else "difference_fixed"
        columns = [taus[name] - taus["global_naturalness"] for name in ("m1", "m2")]
        for name, column, (low, high) in zip(
            ("m1", "m2"),
            columns,
            simultaneous_intervals([np.round(one, 12) for one in columns]),
            strict=True,
        ):
            assert getattr(found.draws, difference)[name] == pytest.approx(column)
            one = getattr(found.of(name), difference)
            assert (one.low, one.high) == pytest.approx((low, high))
            tau = found.of(name).fixed["tau"].value
            assert one.value == pytest.approx(tau - base.fixed["tau"].value)


def test_a_difference_is_taken_on_the_prompts_that_both_have() -> None:
    values = np.random.default_rng(4).normal(size=(2, 5, 12))
    values[0, 3, 8:] = NAN
    values[1, 0, :4] = NAN
    known = outcomes(np.random.default_rng(3).random((5, 2, 20)))
    found = agreement(known, scores(values), iters=40)
    both = agreement(known, scores(values[:, :, 4:8]), iters=40)
    assert [one.prompts for one in found.metrics] == [8, 8]
    of_both = [one.fixed["tau"].value for one in both.metrics]
    of_each = [one.fixed["tau"].value for one in found.metrics]
    assert found.of("m1").difference.value == pytest.approx(of_both[1] - of_both[0])
    assert of_both[1] - of_both[0] != pytest.approx(of_each[1] - of_each[0])
    assert of_both[1] - of_each[0] != pytest.approx(of_both[1] - of_both[0])


def test_only_teachers_are_compared_in_the_order_of_the_arms() -> None:
    draw = np.random.default_rng(4)
    known = outcomes(draw.random((5, 2, 20)), kinds="nttts")
    values = draw.normal(size=(1, 4, 8))
    found = agreement(known, scores(values, teachers="DXCB"), iters=20)
    assert found.teachers == ("B", "C", "D")
    assert list(found.of("global_naturalness").scores.values()) == pytest.approx(
        values[0, [3, 2, 0]].mean(axis=1)
    )
    with pytest.raises(DataError, match="a teacher without scores"):
        agreement(known, scores(values, teachers="DXCA"), iters=20)
    with pytest.raises(DataError, match="fewer than two teachers"):
        agreement(outcomes(draw.random((2, 2, 20)), kinds="nt"), scores(values), iters=20)


def test_metrics_without_figures_are_named() -> None:
    values = np.random.default_rng(5).normal(size=(3, 3, 4))
    values[0, 0] = NAN
    below = np.ones((3, 3, 4))
    below[2, 1] = [1, -1, 1, -1]
    found = agreement(
        outcomes(np.random.default_rng(6).random((3, 2, 9))),
        scores(values, denominators=below), iters=30,
    )  # fmt: skip
    assert [one.metric for one in found.metrics] == ["m1"]
    assert found.left_out == {
        "global_naturalness": "no prompt has it for every teacher",
        "m2": "the denominators of a teacher add up to 0",
    }
    assert found.baseline is None
    assert "Claim" not in found.to_markdown()


def test_ties_share_the_first_place() -> None:
    values = np.array([[[2.0], [2.0], [1.0]]])
    known = outcomes(np.array([[[1.0, 1.0]], [[1.0, 0.0]], [[0.0, 0.0]]]))
    (one,) = agreement(known, scores(values), iters=20).metrics
    assert one.chosen == ("A", "B")
    assert (one.fixed["regret"].value, one.fixed["first"].value) == (0.25, 0.5)


def test_one_teacher_that_carries_all_is_not_hidden() -> None:
    """Resamples without it have no order; left out, the others would all agree."""
    accuracy = np.zeros((8, 2, 20))
    accuracy[0] = 1
    values = np.zeros((2, 8, 5))
    values[1, 0] = 1
    values[0, 1] = 1
    found = agreement(outcomes(accuracy), scores(values), iters=400)
    assert found.of("m1").fixed["tau"].value == 1
    assert found.of("m1").resampled["tau"].low == 0
    assert found.of("m1").claim == "none"


def test_teachers_at_the_floor_count_as_one() -> None:
    accuracy = np.zeros((9, 1, 20))
    for teacher in range(4):
        accuracy[teacher, 0, : 4 * teacher + 4] = 1
    found = agreement(outcomes(accuracy), scores(np.ones((1, 9, 5))), iters=20)
    assert found.different == 5


def test_the_rule_for_a_claim() -> None:
    assert claim(Estimate(0.3, 0.1, 0.5), 6) == "better"
    assert claim(Estimate(-0.3, -0.5, -0.1), 6) == "worse"
    assert claim(Estimate(0.3, 0.0, 0.5), 6) == "none"
    assert claim(Estimate(0.3, NAN, NAN), 6) == "none"
    assert claim(Estimate(0.3, 0.1, 0.5), 5) == "none"


def test_the_seed_decides_and_the_table_is_sorted() -> None:
    one, again, other = small(7), small(7), small(8)
    assert one.as_dict() == again.as_dict() != other.as_dict()
    assert "draws" not in one.as_dict()
    lines = one.to_markdown().splitlines()[2:]
    taus = [float(line.split("|")[2]) for line in lines]
    assert taus == sorted(taus, reverse=True)
    assert len(lines) == 3


@pytest.mark.parametrize(("iters", "prompts", "items"), [(0, 5, 5), (30, 1, 1)])
def test_nothing_to_resample(iters: int, prompts: int, items: int) -> None:
    draw = np.random.default_rng(13)
    known = outcomes(draw.random((4, 1, items)))
    values = draw.normal(size=(2, 4, prompts))
    values[1] = 1.0  # a metric that ties all teachers
    found = agreement(known, scores(values), iters=iters)
    one, level = found.metrics
    tau = one.fixed["tau"]
    assert not math.isnan(tau.value)
    assert math.isnan(tau.low) if not iters else tau.low == tau.high == pytest.approx(tau.value)
    assert math.isnan(level.fixed["tau"].value)
    assert level.chosen == ("A", "B", "C", "D")
    assert level.claim == "none"


@pytest.mark.parametrize(
    "settings",
    [
        {"teachers": 12, "metrics": 4, "correlation": 0.5},
        {"teachers": 14, "metrics": 4, "correlation": 0.0, "spread": 0.0},
        {"teachers": 14, "metrics": 4, "correlation": 0.5, "floor": True},
        {"teachers": 10, "metrics": 4, "correlation": 0.5, "missing": 0.4},
    ],
    ids=["noisy", "equal teachers", "heavy ties", "missing units"],
)
def test_equally_good_metrics_are_rarely_said_to_differ(settings: dict[str, object]) -> None:
    draw, tries = np.random.default_rng(9), 40
    claims = sum(
        any(one.claim != "none" for one in agreement(*study(draw, **settings), iters=300).metrics)  # type: ignore[arg-type]
        for _ in range(tries)
    )
    assert claims / tries <= 0.05 + 1e-9


def test_a_metric_that_knows_is_told_from_one_that_knows_nothing() -> None:
    draw = np.random.default_rng(10)
    claims = [
        agreement(
            *study(draw, teachers=24, metrics=2, correlation=[0.0, 0.98], seeds=5, items=200),
            iters=300,
        ).of("m1").claim
        for _ in range(12)
    ]  # fmt: skip
    assert claims.count("better") >= 9
    assert "worse" not in claims


@pytest.mark.parametrize(("correlation", "spread"), [(0.6, 0.12), (0.0, 0.12), (0.0, 0.0)])
def test_intervals_over_teachers_hold_the_tau_of_all_teachers(
    correlation: float, spread: float
) -> None:
    """Of normal scores and accuracies tau is 2/π · arcsin of their correlation (Kendall 1948)."""
    draw, hits, tries = np.random.default_rng(11), 0, 40
    true = 2 / math.pi * math.asin(correlation) if spread else 0.0
    for _ in range(tries):
        made = study(
            draw, teachers=14, metrics=1, correlation=correlation, spread=spread, items=200
        )
        (one,) = agreement(*made, iters=300).metrics
        hits += one.resampled["tau"].low <= true <= one.resampled["tau"].high
    assert hits / tries >= 0.9


def test_intervals_for_these_teachers_hold_their_true_tau() -> None:
    draw, hits, tries = np.random.default_rng(12), 0, 40
    for seed in range(tries):
        useful = draw.normal(size=14)
        true = 0.4 + 0.12 * useful
        known, expected = simulated(draw, true, 3, 200, seed_noise=0.03)
        score = 0.6 * useful + 0.8 * draw.normal(size=14)
        noise = draw.normal(size=60) + 0.7 * draw.normal(size=(1, 14, 60))
        (one,) = agreement(known, scores(score[:, None] + noise), iters=300, seed=seed).metrics
        tau = oracle.fit(list(score), list(expected))["tau"]
        hits += one.fixed["tau"].low <= tau <= one.fixed["tau"].high
    assert hits / tries >= 0.88
