"""IFD, CAR, RSR and entropy by hand."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.record import StepSums
from tests.metrics.rows import reason, record_with, value

NAMES = ("entropy", "ifd", "car")


def test_entropy_is_the_mean_over_tokens_not_over_steps() -> None:
    assert value("entropy", record_with(tokens=(1, 3), entropy=(3.0, 1.0))) == 1.0


def test_ifd_is_a_ratio_of_losses() -> None:
    easy = record_with(prompted=-6.0, unprompted=-12.0, unprompted_tokens=3.0)
    hard = record_with(prompted=-12.0, unprompted=-6.0, unprompted_tokens=3.0)
    assert (value("ifd", easy), value("ifd", hard)) == (0.5, 2.0)


def test_ifd_ignores_the_windows_sum() -> None:
    """Without the prompt the first token may have nothing before it, and is in neither sum."""
    record = record_with((-90.0, -12.0), prompted=-3.0, unprompted=-4.0, unprompted_tokens=7.0)
    assert value("ifd", record) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("unprompted", "tokens", "message"),
    [
        (0.0, 0.0, "no token can be scored without the prompt"),
        (0.0, 3.0, "the student is certain of every token even without the prompt"),
    ],
)
def test_ifd_without_a_denominator_is_undefined(
    unprompted: float, tokens: float, message: str
) -> None:
    record = record_with(prompted=-1.0, unprompted=unprompted, unprompted_tokens=tokens)
    assert reason("ifd", record) == message


def car_parts(record: StepSums) -> tuple[float, float]:
    return METRICS["car"].parts_of(record, "4")


def test_car_discounts_the_reward() -> None:
    # NLL 16 / 8 = 2 nats per token.
    assert value("car", record_with(reward=14.0)) == 14 / (1 + 3 * 2)
    assert car_parts(record_with(reward=14.0)) == (14.0, 7.0)


def test_a_teachers_car_is_that_of_its_data() -> None:
    """arXiv 2411.07133: mean reward / (1 + β · mean loss)."""
    one, two = record_with(reward=14.0), record_with((-8.0,), (1,), reward=2.0)
    rewards, discounts = zip(car_parts(one), car_parts(two), strict=True)
    assert METRICS["car"].aggregate == "ratio_of_means"
    assert fmean(rewards) / fmean(discounts) == pytest.approx(8 / (1 + 3 * (2 + 8) / 2))
    assert fmean([value("car", one), value("car", two)]) == pytest.approx((2 + 2 / 25) / 2)


def test_with_a_negative_reward_surprise_raises_car() -> None:
    natural, strange = (
        record_with((-1.0,), (1,), reward=-1.0),
        record_with((-9.0,), (1,), reward=-1),
    )
    assert value("car", natural) < value("car", strange)


# Ranks 1, 3 at NLL 1, 2; ranks 2, 10 at NLL .5, .5.
CALM = record_with((-1.0, -2.0), (1, 1), capped_rank=(1.0, 3.0))
WILD = record_with((-0.5, -0.5), (1, 1), capped_rank=(2.0, 10.0))


def rsr_parts(record: StepSums) -> tuple[float, float]:
    return METRICS["rsr"].parts_of(record, "4")


def test_rsr_is_ranks_over_surprise() -> None:
    assert value("rsr", CALM) == pytest.approx(4 / 3)
    assert value("rsr", WILD) == pytest.approx(12.0)
    assert (rsr_parts(CALM), rsr_parts(WILD)) == ((2.0, 1.5), (6.0, 0.5))


def test_a_teachers_rsr_is_a_ratio_of_means() -> None:
    ranks, surprise = zip(rsr_parts(CALM), rsr_parts(WILD), strict=True)
    assert METRICS["rsr"].aggregate == "ratio_of_means"
    assert fmean(ranks) / fmean(surprise) == pytest.approx(4.0)
    assert fmean([value("rsr", CALM), value("rsr", WILD)]) == pytest.approx(20 / 3)


def test_tokens_weigh_the_same_in_every_step_of_rsr() -> None:
    record = record_with((-1.0, -5.0), (1, 3), capped_rank=(1.0, 8.0))
    assert value("rsr", record) == pytest.approx(9 / 6)
    assert rsr_parts(record) == (9 / 4, 6 / 4)


def test_rsr_without_surprise_is_undefined() -> None:
    record = record_with((0.0, -0.0), (1, 1), capped_rank=(1.0, 1.0))
    assert reason("rsr", record).startswith("the student is certain of every token")
    assert rsr_parts(record) == (1.0, 0.0)


def test_the_parts_of_rsr_are_nan_without_ranks() -> None:
    rank, surprise = rsr_parts(record_with())
    assert math.isnan(rank)
    assert surprise == 2.0


@pytest.mark.parametrize("name", NAMES)
def test_a_statistic_that_is_not_there_is_named(name: str) -> None:
    first = min(METRICS[name].needs)
    assert reason(name, record_with()) == f"the statistic {first!r} was not gathered"
    assert math.isnan(value(name, record_with()))


@pytest.mark.parametrize("name", NAMES)
def test_the_reason_of_a_statistic_is_reported(name: str) -> None:
    needed = METRICS[name].needs
    by_step = {"entropy": (math.nan, 1.0)}
    record = record_with(
        undefined=dict.fromkeys(needed, "the row has none"),
        **{each: by_step.get(each, math.nan) for each in needed},
    )
    assert reason(name, record) == "the row has none"
