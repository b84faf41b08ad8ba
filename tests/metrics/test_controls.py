"""Controls: the counts, and a random score that is uniform and the same in every run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.helpers_samples import make_record
from tests.metrics.rows import Row, rate, record_with, value


def test_controls_are_counts() -> None:
    record = make_record(tokens=[2, 18])
    assert value("n_tokens", record) == 20
    assert value("n_steps", record) == 2
    assert value("mean_step_tokens", record) == 10
    assert value("first_token_ratio", record) == pytest.approx(0.1)


# the random score


def one(prompt: str = "p0", teacher: str = "QwQ", sample: int | str = 0) -> Row:
    return Row(prompt, teacher, record_with(teacher=teacher, sample=sample))


def test_the_draw_does_not_change_between_versions() -> None:
    assert rate("random", one()).values == pytest.approx((0.9297541103312,), abs=1e-12)


def test_other_responses_do_not_change_the_draw() -> None:
    rows = [one(p, t, s) for p in ("p0", "p1") for t in ("QwQ", "R1") for s in (0, 1)]
    together = rate("random", *reversed(rows)).values[::-1]
    assert together == tuple(rate("random", row).values[0] for row in rows)


def test_scores_do_not_change_the_draw() -> None:
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
def test_another_response_has_another_draw(left: Row, right: Row) -> None:
    assert rate("random", left).values != rate("random", right).values


def test_the_draws_are_uniform() -> None:
    values = np.array(rate("random", *(one(f"p{i}") for i in range(2000))).values)
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.01
