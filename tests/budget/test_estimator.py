"""Sampled steps: every draw of small cases against the definition, and the error by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from lnat_plugins.budget import (
    Estimate,
    drawn_steps,
    known_steps,
    mean_over_traces,
    with_global_pass,
    without_global_pass,
)
from lnat_plugins.steps.windows import parse_window

LOCAL = [-1.0, -2.5, -0.25, -4.0, -3.0, -0.5, -2.0, -6.0]
GLOBAL = [-1.0, -2.5, -0.25, -3.5, -2.0, -0.75, -1.5, -4.0]
KNOWN = 3


def every_draw(m: int, way: str) -> list[Estimate]:
    found = []
    for steps in itertools.combinations(range(KNOWN, len(LOCAL)), m):
        local = {step: LOCAL[step] for step in steps}
        found.append(
            with_global_pass(GLOBAL, local, KNOWN)
            if way == "with"
            else without_global_pass(LOCAL[:KNOWN], local, len(LOCAL))
        )
    return found


@pytest.mark.parametrize("way", ["with", "without"])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_the_mean_over_all_draws_is_the_definition(m: int, way: str) -> None:
    means = [each.mean for each in every_draw(m, way)]
    assert np.mean(means) == pytest.approx(np.mean(LOCAL), abs=1e-12)


@pytest.mark.parametrize("way", ["with", "without"])
@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_the_mean_variance_over_all_draws_is_the_variance_of_the_draws(m: int, way: str) -> None:
    draws = every_draw(m, way)
    true = np.var([each.mean for each in draws])
    assert np.mean([each.variance for each in draws]) == pytest.approx(true, abs=1e-12)


def test_one_draw_has_no_variance_and_all_have_none_left() -> None:
    assert math.isnan(every_draw(1, "with")[0].variance)
    assert every_draw(5, "with")[0].variance == 0
    assert without_global_pass([-1.0, -3.0], {}, 2) == Estimate(-2.0, 0.0)
    assert with_global_pass([-1.0, -3.0, -1.0], {2: -4.0}, 2) == Estimate(pytest.approx(-8 / 3), 0)
    assert math.isnan(without_global_pass([-1.0], {}, 2).mean)


def test_an_undefined_step_that_was_read_makes_the_estimate_undefined() -> None:
    assert math.isnan(with_global_pass(GLOBAL, {4: math.nan, 5: -1.0}, KNOWN).mean)
    assert math.isnan(with_global_pass([math.nan, *GLOBAL[1:]], {4: -1.0, 5: -1.0}, KNOWN).mean)


@pytest.mark.parametrize(
    ("window", "n_steps", "known"),
    [("4", 9, 5), ("4", 3, 3), ("0", 9, 1), ("global", 9, 9), ("10%", 30, 2), ("100%", 8, 8)],
)
def test_the_steps_that_see_all_before_them(window: str, n_steps: int, known: int) -> None:
    assert known_steps(parse_window(window), n_steps) == known


def test_draws_depend_on_seed_prompt_and_teacher_and_on_nothing_else() -> None:
    of = {"seed": 1, "prompt_id": "p\ud800", "teacher": "R1"}
    three = drawn_steps(40, 5, 3, **of)
    assert three == drawn_steps(40, 5, 3, **of) == tuple(sorted(three))
    assert min(three) >= 5 and len(set(three)) == 3
    assert set(three) < set(drawn_steps(40, 5, 9, **of))
    others = [{**of, "seed": 2}, {**of, "prompt_id": "q"}, {**of, "teacher": "QwQ"}]
    assert all(drawn_steps(40, 5, 9, **each) != drawn_steps(40, 5, 9, **of) for each in others)
    assert drawn_steps(7, 5, 9, **of) == (5, 6) and drawn_steps(4, 5, 9, **of) == ()


def test_every_set_of_steps_is_drawn_equally_often() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for i in range(6000):
        drawn = drawn_steps(6, 2, 2, seed=0, prompt_id=str(i), teacher="t")
        counts[drawn] = counts.get(drawn, 0) + 1
    assert len(counts) == 6
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.5  # chi², 5 df, .001


def test_the_error_covers_where_a_trace_shifts_all_its_residuals() -> None:
    """Residuals of a trace have much in common; an error as if steps were independent does not."""
    generator = np.random.default_rng(5)
    runs, traces, steps, m, known, true = 600, 60, 40, 4, 5, -2.0
    covered, naive = 0, 0
    share = (steps - known) / steps
    for _ in range(runs):
        global_NP = true + 0.3 * generator.normal(size=(traces, 1)) + np.zeros((traces, steps))
        shift_N1 = 0.25 * generator.normal(size=(traces, 1))
        residual_NP = shift_N1 + 0.3 * generator.normal(size=(traces, steps))
        residual_NP[:, :known] = 0
        local_NP = global_NP + residual_NP
        drawn = [generator.choice(np.arange(known, steps), m, replace=False) for _ in range(traces)]
        estimates = [
            with_global_pass(global_P.tolist(), {int(i): float(local_P[i]) for i in steps_M}, known)
            for global_P, local_P, steps_M in zip(global_NP, local_NP, drawn, strict=True)
        ]
        found = mean_over_traces(estimates)
        covered += abs(found.mean - true) <= 2.0 * found.error
        pooled = np.concatenate([r[s] for r, s in zip(residual_NP, drawn, strict=True)])
        as_if = share * pooled.std(ddof=1) / math.sqrt(len(pooled))
        # What is to be estimated is the correction; over traces like these it is 0.
        naive += abs(share * pooled.mean()) <= 2.0 * as_if
    assert covered / runs == pytest.approx(0.95, abs=0.025)
    assert naive / runs < 0.85


def test_the_drawing_error_covers_the_exact_mean_of_the_same_traces() -> None:
    generator = np.random.default_rng(6)
    runs, traces, steps, known = 600, 40, 25, 5
    local_NP = generator.gamma(2.0, size=(traces, steps)) - generator.gamma(3.0, size=(traces, 1))
    covered = 0
    for _ in range(runs):
        estimates = []
        for local_P in local_NP:
            drawn = generator.choice(np.arange(known, steps), 5, replace=False)
            local = {int(i): float(local_P[i]) for i in drawn}
            estimates.append(without_global_pass(local_P[:known].tolist(), local, steps))
        found = mean_over_traces(estimates)
        covered += abs(found.mean - local_NP.mean()) <= 1.96 * found.drawing_error
    assert covered / runs == pytest.approx(0.95, abs=0.03)


def test_traces_without_an_estimate_are_left_out_and_counted() -> None:
    found = mean_over_traces(
        [Estimate(-1.0, 0.0), Estimate(math.nan, math.nan), Estimate(-3.0, 4.0)]
    )
    assert (found.mean, found.traces) == (-2.0, 2)
    assert (found.error, found.drawing_error) == pytest.approx((1.0, 1.0))
    assert mean_over_traces([]).traces == 0
    assert math.isnan(mean_over_traces([Estimate(-1.0, 0.0)]).error)
