"""Masters by hand: rewards standardised within the prompt, and what stands in for the teacher."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnat_plugins.metrics.naturalness import local_naturalness
from tests.metrics.rows import Row, rate, record_with


def one(
    mean: float, correct: bool | None = True, prompt: str = "p0", extra: Mapping[str, Any] = {}
) -> Row:
    """A response of two steps of two tokens, each with that mean log-probability."""
    return Row(prompt, "QwQ", record_with((2 * mean, 2 * mean), (2, 2)), "", correct, extra)


def test_by_hand() -> None:
    # r = 1 − 1 = 0, 0 − 1 = −1, 1 − 3 = −2: mean −1, variance 2/3.
    found = rate("masters", one(-1.0), one(-1.0, correct=False), one(-3.0)).values
    assert found == pytest.approx((math.sqrt(1.5), 0.0, -math.sqrt(1.5)))


def test_a_right_answer_weighs_as_much_as_one_nat_per_token() -> None:
    assert rate("masters", one(-2.0), one(-1.0, correct=False)).values == (0.0, 0.0)


def test_what_the_teacher_gave_takes_the_place_of_naturalness() -> None:
    # Σ log p of the student: −4, −8, −12; of the teacher −2, −2, −14; d = −(−2 + 4) / 4, …
    rows = [one(-1.0, extra={"teacher_logprobs": [-1.5, -0.5]}),
            one(-2.0, extra={"teacher_logprobs": -2.0}),
            one(-3.0, extra={"teacher_logprobs": [-14]})]  # fmt: skip
    d = [-0.5, -1.5, 0.5]
    mean = sum(d) / 3
    deviation = math.sqrt(sum((x - mean) ** 2 for x in d) / 3)
    assert rate("masters", *rows).values == pytest.approx([(x - mean) / deviation for x in d])


@pytest.mark.parametrize(
    "given", [None, [], [0.5], ["-1"], "-1", True, [True], {"a": 1}, [math.nan]]
)
def test_where_one_row_lacks_it_all_are_compared_by_naturalness(given: object) -> None:
    rows = [one(-1.0, extra={"teacher_logprobs": [-9.0]}),
            one(-2.0, extra={"teacher_logprobs": given})]  # fmt: skip
    assert rate("masters", *rows).values == pytest.approx((1.0, -1.0))


def test_prompts_do_not_see_each_other() -> None:
    rows = [one(-1.0), one(-9.0, prompt="p1"), one(-2.0), one(-5.0, prompt="p1")]
    assert rate("masters", *rows).values == pytest.approx((1.0, -1.0, -1.0, 1.0))


def test_unknown_correctness_is_undefined_and_takes_no_part() -> None:
    ratings = rate("masters", one(-1.0), one(-50.0, correct=None), one(-2.0))
    assert ratings.values[::2] == pytest.approx((1.0, -1.0))
    assert ratings.reasons[1] == "it is not known whether the response is correct"


def test_one_response_alone_is_undefined() -> None:
    ratings = rate("masters", one(-1.0), one(-1.0, correct=None))
    assert ratings.reasons[0] == "no other response to the prompt to compare with"


@settings(max_examples=100)
@given(
    st.lists(st.floats(-20, -0.01), min_size=2, max_size=7).filter(
        lambda means: max(means) - min(means) > 1e-6
    )
)
def test_it_is_the_standard_score(means: list[float]) -> None:
    rewards = [1 + local_naturalness(one(mean).record, "4") for mean in means]
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    expected = [(r - mean) / deviation for r in rewards]
    found = rate("masters", *map(one, means)).values
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", [1e300, 1e154, 1e20])
def test_numbers_whose_squares_are_too_large(scale: float) -> None:
    rows = [one(-1.0, extra={"teacher_logprobs": -scale * k}) for k in (1, 2, 3)]
    found = rate("masters", *rows).values
    assert found == pytest.approx((-math.sqrt(1.5), 0.0, math.sqrt(1.5)), abs=1e-9)


def test_equal_rewards_are_no_difference_however_they_round() -> None:
    reward = -0.95625
    assert statistics.fmean([reward] * 3) != reward
    assert rate("masters", *[one(reward, correct=False)] * 3).values == (0.0,) * 3
    tiny = [one(-1.0, extra={"teacher_logprobs": -4.0 - 2**-50 * (k == 0)}) for k in range(50)]
    assert all(math.isfinite(value) for value in rate("masters", *tiny).values)
