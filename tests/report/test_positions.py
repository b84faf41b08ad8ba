"""Step scores by position: where each step falls, and which responses count."""

from __future__ import annotations

import math

import pytest

from lnat_plugins.report.positions import positions
from tests.report.builders import row


def test_ten_steps_fill_ten_bins() -> None:
    scores = [-float(place) for place in range(10)]
    found = positions([row("p", "A", scores)], ["4", "global"], "4")
    assert found.means["4"] == tuple(scores)
    assert found.gains["A"] == (0.0,) * 10


def test_steps_share_a_bin_before_responses_do() -> None:
    """A response's bin is its own mean first, so that a long one weighs no more."""
    long = row("p", "A", [-1.0] * 10 + [-3.0] * 10)
    short = row("q", "A", [-2.0] * 10)
    found = positions([long, short], ["4"], "4")
    assert found.means["4"] == (-1.5,) * 5 + (-2.5,) * 5


def test_a_short_response_says_nothing_of_empty_bins() -> None:
    found = positions([row("p", "A", [-1.0, -2.0])], ["4"], "4")
    first, *rest = found.means["4"]
    assert (first, rest[4]) == (-1.0, -2.0)
    assert sum(map(math.isnan, found.means["4"])) == 8


def test_steps_without_a_token_do_not_count() -> None:
    some = positions([row("p", "A", [-1.0, 0.0, -2.0], tokens=[1, 0, 1])], ["4"], "4")
    assert (some.means["4"][0], some.means["4"][5]) == (-1.0, -2.0)
    assert sum(map(math.isnan, some.means["4"])) == 8


def test_all_windows_rest_on_the_same_responses() -> None:
    whole = row("p", "A", [-1.0] * 10, whole=[-0.5] * 10)
    cut = row("q", "B", [-9.0] * 10, whole=[-9.0] * 9 + [math.nan])
    found = positions([whole, cut], ["4", "global"], "4")
    assert found.means == {"4": (-1.0,) * 10, "global": (-0.5,) * 10}
    assert (found.responses, found.left_out) == (1, 1)
    assert found.gains == {"A": pytest.approx((0.5,) * 10)}


def test_a_window_that_nobody_has_is_left_out() -> None:
    rows = [row("p", "A", [-1.0] * 10, whole=[math.nan] * 10)]
    found = positions(rows, ["4", "global"], "4")
    assert list(found.means) == ["4"]
    assert found.gains == {}
    assert positions(rows, ["global"], "global").means == {}
