"""How much a window shows of what precedes a step: by hand and by plain loops."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from lnat_plugins.ranking.confounds import shown_context
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps.windows import parse_window
from tests.helpers_samples import make_record


def record(tokens: list[int], windows: tuple[str, ...] = ("1",)) -> StepSums:
    return make_record("A", {w: [-1.0] * len(tokens) for w in windows}, tokens)


def test_by_hand() -> None:
    assert shown_context([record([10, 30, 5])]) == pytest.approx({"1": (1 + 30 / 40) / 2})


def test_responses_count_alike_however_many_steps_they_have() -> None:
    both = [record([1, 1]), record([1] * 101)]
    assert shown_context(both)["1"] == pytest.approx((1 + shown_context(both[1:])["1"]) / 2)


def test_steps_without_a_token_are_neither_shown_nor_counted() -> None:
    assert shown_context([record([0, 4, 0, 6])]) == {"1": 0.0}


def test_the_ends_of_the_scale() -> None:
    found = shown_context([record([3, 4, 5], ("0", "2", "100%", "global"))])
    assert found == {"0": 0.0, "2": 1.0, "100%": 1.0}


def test_where_nothing_precedes_a_step_there_is_no_share() -> None:
    assert math.isnan(shown_context([record([5]), record([0])])["1"])
    assert shown_context([]) == {}


@pytest.mark.parametrize("window", ["0", "1", "3", "10%", "50%"])
def test_the_loops_agree(window: str) -> None:
    draw = random.Random(window)
    records = [
        record([draw.randint(0, 9) for _ in range(draw.randint(1, 12))], (window,))
        for _ in range(10)
    ]
    of_responses = []
    for one in records:
        of_steps = []
        for step, count in enumerate(one.tokens):
            start = step - parse_window(window).preceding(step)
            before = sum(one.tokens[:step])
            if count and before:
                of_steps.append(sum(one.tokens[start:step]) / before)
        if of_steps:
            of_responses.append(statistics.fmean(of_steps))
    assert shown_context(records)[window] == pytest.approx(statistics.fmean(of_responses))
