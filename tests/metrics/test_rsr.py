"""RSR by hand, and how a teacher's figure is made."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.record import StepSums
from tests.metrics.rows import reason, record_with, value

# Ranks 1, 3 at NLL 1, 2; ranks 2, 10 at NLL .5, .5.
CALM = record_with((-1.0, -2.0), (1, 1), capped_rank=(1.0, 3.0))
WILD = record_with((-0.5, -0.5), (1, 1), capped_rank=(2.0, 10.0))


def parts(record: StepSums) -> tuple[float, float]:
    return METRICS["rsr"].parts_of(record, "4")


def test_ranks_over_surprise() -> None:
    assert value("rsr", CALM) == pytest.approx(4 / 3)
    assert value("rsr", WILD) == pytest.approx(12.0)
    assert (parts(CALM), parts(WILD)) == ((2.0, 1.5), (6.0, 0.5))


def test_a_teacher_is_a_ratio_of_means() -> None:
    ranks, surprise = zip(parts(CALM), parts(WILD), strict=True)
    assert METRICS["rsr"].aggregate == "ratio_of_means"
    assert fmean(ranks) / fmean(surprise) == pytest.approx(4.0)
    assert fmean([value("rsr", CALM), value("rsr", WILD)]) == pytest.approx(20 / 3)


def test_tokens_weigh_the_same_in_every_step() -> None:
    record = record_with((-1.0, -5.0), (1, 3), capped_rank=(1.0, 8.0))
    assert value("rsr", record) == pytest.approx(9 / 6)
    assert parts(record) == (9 / 4, 6 / 4)


def test_no_surprise_is_undefined() -> None:
    record = record_with((0.0, -0.0), (1, 1), capped_rank=(1.0, 1.0))
    assert reason("rsr", record).startswith("the student is certain of every token")
    assert parts(record) == (1.0, 0.0)


def test_the_parts_of_what_is_not_there_are_nan() -> None:
    rank, surprise = parts(record_with())
    assert math.isnan(rank)
    assert surprise == 2.0
