"""ASLEC-DROP by hand."""

from __future__ import annotations

import pytest

from tests.metrics.rows import reason, record_with, value


def test_the_first_token_of_each_step_is_left_out() -> None:
    # Two steps: −3, −1 and −5, −1, −2, −4.
    record = record_with(
        (-4.0, -12.0), (2, 4), first_token=(-3.0, -5.0), first_two_tokens=(-4.0, -6.0)
    )
    assert value("aslec_drop", record) == pytest.approx(-(1 + 1 + 2 + 4) / 4)
    assert value("aslec_drop2", record) == pytest.approx(-(2 + 4) / 2)


def test_a_short_step_loses_no_more_than_it_has() -> None:
    # Steps of one token, of none, and of three: −3; −5, −1, −2.
    record = record_with(
        (-3.0, 0.0, -8.0), (1, 0, 3),
        first_token=(-3.0, 0.0, -5.0), first_two_tokens=(-3.0, 0.0, -6.0),
    )  # fmt: skip
    assert value("aslec_drop", record) == pytest.approx(-1.5)
    assert value("aslec_drop2", record) == pytest.approx(-2.0)


def test_long_steps_no_longer_gain_from_their_first_token() -> None:
    """The same tokens behind a first one at −9: global naturalness prefers the longer step."""
    short = record_with((-9.0 - 1.0,), (2,), first_token=(-9.0,))
    long = record_with((-9.0 - 9.0,), (10,), first_token=(-9.0,))
    assert value("global_naturalness", long) > value("global_naturalness", short)
    assert value("aslec_drop", long) == value("aslec_drop", short) == -1.0


@pytest.mark.parametrize(
    ("name", "tokens", "message"),
    [
        ("aslec_drop", (1, 1), "no step has more than 1 token"),
        ("aslec_drop2", (2, 1), "no step has more than 2 tokens"),
    ],
)
def test_nothing_left_is_undefined(name: str, tokens: tuple[int, int], message: str) -> None:
    record = record_with((-1, -2), tokens, first_token=(-1, -2), first_two_tokens=(-1, -2))
    assert reason(name, record) == message
