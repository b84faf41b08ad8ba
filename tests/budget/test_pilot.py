"""The plan from a pilot: its figures, and that no other number of steps is cheaper in truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.budget import Plan, Trace, plan_steps
from lnat_plugins.errors import DataError
from lnat_plugins.steps.windows import parse_window, plan_runs

WINDOW = parse_window("4")


def pilot(
    *, steps: int = 60, prompts: int = 20, residual: float = 0.2, spread: float = 0.3,
    window: str = "4", seed: int = 0, prompt_tokens: int = 100,
) -> list[Trace]:  # fmt: skip
    """Step means vary by 1 within a trace; residual² is the share that the global context lacks."""
    generator, found = np.random.default_rng(seed), []
    for i in range(prompts):
        for teacher in ("R1", "QwQ", "s1.1"):
            local = spread * generator.normal() + generator.normal(size=steps)
            over = local - residual * generator.normal(size=steps)
            tokens = generator.integers(10, 30, steps).tolist()
            found.append(Trace(f"p{i}", teacher, local.tolist(), over.tolist(), tokens,
                               parse_window(window), prompt_tokens))  # fmt: skip
    return found


@pytest.mark.parametrize("window", ["0", "4", "10%"])
def test_costs_are_those_of_the_runs_that_score_the_windows(window: str) -> None:
    trace = pilot(prompts=1, window=window, steps=23)[0]
    runs = plan_runs(trace.window.pairs(23))
    if window != "10%":  # the steps of a share's window share their runs' starts
        read = sum(sum(trace.tokens[run.start : run.stop]) for run in runs)
        assert trace.costs["exact"] == pytest.approx(100 + read)
    assert trace.costs["with_global_pass"] == 100 + sum(trace.tokens)
    assert trace.costs["without_global_pass"] == 100 + sum(trace.tokens[: trace.known])


def test_a_good_proxy_is_worth_a_pass_and_a_poor_one_is_not() -> None:
    good, poor = plan_steps(pilot(residual=0.1)), plan_steps(pilot(residual=0.9))
    assert good.way == "with_global_pass" and good.residual_share == pytest.approx(0.01, rel=0.2)
    assert poor.way == "without_global_pass" and poor.residual_share > 0.5
    assert good.factor > poor.factor > 1 and good.prompts == 20
    assert good.step_tokens == pytest.approx(5 * 19.5, rel=0.02)
    assert "a global pass and" in good.sentence and "times fewer tokens" in good.sentence


def test_short_traces_are_scored_exactly() -> None:
    for steps in (1, 5, 7):
        found = plan_steps(pilot(steps=steps))
        assert (found.way, found.steps, found.factor) == ("exact", None, 1.0)
        assert "exact scoring" in found.sentence
    assert math.isnan(plan_steps(pilot(steps=5)).residual_share)


@pytest.mark.parametrize("residual", [0.3, 0.6])
def test_m_is_that_of_the_formula(residual: float) -> None:
    """m* = √(r s² (1 - (k+1)/p)² / (V₀/2) · (c_pass + c_prompt) / c_step), V₀ = Var(D) - A/N."""
    traces = pilot(steps=150, residual=residual, spread=0.25)
    found = plan_steps(traces, ways=["with_global_pass"])
    drawn = [np.var(np.subtract(t.local, t.global_)[5:], ddof=1) for t in traces]
    a = 2 * (1 - 5 / 150) ** 2 * np.mean(drawn)
    v_0 = found.difference_variance - a / 145
    m = math.sqrt(a / v_0 * found.pass_tokens / found.step_tokens)
    assert found.steps is not None and abs(found.steps - m) <= 1


def test_no_other_m_needs_fewer_tokens_in_truth() -> None:
    """By the definitions of variance and tokens, with the model's true figures."""
    traces = pilot(steps=100, residual=0.5, prompts=200)
    found = plan_steps(traces, ways=["with_global_pass"])
    n, share = 95, 0.95
    exact_variance = 2 * (0.3**2 + 1 / 100)

    def work(m: int) -> float:
        variance = exact_variance + 2 * share**2 * 0.25 * (1 / m - 1 / n)
        return variance * (100 + 100 * 19.5 + m * 5 * 19.5)

    best = min(range(2, n), key=work)
    assert found.steps is not None
    assert work(found.steps) <= 1.01 * work(best)
    exact = exact_variance * (100 + 96 * 5 * 19.5)
    assert found.factor == pytest.approx(exact / work(found.steps), rel=0.1)


def test_the_plan_can_be_confined() -> None:
    for way in ("with_global_pass", "without_global_pass"):
        assert plan_steps(pilot(steps=8), ways=[way]).way == way
    assert plan_steps(pilot(), ways=["exact"]).way == "exact"


def test_undefined_responses_leave_the_pilot_with_their_prompt() -> None:
    traces = pilot()
    traces[4] = Trace("p1", "QwQ", [math.nan] * 60, [-1.0] * 60, [10] * 60, WINDOW, 100)
    assert plan_steps(traces).prompts == 19
    with pytest.raises(DataError, match="too few responses.*steps: exact"):
        plan_steps(traces[:8])
    same = [Trace(f"p{i}", name, [-1.0] * 9, [-1.0] * 9, [5] * 9, WINDOW, 10)
            for i in range(5) for name in ("R1", "QwQ")]  # fmt: skip
    with pytest.raises(DataError, match="differ by the same amount"):
        plan_steps(same)


def test_the_plan_is_frozen() -> None:
    found: Plan = plan_steps(pilot())
    with pytest.raises(AttributeError):
        found.steps = 3  # type: ignore[misc]
