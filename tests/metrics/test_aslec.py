"""ASLEC by hand; CASL on responses whose slope is known, and on some that have none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.rows import Row, rate, reason, record_with, row, value


def test_the_first_token_of_each_step_is_dropped() -> None:
    # Two steps: −3, −1 and −5, −1, −2, −4.
    record = record_with(
        (-4.0, -12.0), (2, 4), first_token=(-3.0, -5.0), first_two_tokens=(-4.0, -6.0)
    )
    assert value("aslec_drop", record) == pytest.approx(-(1 + 1 + 2 + 4) / 4)
    assert value("aslec_drop2", record) == pytest.approx(-(2 + 4) / 2)


def test_a_short_step_loses_no_more_than_it_has() -> None:
    # Steps of one token and of three: −3; −5, −1, −2.
    record = record_with(
        (-3.0, -8.0), (1, 3), first_token=(-3.0, -5.0), first_two_tokens=(-3.0, -6.0)
    )
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
def test_no_other_token_is_undefined(name: str, tokens: tuple[int, int], message: str) -> None:
    record = record_with((-1, -2), tokens, first_token=(-1, -2), first_two_tokens=(-1, -2))
    assert reason(name, record) == message


# CASL

FEW = "fewer than 5 responses to fit CASL on"
CONSTANT = "all responses have the same first-token ratio, so CASL has no slope"
NOTHING = "no step has more than 1 token"
# tokens per step, mean of the first tokens, mean of the others
SHAPES: Sequence[tuple[tuple[int, ...], float, float]] = (
    ((2, 6), -4.0, -1.0), ((3, 3, 4), -2.0, -1.5), ((10,), -5.0, -0.5),
    ((2, 2, 2), -3.0, -2.0), ((5, 4), -3.5, -0.25), ((7, 3, 2), -1.0, -3.0),
)  # fmt: skip


def one(tokens: Sequence[int], first: float, rest: float, teacher: str = "A") -> Row:
    """Its first tokens all at `first`, the others at `rest`."""
    sums = [first + (count - 1) * rest for count in tokens]
    return row(record_with(sums, tokens, teacher=teacher, first_token=[first] * len(tokens)))


def responses(teacher: str = "A") -> list[Row]:
    return [one(*shape, teacher) for shape in SHAPES]


def linear(b1: float, b2: float, g: float, c: float, sizes: Sequence[int]) -> list[Row]:
    """Responses of one step for which M = b1·M_non + b2·M_first + g·F + c holds exactly.

    M = F·first + (1 − F)·rest too, so that one of the two means follows from the other.
    """
    rows = []
    for size, first in zip(sizes, (-3.0, -5.0, -2.5, -7.0, -4.0, -6.0, -3.5), strict=False):
        f = 1 / size
        rest = (b2 * first + g * f + c - f * first) / (1 - f - b1)
        rows.append(one((size,), first, rest))
    return rows


def test_the_slope_of_a_pool_that_is_linear_is_found() -> None:
    rows = linear(0.6, 0.1, -0.5, -0.2, (4, 5, 8, 10, 16, 20, 25))
    means = rate("global_naturalness", *rows).values
    expected = [mean + 0.5 / row.record.n_tokens for mean, row in zip(means, rows, strict=True)]
    ratings = rate("aslec_casl", *rows)
    assert ratings.values == pytest.approx(expected, rel=1e-6)
    assert set(ratings.reasons) == {""}


def test_each_teacher_may_have_a_slope_of_its_own() -> None:
    mine, others = responses("A"), [one(tokens, f * 1.3, r - 1, "B") for tokens, f, r in SHAPES]
    both = rate("aslec_casl_by_teacher", *mine, *others).values
    alone = rate("aslec_casl", *mine).values + rate("aslec_casl", *others).values
    assert both == pytest.approx(alone)
    assert both != pytest.approx(rate("aslec_casl", *mine, *others).values, rel=1e-3)


def test_too_few_responses() -> None:
    ratings = rate("aslec_casl", *responses()[:4])
    assert ratings.reasons == (FEW,) * 4
    assert all(map(math.isnan, ratings.values))
    assert rate("aslec_casl", *responses()[:5]).reasons == ("",) * 5


def test_one_teacher_with_too_few_leaves_the_others_alone() -> None:
    rows = [*responses("A"), *responses("B")[:4]]
    assert rate("aslec_casl_by_teacher", *rows).reasons == ("",) * 6 + (FEW,) * 4
    assert rate("aslec_casl", *rows).reasons == ("",) * 10


def test_teachers_may_come_in_any_order_and_fail_for_reasons_of_their_own() -> None:
    flat = [one((4,), -n, -1 - 0.1 * n * n, "C") for n in range(1, 7)]
    rows = [one((1,), -1.0, 0.0, "A"), *responses("A"), *responses("B")[:4], *flat]
    ratings = rate("aslec_casl_by_teacher", *reversed(rows))
    assert ratings.reasons[::-1] == (NOTHING, *[""] * 6, *[FEW] * 4, *[CONSTANT] * 6)
    assert ratings.values[::-1][1:7] == pytest.approx(rate("aslec_casl", *responses("A")).values)


def test_a_response_of_first_tokens_alone_is_dropped_from_the_fit() -> None:
    bare = one((1, 1), -9.0, 0.0)
    ratings = rate("aslec_casl", *responses()[:3], bare, *responses()[3:])
    assert ratings.reasons == ("", "", "", NOTHING, "", "", "")
    assert [v for v in ratings.values if not math.isnan(v)] == pytest.approx(
        rate("aslec_casl", *responses()).values
    )
    assert rate("aslec_casl", *responses()[:4], bare).reasons == (FEW,) * 4 + (NOTHING,)


def test_a_constant_ratio_has_no_slope() -> None:
    rows = [one((4,) * (1 + n % 3), -n, -1 - 0.1 * n * n) for n in range(1, 7)]
    assert {row.record.n_steps / row.record.n_tokens for row in rows} == {0.25}
    assert set(rate("aslec_casl", *rows).reasons) == {CONSTANT}


def test_means_that_move_together_leave_the_slope_undetermined() -> None:
    rows = [one((size,), -0.3 * size, -0.1 * size - 0.7) for size in (3, 4, 5, 7, 9, 12)]
    assert set(rate("aslec_casl", *rows).reasons) == {"the responses are too alike to fit CASL on"}


@settings(deadline=None)
@given(st.permutations(range(len(SHAPES))), st.floats(0.1, 10))
def test_neither_order_nor_unit_matter(order: list[int], scale: float) -> None:
    rows = responses()
    plain = rate("aslec_casl", *rows).values
    scaled = [one(tokens, first * scale, rest * scale) for tokens, first, rest in SHAPES]
    found = rate("aslec_casl", *(scaled[i] for i in order)).values
    assert found == pytest.approx([plain[i] * scale for i in order], rel=1e-6)
