"""The control by lot: uniform, and the same in every run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.metrics.rows import Row, rate, record_with


def one(prompt: str = "p0", teacher: str = "QwQ", sample: int | str = 0) -> Row:
    return Row(prompt, teacher, record_with(teacher=teacher, sample=sample))


def test_the_lot_does_not_change_between_versions() -> None:
    assert rate("random", one()).values == pytest.approx((0.9297541103312,), abs=1e-12)


def test_others_do_not_change_the_lot() -> None:
    rows = [one(p, t, s) for p in ("p0", "p1") for t in ("QwQ", "R1") for s in (0, 1)]
    together = rate("random", *reversed(rows)).values[::-1]
    assert together == tuple(rate("random", row).values[0] for row in rows)


def test_scores_do_not_change_the_lot() -> None:
    other = Row("p0", "QwQ", record_with((-99.0,), (40,)))
    assert rate("random", other) == rate("random", one())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (one(sample=1), one(sample="1")),
        (one("p", "0a"), one("p0", "a")),
        (one(teacher="QwQ"), one(teacher="QwQ ")),
    ],
)
def test_who_is_not_the_same_draws_another_lot(left: Row, right: Row) -> None:
    assert rate("random", left).values != rate("random", right).values


def test_the_lots_are_uniform() -> None:
    values = np.array(rate("random", *(one(f"p{i}") for i in range(2000))).values)
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_a_response_without_a_token_takes_no_part() -> None:
    ratings = rate("random", Row("p0", "QwQ", record_with(tokens=(0, 0))))
    assert ratings.reasons == ("the response holds no token",)
