"""Step scores by position: what a step weighs in a tenth, and which responses count."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.metrics import steps
from lnat_plugins.report.data import positions
from lnat_plugins.scoring.record import ScoredResponse
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


def test_many_responses_are_as_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition, response by response, against blocks of responses of mixed lengths."""
    generator = np.random.default_rng(5)
    rows = []
    for i in range(40):
        scores = -generator.random((2, int(generator.integers(1, 14)))) - 0.1
        if i % 9 == 0:
            scores[i % 2, -1] = math.nan
        rows.append(row(f"p{i // 2}", "AB"[i % 2], scores[0].tolist(), whole=scores[1].tolist()))

    def tenths(scores: list[float]) -> list[float]:
        n, found = len(scores), []
        for tenth in range(10):
            low, high = tenth / 10, (tenth + 1) / 10
            covered = [max(0.0, min(high, (i + 1) / n) - max(low, i / n)) for i in range(n)]
            found.append(sum(c * s for c, s in zip(covered, scores, strict=True)) / sum(covered))
        return found

    whole = [means_of(one, "4") + means_of(one, "global") for one in rows]
    used = [one for one, means in zip(rows, whole, strict=True) if not any(map(math.isnan, means))]
    expected = {
        (window, teacher): np.mean(
            [tenths(means_of(one, window)) for one in used if teacher in ("", one.teacher)], axis=0
        )
        for window in ("4", "global")
        for teacher in ("", "A", "B")
    }
    monkeypatch.setattr(steps, "_BLOCK", 7)
    found = positions(rows, ["4", "global"], "4")
    assert (found.responses, found.dropped) == (len(used), 40 - len(used))
    for window in ("4", "global"):
        np.testing.assert_allclose(found.means[window], expected[window, ""], rtol=1e-12)
    for teacher in "AB":
        own = expected["4", teacher]
        np.testing.assert_allclose(found.by_teacher[teacher], own, rtol=1e-12)
        gains = expected["global", teacher] - own
        np.testing.assert_allclose(found.gains[teacher], gains, atol=1e-12)


def means_of(one: ScoredResponse, window: str) -> list[float]:
    found = one.record.step_means(window)
    assert found is not None
    return found
