"""LARK by hand: what depends on the other responses to the prompt, and what does not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.rows import Row, rate, record_with, row


def one(loss: float, brier: float, prompt: str = "p0", size: int = 2) -> Row:
    """A response with that mean loss and that mean Brier score."""
    record = record_with((-loss * size,), (size,), brier=(brier * size,), brier_top50=(0.5,))
    return row(record, prompt)


def test_by_hand() -> None:
    # ΣL = 4, ΣB = 1: g = 2·B/4 − L/16.
    found = rate("lark", one(1.0, 0.25), one(3.0, 0.75)).values
    assert found == pytest.approx((0.125 - 1 / 16, 0.375 - 3 / 16))


def test_the_top50_variant_reads_its_own_brier_and_the_same_loss() -> None:
    rows = one(1.0, 0.25), one(3.0, 0.75)
    assert rate("lark_top50", *rows).values == pytest.approx((0.125 - 0.5 / 16, 0.125 - 1.5 / 16))


def test_a_single_response_has_its_ratio() -> None:
    assert rate("lark", one(2.0, 0.5)).values == pytest.approx((0.25,))


def test_length_alone_changes_nothing() -> None:
    short, long = one(1.0, 0.25), one(1.0, 0.25, size=50)
    first, second = rate("lark", short, long).values
    assert first == pytest.approx(second)


def test_prompts_do_not_see_each_other() -> None:
    mine, other = [one(1.0, 0.25), one(3.0, 0.75)], [one(9.0, 0.1, "p1"), one(0.1, 0.9, "p1")]
    mixed = rate("lark", mine[0], other[0], mine[1], other[1]).values
    assert mixed[::2] == pytest.approx(rate("lark", *mine).values)
    assert mixed[1::2] == pytest.approx(rate("lark", *other).values)


def test_an_undefined_response_is_not_in_the_sums() -> None:
    broken = row(record_with((math.nan, -1.0), undefined={"global": "too long"}, brier=(1, 1)))
    rows = one(1.0, 0.25), broken, one(3.0, 0.75)
    ratings = rate("lark", *rows)
    assert ratings.reasons == ("", "too long", "")
    assert ratings.values[::2] == pytest.approx(rate("lark", rows[0], rows[2]).values)


def test_no_loss_at_all_is_undefined_for_that_prompt() -> None:
    ratings = rate("lark", one(0.0, 0.0), one(0.0, 0.0), one(1.0, 0.25, "p1"))
    certain = "the student is certain of every response to the prompt"
    assert ratings.reasons == (certain, certain, "")


pairs = st.lists(st.tuples(st.floats(0.01, 20), st.floats(0.0, 2)), min_size=1, max_size=6)


@settings(deadline=None)
@given(pairs, st.floats(0.1, 10), st.floats(0.1, 10))
def test_scales_with_brier_and_inversely_with_loss(
    group: list[tuple[float, float]], losses: float, briers: float
) -> None:
    plain = rate("lark", *(one(loss, brier) for loss, brier in group)).values
    scaled = rate("lark", *(one(loss * losses, brier * briers) for loss, brier in group)).values
    expected = [value * briers / losses for value in plain]
    assert scaled == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(pairs)
def test_the_gains_of_a_prompt_sum_to_its_ratio(group: list[tuple[float, float]]) -> None:
    total = math.fsum(rate("lark", *(one(loss, brier) for loss, brier in group)).values)
    assert total == pytest.approx(sum(b for _, b in group) / sum(x for x, _ in group), abs=1e-9)
