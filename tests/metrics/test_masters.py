"""Masters by hand: rewards standardised within the prompt, and what stands in for the teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

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
