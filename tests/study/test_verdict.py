"""Sentences that say no more than the intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from lnat_plugins.study import (
    Ablation,
    Agreement,
    ArmTable,
    Components,
    Estimate,
    Gain,
    Gains,
    LeftOut,
    MetricAgreement,
    Pooled,
    PooledGain,
    PooledMetric,
    RandomOrder,
    Reliability,
    agreement,
    pooled_verdict,
    reliability,
    verdict,
)
from lnat_plugins.study.agreement import Draws, claim
from lnat_plugins.study.gains import BEST_TEACHER
from tests.study.builders import study

NAN = math.nan
NOTHING = Estimate(NAN, NAN, NAN)


def near(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def metric(
    name: str, tau: Estimate, difference: Estimate = NOTHING, *, regret: float = 0.0,
    different: int = 8,
) -> MetricAgreement:  # fmt: skip
    figures = {"tau": tau, "regret": Estimate(regret, 0.0, regret + 0.01)}
    return MetricAgreement(
        name, 50, {"A": 1.0}, ("A",), figures, figures, 0.5, difference, difference,
        claim(difference, different),
    )  # fmt: skip


def agreed(
    *metrics: MetricAgreement, baseline: str | None = "global", different: int = 8
) -> Agreement:
    nothing: Mapping[str, np.ndarray] = {}
    draws = Draws(nothing, np.empty(0), np.empty(0, dtype=np.int64), *[nothing] * 5)
    return Agreement(
        "s", tuple("ABCDEFGH"), dict.fromkeys("ABCDEFGH", 0.5), different, baseline, metrics, {},
        RandomOrder(0.22, 0.57, 0.4, len(metrics)), 100, 1, draws,
    )  # fmt: skip


def relied(share: Estimate, single: float = 0.71) -> Reliability:
    return Reliability(share, Components(*[0.1] * 5), 0.86, single, 8, 3, 200)


SURE = relied(near(0.9, 0.05))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            SURE,
            "Of the variance between 8 teachers after training, a share of 0.90 [0.85, 0.95] is "
            "beyond the noise of 3 seeds and 200 items. A score that knows the true means is "
            "expected to reach tau-b 0.86, and two single seeds agree at 0.71.",
        ),
        (
            relied(Estimate(0.3, 0.0, 0.7)),
            "The 8 teachers cannot be told apart after training: the share of variance beyond the "
            "noise of 3 seeds and 200 items is 0.30 [0.00, 0.70]. No metric can be judged by their "
            "order.",
        ),
        (
            relied(Estimate(NAN, NAN, NAN), NAN),
            "How reliable the order of 8 teachers is, is not known: no teacher has two seeds.",
        ),
        (
            relied(Estimate(1.0, NAN, 1.0), NAN),
            "Of the variance between 8 teachers after training, a share of 1.00 is beyond the "
            "noise of 3 seeds and 200 items. A score that knows the true means is expected to "
            "reach tau-b 0.86.",
        ),
    ],
)
def test_how_far_the_order_can_be_trusted(found: Reliability, sentence: str) -> None:
    assert verdict(agreed(metric("global", near(0.1, 0.5))), found)[0] == sentence


def test_nothing_can_be_told_apart() -> None:
    found = verdict(
        agreed(
            metric("global", near(0.42, 0.5)),
            metric("local", near(0.45, 0.5), near(0.03, 0.2), regret=0.032),
        ),
        SURE,
    )
    assert found[1:] == (
        "No order of 2 metrics can be told apart from a random one (8 teachers resampled, 95%).",
        "A random order reaches |tau-b| 0.22 on average, the best of 2 random ones 0.40.",
        "The highest tau-b as measured is that of local. Its first teacher, A, is 0.032 below the "
        "best as measured [0.000, 0.042].",
        "Cannot be told apart from global: local.",
    )


def test_better_worse_and_the_rest() -> None:
    found = verdict(
        agreed(
            metric("global", near(0.3, 0.5)),
            metric("warm", near(0.8, 0.1), near(0.5, 0.2)),
            metric("lark", near(-0.6, 0.2), near(-0.9, 0.3)),
            metric("length", near(0.2, 0.5), near(-0.1, 0.3)),
        ),
        SURE,
        arms=ArmTable((), ("Three of them at the floor.",), {}),
    )
    assert found[1:] == (
        "Three of them at the floor.",
        "Agree with the order after training, tau-b (8 teachers resampled, 95%): warm 0.80 "
        "[0.70, 0.90].",
        "Put teachers in the opposite order, tau-b (8 teachers resampled, 95%): lark -0.60 "
        "[-0.80, -0.40].",
        "2 other metrics cannot be told apart from a random order.",
        "A random order reaches |tau-b| 0.22 on average, the best of 4 random ones 0.40.",
        "The highest tau-b as measured is that of warm. Its first teacher, A, is the best as "
        "measured [0.000, 0.010].",
        "Better than global, difference of tau-b: warm 0.50 [0.30, 0.70].",
        "Worse than global, difference of tau-b: lark -0.90 [-1.20, -0.60].",
        "Cannot be told apart from global: length.",
    )


def test_few_different_means_carry_no_claim() -> None:
    metrics = (
        metric("global", near(0.3, 0.5)),
        metric("warm", near(0.8, 0.1), near(0.5, 0.2), different=5),
    )
    assert verdict(agreed(*metrics, different=5), SURE)[-1] == (
        "Whether a metric is better than global is not said: the teachers have 5 different "
        "means, and 6 are the least."
    )
    assert not any("global" in line for line in verdict(agreed(*metrics, baseline=None), SURE))


def test_no_metric_has_an_order() -> None:
    assert verdict(agreed(metric("global", NOTHING)), SURE)[1:] == (
        "No metric has an order of the teachers.",
    )


def test_who_carries_the_agreement() -> None:
    found = Ablation(
        {"global": 0.3, "warm": 0.5},
        (
            LeftOut(
                "A",
                ("A",),
                {"global": 0.1, "warm": 0.45},
                {"global": near(-0.2, 0.3), "warm": near(-0.05, 0.1)},
            ),
            LeftOut(
                "easy",
                ("A", "B"),
                {"global": 0.4, "warm": 0.7},
                {"global": near(0.1, 0.1), "warm": near(0.2, 0.15)},
            ),
        ),
    )
    lines = verdict(
        agreed(metric("global", near(0.3, 0.5)), metric("warm", near(0.5, 0.5))),
        SURE, ablation=found,
    )  # fmt: skip
    assert lines[-2:] == (
        "Without easy, the tau-b of warm goes from 0.50 to 0.70, the largest change in the pool: "
        "0.20 [0.05, 0.35].",
        "Without A, the tau-b of global goes from 0.30 to 0.10, the largest change in the pool: "
        "-0.20 [-0.50, 0.10].",
    )


@pytest.mark.parametrize("other_seeds", [True, False])
def test_gains_of_selections(other_seeds: bool) -> None:
    found = Gains(
        "s",
        (
            Gain("local", "random", near(0.05, 0.02)),
            Gain("mixed", "random", near(0.01, 0.02)),
            Gain("local", "best teacher", near(-0.08, 0.03)),
            Gain("mixed", "best teacher", near(-0.02, 0.03)),
        ),
        {"A": 1.0}, other_seeds,
    )  # fmt: skip
    how = "other seeds and items" if other_seeds else "other items of the same seeds"
    assert verdict(agreed(metric("global", near(0.3, 0.5))), SURE, gains=found)[-4:] == (
        "Better than the arm random: local 0.050 [0.030, 0.070].",
        "Cannot be told apart from the arm random: mixed.",
        f"Worse than the best single teacher (chosen on {how}): local -0.080 [-0.110, -0.050].",
        f"Cannot be told apart from the best single teacher (chosen on {how}): mixed.",
    )


def test_over_several_results() -> None:
    def pooled(name: str, tau: Estimate, difference: Estimate, regret: float) -> PooledMetric:
        values = {"one": tau.value, "two": tau.value}
        of = claim(difference, 8)
        cost = near(regret, 0.01)
        return PooledMetric(
            name, values, tau, tau, difference, difference, of, cost, 2 * regret, 0.5
        )

    def of(*metrics: PooledMetric, gains: tuple[PooledGain, ...] = ()) -> Pooled:
        return Pooled(("one", "two"), "global" if metrics else None, metrics, (), gains)

    base = pooled("global", near(0.3, 0.4), NOTHING, 0.08)
    warm, local, wrong = (
        pooled("warm", near(0.6, 0.2), near(0.3, 0.2), 0.05),
        pooled("local", near(0.35, 0.4), near(0.05, 0.2), 0.1),
        pooled("wrong", near(-0.5, 0.2), near(-0.8, 0.2), 0.3),
    )
    costs = (
        "Lost by training on a metric's first teacher instead of the best as measured, on average"
    )
    assert pooled_verdict(of(base, warm, local, wrong)) == (
        "Over 2 results, agree with the order after training, mean tau-b: warm 0.60 [0.40, 0.80].",
        "Put teachers in the opposite order, mean tau-b: wrong -0.50 [-0.70, -0.30].",
        "Better than global, difference of tau-b: warm 0.30 [0.10, 0.50].",
        "Worse than global, difference of tau-b: wrong -0.80 [-1.00, -0.60].",
        "Cannot be told apart from global: local.",
        f"{costs}: warm 0.050 [0.040, 0.060], at worst 0.100; "
        "global 0.080 [0.070, 0.090], at worst 0.160.",
    )
    mixed = PooledGain("local", BEST_TEACHER, near(-0.1, 0.05), {"one": -0.1, "two": -0.1})
    assert pooled_verdict(of(base, local, gains=(mixed,))) == (
        "Over 2 results, no metric's order can be told apart from a random one.",
        "Cannot be told apart from global: local.",
        f"{costs}: global 0.080 [0.070, 0.090], at worst 0.160.",
        "Worse than the best single teacher: local -0.100 [-0.150, -0.050].",
    )
    for noise, which in ((["one"], "this order counts"), (["one", "two"], "these orders count")):
        assert pooled_verdict(of(base, local), noise)[0] == (
            f"In {len(noise)} of 2 results the teachers cannot be told apart after training "
            f"({'; '.join(noise)}): {which} here like the others."
        )
    assert pooled_verdict(of()) == pooled_verdict(of(), ["one"]) == ()


def test_the_words_claim_no_difference_where_there_is_none() -> None:
    draw, claims, random = np.random.default_rng(0), 0, 0
    for _ in range(40):
        known, measured = study(draw, teachers=12, metrics=4, correlation=0.0, in_common=0.0)
        lines = verdict(agreement(known, measured, iters=300), reliability(known))
        claims += any(line.startswith(("Better than", "Worse than")) for line in lines)
        random += any("can be told apart from a random one" in line for line in lines)
    assert claims / 40 <= 0.05
    assert random / 40 >= 0.9
