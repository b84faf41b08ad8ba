"""The margin of a pilot: how far stride scores mislead, and how often a further prompt is worse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.budget.margin import (
    Pilot,
    best_of,
    calibrate,
    near_best,
    prompts_for,
    shortfall,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("error", "prompts"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.3, 3), (0.49, 2), (0.25, 3)]
)
def test_the_pilot_is_as_large_as_the_error_needs(error: float, prompts: int) -> None:
    assert prompts_for(error) == prompts
    assert calibrate([0.0] * prompts, 0).error <= error + 1e-12
    assert prompts == 1 or calibrate([0.0] * (prompts - 1), 0).error > error


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([-1.0, -2.0], [0]), ([-2.0, -1.0, -1.0 - 1e-15], [1, 2]), ([NAN, -3.0], [1]),
        ([NAN, NAN], []), ([], []),
    ],
)  # fmt: skip
def test_the_best_and_those_equal_to_it(scores: list[float], best: list[int]) -> None:
    assert best_of(scores) == best


@pytest.mark.parametrize(
    ("scores", "margin", "near"),
    [
        ([-1.0, -1.5, -1.25], 0.25, [0, 2]), ([-1.0, -1.0], 0.0, [0, 1]),
        ([-1.0, NAN, -3.0], 0.5, [0, 1]), ([NAN, NAN], 0.1, [0, 1]),
        ([-1.0, -9.0], math.inf, [0, 1]),
    ],
)  # fmt: skip
def test_candidates_are_near_the_best_or_without_a_score(
    scores: list[float], margin: float, near: list[int]
) -> None:
    assert near_best(scores, margin) == near


@pytest.mark.parametrize(
    ("stride", "exact", "found"),
    [
        ([-1.0, -1.2], [-1.3, -1.4], 0.0),
        ([-1.0, -1.25], [-1.4, -1.3], 0.25),
        ([-1.0, -1.25, -1.5], [-1.4, -1.3, -1.3], 0.25),  # of equal ones the nearest
        ([-1.0, NAN], [-1.4, -1.3], 0.0),  # a candidate whatever the margin is
        ([-1.0, -1.2], [-1.4, NAN], None),
        ([NAN, NAN], [NAN, NAN], None),
        ([NAN, -1.0, -1.5], [NAN, -2.0, -1.9], 0.5),
    ],
)
def test_the_shortfall_of_a_prompt(
    stride: list[float], exact: list[float], found: float | None
) -> None:
    assert shortfall(stride, exact) == found


def test_without_a_comparison_the_margin_is_infinite() -> None:
    assert calibrate([], 0) == Pilot(0, 0, math.inf) and calibrate([], 0).error == 1.0


@pytest.mark.parametrize("prompts", [9, 19])
def test_a_further_prompt_exceeds_the_margin_as_often_as_said(prompts: int) -> None:
    # Heavy tails: the statement needs no law. 4,000 pilots, standard error at most .005.
    generator = np.random.default_rng(5)
    drawn = generator.pareto(1.5, (4000, prompts + 1))
    exceeded = [calibrate(row[:-1].tolist(), 0).margin < row[-1] for row in drawn]
    assert np.mean(exceeded) == pytest.approx(1 / (prompts + 1), abs=0.016)
