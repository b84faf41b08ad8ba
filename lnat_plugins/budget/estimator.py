"""Local naturalness of a response from some of its steps: unbiased, with its own error.

The mean over p steps is estimated from m steps drawn without replacement. A step whose window
reaches the start of the response sees what the global pass sees, so its score is known without a
draw; with a window of k steps these are the first k + 1. Two estimates, N = p - known steps:

    with a global pass      mean of all global-context step means + N/p · mean of (local - global)
    without                 (sum of the known steps + N · mean of the drawn) / p

Only the N steps are drawn from, and the variance is that of a mean of m of N drawn without
replacement: (N/p)² (1 - m/N) s²/m, s² over the drawn (local - global, or local). Both means and
variances are unbiased over the draws, whatever the steps are. Source: simple random sampling and
the difference estimator of survey sampling, Cochran, "Sampling Techniques" (1977).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lnat_plugins.steps.windows import Window


class Estimate(NamedTuple):
    """Of one response's local naturalness, nats per token.

    mean: NaN if a step that was read is undefined.
    variance: over the draws of its steps; 0 if all are read, NaN below two drawn steps.
    """

    mean: float
    variance: float


class Means(NamedTuple):
    """The mean over traces, nats per token.

    error: standard error for traces like these, from the spread of the traces' estimates: it holds
        the error of the draws and that a trace's steps have much in common. NaN below two.
    drawing_error: standard error against the exact scores of the same traces.
    traces: those with a defined estimate.
    """

    mean: float
    error: float
    drawing_error: float
    traces: int


def known_steps(window: Window, n_steps: int) -> int:
    """How many steps at the start of a response see every step before them; k + 1 for a count k.

    Steps that do so further on cannot exist: a window that is clipped once is clipped from there.
    """
    for step in range(n_steps):
        if window.preceding(step) < step:
            return step
    return n_steps


def drawn_steps(
    n_steps: int, known: int, draws: int, *, seed: int, prompt_id: str, teacher: str
) -> tuple[int, ...]:
    """The steps to be scored, 0-based and ascending: `draws` of those after the known ones.

    All of them if there are not more. The order in which steps are drawn comes from a hash of seed,
    prompt, teacher and step, so that it depends on no other response, process or earlier run; more
    draws contain the fewer.
    """
    key = hashlib.sha256(repr((seed, prompt_id, teacher)).encode("utf-8", "surrogatepass"))

    def place(step: int) -> bytes:
        of_step = key.copy()
        of_step.update(step.to_bytes(8, "big"))
        return of_step.digest()

    return tuple(sorted(sorted(range(known, n_steps), key=place)[: max(0, draws)]))


def with_global_pass(
    global_means: Sequence[float], local: Mapping[int, float], known: int
) -> Estimate:
    """The difference estimate: a global pass over the response, and the drawn steps' own windows.

    Args:
        global_means: p step means under the global window.
        local: drawn step -> its step mean under its own window.
        known: see `known_steps`; those are taken from the global pass.
    """
    residuals = {step: value - global_means[step] for step, value in local.items()}
    correction = _drawn(residuals, len(global_means), known)
    return Estimate(
        math.fsum(global_means) / len(global_means) + correction.mean, correction.variance
    )


def without_global_pass(
    known_means: Sequence[float], local: Mapping[int, float], n_steps: int
) -> Estimate:
    """The plain estimate: the known steps, which one run from the start scores, and the drawn.

    Args:
        known_means: the means of the steps at the start.
        local: drawn step -> its step mean.
        n_steps: p.
    """
    rest = _drawn(local, n_steps, len(known_means))
    return Estimate(math.fsum(known_means) / n_steps + rest.mean, rest.variance)


def _drawn(values: Mapping[int, float], n_steps: int, known: int) -> Estimate:
    """N/p · the mean of the N steps after the known ones, from those drawn."""
    n, m = n_steps - known, len(values)
    if n == 0:
        return Estimate(0.0, 0.0)
    if m == 0:
        return Estimate(math.nan, math.nan)
    share, values_M = n / n_steps, np.array(list(values.values()), dtype=np.float64)
    mean = share * float(values_M.mean())
    if math.isnan(mean):
        return Estimate(math.nan, math.nan)
    if m == n:
        return Estimate(mean, 0.0)
    variance = float(values_M.var(ddof=1)) if m > 1 else math.nan
    return Estimate(mean, share**2 * (1 - m / n) * variance / m)


def mean_over_traces(estimates: Sequence[Estimate]) -> Means:
    """Their mean and its standard error, the trace being what was sampled."""
    defined = [each for each in estimates if not math.isnan(each.mean)]
    if not defined:
        return Means(math.nan, math.nan, math.nan, 0)
    values_N, variances_N = np.array(defined).T
    n = len(defined)
    error = math.sqrt(values_N.var(ddof=1) / n) if n > 1 else math.nan
    return Means(float(values_N.mean()), error, math.sqrt(variances_N.sum()) / n, n)
