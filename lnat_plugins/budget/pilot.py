"""How to read the rest: exactly, with a global pass and m drawn steps, or m drawn steps alone.

A race reads prompts until the paired differences D of two teachers are clear. With m of a trace's N
drawable steps, and w = N/p,

    variance of D     V(m) = Var(D) + 2 w² σ² (1/m - 1/N)      σ² of what is drawn, within a trace
    tokens a trace    C(m) = c + m · c_step                    c without a drawn step

The number of prompts that a lead Δ needs is proportional to V(m) / Δ², so the tokens are to
V(m) · C(m). With V(m) = V₀ + A/m, A = 2 w² σ², V₀ = Var(D) - A/N, the derivative of
V₀ c_step m + A c / m + … is 0 at

    m* = √(A c / (V₀ c_step)) = √( σ² w² / (V₀/2) · c / c_step ).

With the global pass σ² = r · s², s² = var(L_k) and r = var(L_k - L_global) / var(L_k), c = c_pass +
c_prompt. That is the formula m* = √(r s² (1 - (k+1)/p)² / (Var(D)/2) · (c_pass + c_prompt)/c_step),
but for the correction for a finite N in V₀, which makes m* larger where traces are short: there the
pilot ends at exact scoring. Without the pass σ² = s² and c is the prompt and the run of the known
steps. Here V(m) · C(m) is computed for every m from the pilot's own traces, and the smallest wins,
rather than by m* and a bound on r; the two agree (tests/budget/test_pilot.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from lnat_plugins.budget.estimator import known_steps
from lnat_plugins.budget.sequential import Floats
from lnat_plugins.errors import DataError
from lnat_plugins.steps.windows import Window

Way = Literal["exact", "with_global_pass", "without_global_pass"]

LEAST_DRAWS: Final = 2
"""Two at least, so that every estimate has a variance."""

WORTH: Final = 1.2
"""Steps are drawn only if exact scoring needs this many times the tokens, or more: the pilot's own
figures are uncertain, and exact scores can be used for everything else."""


@dataclass(frozen=True)
class Trace:
    """A response of the pilot, scored exactly and by a global pass; p steps.

    Attributes:
        local, global_: p step means under the window and under the global context.
        tokens: p counts.
        window: of the local scores.
        prompt_tokens: of the rendered prompt.
    """

    prompt_id: str
    teacher: str
    local: Sequence[float]
    global_: Sequence[float]
    tokens: Sequence[int]
    window: Window
    prompt_tokens: int

    @property
    def known(self) -> int:
        """The steps at the start that see all before them."""
        return known_steps(self.window, len(self.tokens))

    @property
    def step_cost(self) -> float:
        """Tokens of a drawn step's run, mean over the steps that can be drawn; 0 if none can."""
        drawable = range(self.known, len(self.tokens))
        runs = [sum(self.tokens[i - self.window.preceding(i) : i + 1]) for i in drawable]
        return sum(runs) / len(runs) if runs else 0.0

    @property
    def costs(self) -> dict[Way, float]:
        """Tokens of exact scoring, and of the others those without a drawn step."""
        start = self.prompt_tokens + sum(self.tokens[: self.known])
        return {
            "exact": start + (len(self.tokens) - self.known) * self.step_cost,
            "with_global_pass": float(self.prompt_tokens + sum(self.tokens)),
            "without_global_pass": float(start),
        }


@dataclass(frozen=True)
class Plan:
    """How every further response is read, and the pilot's figures.

    Attributes:
        way: "exact", or which estimate of `estimator`.
        steps: m, the steps drawn; None for exact.
        prompts: of the pilot.
        residual_share: r, var(local - global) / var(local) of steps within traces; NaN if no step
            can be drawn.
        difference_variance: Var(D), median over pairs of teachers, (nats per token)².
        exact_tokens, pass_tokens, step_tokens: means per response: exact scoring; one global pass,
            prompt included; one drawn step.
        factor: variance × tokens of exact scoring over that of the plan: how many times fewer
            tokens the same precision costs; 1 for exact.
        tried: the best factor and its m of each of the two estimates.
    """

    way: Way
    steps: int | None
    prompts: int
    residual_share: float
    difference_variance: float
    exact_tokens: float
    pass_tokens: float
    step_tokens: float
    factor: float
    tried: tuple[tuple[Way, int, float], ...]

    @property
    def sentence(self) -> str:
        """What the verdict says of it."""
        figures = (
            f"a global pass leaves {self.residual_share:.2g} of a step's variance; variance of two "
            f"teachers' difference {self.difference_variance:.3f}"
        )
        if self.way == "exact":
            return f"After a pilot of {self.prompts} prompts: exact scoring ({figures})"
        what = "a global pass and " if self.way == "with_global_pass" else ""
        return (
            f"After a pilot of {self.prompts} prompts: {what}{self.steps} steps a response, "
            f"{self.factor:.1f} times fewer tokens for the same precision ({figures})"
        )


def plan_steps(
    traces: Sequence[Trace], *, ways: Sequence[Way] | None = None, steps: int | None = None
) -> Plan:
    """Choose from a pilot, some prompts of all teachers that are scored exactly.

    Args:
        traces: responses with an undefined step are left out, and so are prompts without a
            response of every teacher.
        ways: those to choose from; by default all.
        steps: so many are drawn, whether that pays or not; by default as many as pay best.

    Raises:
        DataError: fewer than two teachers or three prompts are left, or teachers do not differ.
    """
    defined = [each for each in traces if np.isfinite([*each.local, *each.global_]).all()]
    teachers = sorted({each.teacher for each in defined})
    rows: dict[str, dict[str, Trace]] = {}
    for each in defined:
        rows.setdefault(each.prompt_id, {})[each.teacher] = each
    whole = [row for row in rows.values() if len(row) == len(teachers)]
    if len(teachers) < 2 or len(whole) < 3:
        raise DataError(
            "the pilot has too few responses that could be scored", found=len(whole),
            remedy="score exactly (steps: exact), or name more prompts",
        )  # fmt: skip
    used = [row[teacher] for row in whole for teacher in teachers]
    exact_PT = np.array([[np.mean(row[teacher].local) for teacher in teachers] for row in whole])
    spread = _median_difference_variance(exact_PT)
    if not spread > 0:
        raise DataError(
            "the teachers' scores differ by the same amount on every prompt of the pilot",
            found=spread, remedy="score exactly (steps: exact)",
        )  # fmt: skip
    costs = {way: float(np.mean([each.costs[way] for each in used])) for way in used[0].costs}
    tried = tuple(
        best
        for way in ("with_global_pass", "without_global_pass")
        if (ways is None or way in ways)
        and (best := _best(used, way, spread, costs["exact"], steps))
    )
    way, drawn, factor = max(tried, key=lambda each: each[2], default=("exact", 0, 1.0))
    pays = factor >= WORTH or steps is not None
    exact = (not pays and (ways is None or "exact" in ways)) or not tried
    return Plan(
        way="exact" if exact else way,
        steps=None if exact else drawn,
        prompts=len(whole),
        residual_share=_residual_share(used),
        difference_variance=spread,
        exact_tokens=costs["exact"],
        pass_tokens=costs["with_global_pass"],
        step_tokens=float(np.mean([each.step_cost for each in used])),
        factor=1.0 if exact else factor,
        tried=tried,
    )


def _median_difference_variance(values_PT: Floats) -> float:
    variance_TT = np.cov(values_PT.T)
    own_T = np.diag(variance_TT)
    pairs_TT = own_T[:, None] + own_T - 2 * variance_TT
    return float(np.median(pairs_TT[np.triu_indices(len(own_T), 1)]))


def _drawable(trace: Trace, way: Way) -> Floats:
    values = np.array(trace.local) - (np.array(trace.global_) if way == "with_global_pass" else 0.0)
    return np.asarray(values[trace.known :])


def _residual_share(traces: Sequence[Trace]) -> float:
    residual = local = 0.0
    for each in traces:
        if len(each.tokens) - each.known > 1:
            residual += float(_drawable(each, "with_global_pass").var(ddof=1))
            local += float(_drawable(each, "without_global_pass").var(ddof=1))
    return residual / local if local else math.nan


def _best(
    traces: Sequence[Trace], way: Way, spread: float, exact: float, steps: int | None
) -> tuple[Way, int, float] | None:
    """(way, m, factor) with the least variance × tokens; None if traces are too short."""
    n_R = np.array([len(each.tokens) - each.known for each in traces])
    p_R = np.array([len(each.tokens) for each in traces])
    sigma_R = np.array([_drawable(each, way).var(ddof=1) if n > 1 else 0.0
                        for each, n in zip(traces, n_R, strict=True)])  # fmt: skip
    fixed_R = np.array([each.costs[way] for each in traces])
    step_R = np.array([each.step_cost for each in traces])
    m_M1 = np.arange(LEAST_DRAWS, max(LEAST_DRAWS + 1, int(n_R.max()) + 1))[:, None]
    if n_R.max() <= LEAST_DRAWS:
        return None
    if steps is not None:
        m_M1 = np.array([[steps]])
    drawn_MR = np.minimum(m_M1, n_R)
    left_MR = 1 / np.maximum(drawn_MR, 1) - 1 / np.maximum(n_R, 1)
    variance_M = spread + 2 * ((n_R / p_R) ** 2 * sigma_R * left_MR).mean(axis=1)
    tokens_M = (fixed_R + drawn_MR * step_R).mean(axis=1)
    factor_M = spread * exact / (variance_M * tokens_M)
    best = int(factor_M.argmax())
    return way, int(m_M1[best, 0]), float(factor_M[best])
