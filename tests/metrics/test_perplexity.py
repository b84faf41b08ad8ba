"""IFD, CAR and entropy by hand."""

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


def parts(record: StepSums) -> tuple[float, float]:
    return METRICS["car"].parts_of(record, "4")


def test_car_discounts_the_reward() -> None:
    # NLL 16 / 8 = 2 nats per token.
    assert value("car", record_with(reward=14.0)) == 14 / (1 + 3 * 2)
    assert parts(record_with(reward=14.0)) == (14.0, 7.0)


def test_a_teachers_car_is_that_of_its_data() -> None:
    """arXiv 2411.07133: mean reward / (1 + β · mean loss)."""
    one, two = record_with(reward=14.0), record_with((-8.0,), (1,), reward=2.0)
    rewards, discounts = zip(parts(one), parts(two), strict=True)
    assert METRICS["car"].aggregate == "ratio_of_means"
    assert fmean(rewards) / fmean(discounts) == pytest.approx(8 / (1 + 3 * (2 + 8) / 2))
    assert fmean([value("car", one), value("car", two)]) == pytest.approx((2 + 2 / 25) / 2)


def test_with_a_negative_reward_surprise_raises_car() -> None:
    natural, strange = (
        record_with((-1.0,), (1,), reward=-1.0),
        record_with((-9.0,), (1,), reward=-1),
    )
    assert value("car", natural) < value("car", strange)


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
