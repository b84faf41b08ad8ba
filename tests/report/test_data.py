"""Step scores by position: what a step weighs in a tenth, and which responses count."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.report.data import positions
from tests.report.builders import row


def test_ten_steps_fill_ten_tenths() -> None:
    scores = [-float(place) for place in range(10)]
    found = positions([row("p", "A", scores)], ["4", "global"], "4")
    assert found.means["4"] == pytest.approx(tuple(scores))
    assert found.gains["A"] == (0.0,) * 10


def test_a_long_response_weighs_no_more_than_a_short_one() -> None:
    long = row("p", "A", [-1.0] * 10 + [-3.0] * 10)
    short = row("q", "A", [-2.0] * 10)
    found = positions([long, short], ["4"], "4")
    assert found.means["4"] == pytest.approx((-1.5,) * 5 + (-2.5,) * 5)


@pytest.mark.parametrize(
    ("steps", "means"),
    [
        (1, [0] * 10),
        (2, [0] * 5 + [1] * 5),
        (3, [0, 0, 0, 2 / 3, 1, 1, 4 / 3, 2, 2, 2]),
        (4, [0, 0, 0.5, 1, 1, 2, 2, 2.5, 3, 3]),
        (30, list(range(1, 30, 3))),
    ],
)
def test_a_step_weighs_in_a_tenth_what_it_takes_of_it(steps: int, means: list[float]) -> None:
    found = positions([row("p", "A", [-1.0 - place for place in range(steps)])], ["4"], "4")
    assert found.means["4"] == pytest.approx(tuple(-1.0 - mean for mean in means))


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 13, 101])
def test_the_tenths_average_to_the_score(steps: int) -> None:
    scores = [-math.sqrt(place + 1) for place in range(steps)]
    found = positions([row("p", "A", scores)], ["4"], "4")
    assert math.fsum(found.means["4"]) / 10 == pytest.approx(math.fsum(scores) / steps)


def test_flat_responses_of_any_length_give_flat_lines() -> None:
    """Otherwise the line would show which responses are long enough to be in a tenth."""
    rows = [row(f"p{n}", "A", [-float(n)] * n) for n in (1, 3, 12)]
    assert positions(rows, ["4"], "4").means["4"] == pytest.approx((-16 / 3,) * 10)


def test_all_windows_rest_on_the_same_responses() -> None:
    whole = row("p", "A", [-1.0] * 10, whole=[-0.5] * 10)
    cut = row("q", "B", [-9.0] * 10, whole=[-9.0] * 9 + [math.nan])
    found = positions([whole, cut], ["4", "global"], "4")
    assert found.means.keys() == {"4", "global"}
    assert found.means["4"] == pytest.approx((-1.0,) * 10)
    assert found.means["global"] == pytest.approx((-0.5,) * 10)
    assert (found.responses, found.dropped) == (1, 1)
    assert found.gains == {"A": pytest.approx((0.5,) * 10)}


def test_a_window_that_nobody_has_is_left_out() -> None:
    rows = [row("p", "A", [-1.0] * 10, whole=[math.nan] * 10)]
    found = positions(rows, ["4", "global"], "4")
    assert list(found.means) == ["4"]
    assert found.gains == {}
    assert positions(rows, ["global"], "global").means == {}
