"""How far the order after training can be trusted: variance between teachers against noise.

The model, for teacher a, training seed s and item i (Brennan 2001, "Generalizability Theory"):

    y_asi = μ + teacher_a + item_i + (teacher × item)_ai + seed_s(a) + rest_asi

Items alone shift all teachers alike, so they do not count; nor does what seeds have in common where
they are shared by arms. The noise of a teacher's mean over n seeds and I items is

    σ²_δ = σ²_seed / n + σ²_(teacher × item) / I + σ²_rest / (n I)

and the reliability σ²_teacher / (σ²_teacher + σ²_δ). Components are estimated by the method of
moments, from mean squares; 1/n is the mean of 1/n_a where units are missing:

    MS_seed  variance of the units' means within a teacher  = σ²_seed + σ²_rest / I
    MS_item  variance of item × teacher, of means over seeds = σ²_(teacher × item) + σ²_rest / n
    MS_rest  variance of item × seed within a teacher        = σ²_rest
    σ²_δ = MS_seed / n + MS_item / I − MS_rest / (n I),  σ²_teacher = variance of means − σ²_δ

Shapes: T teachers, S seeds, I items, B simulations.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import plain
from lnat_plugins.ranking.bootstrap import LEVEL
from lnat_plugins.ranking.orders import mean_known, ranks, tau_b
from lnat_plugins.ranking.table import TIE, Floats
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.resample import Estimate, arm_draws

_SIMULATIONS: Final = 4_000


@dataclass(frozen=True)
class Components:
    """Variances, in squared units of the outcome, none below 0.

    Attributes:
        teacher: between teachers, beyond noise.
        seed: between units of one teacher, beyond items.
        item: teacher × item.
        rest: what is left of a single value.
        noise: of a teacher's mean over its seeds and all items, as it bears on the order.
    """

    teacher: float
    seed: float
    item: float
    rest: float
    noise: float


@dataclass(frozen=True)
class Reliability:
    """Of the teachers' means after training.

    Attributes:
        share: the reliability, 0 … 1: variance between teachers beyond noise, as a share of the
            variance of the means. NaN if no teacher, or no two in common, have two seeds.
        components: behind it; NaN with it.
        largest_tau: the tau-b with the measured order that a score which knows the true means
            is expected to reach; 0 if no variance is left between teachers.
        single_seeds: mean tau-b between the orders of two single seeds; NaN with one seed. They
            share the items, so that it says nothing of other items.
        teachers, seeds, items: T, S and I.
    """

    share: Estimate
    components: Components
    largest_tau: float
    single_seeds: float
    teachers: int
    seeds: int
    items: int

    @property
    def is_noise(self) -> bool:
        """Whether noise alone may explain the teachers' means; not where no share is known."""
        return not self.share.low > 0 and self.share.value < 1

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}


def reliability(outcomes: Outcomes, *, seed: int = 1234) -> Reliability:
    """Estimate the reliability of the order of the teachers.

    The interval is exact for normal effects and one source of noise: the variance of the means over
    that of the noise, divided by its expectation, follows F (Shrout and Fleiss 1979,
    doi:10.1037/0033-2909.86.2.420); with several sources the degrees of freedom of the noise are
    Satterthwaite's (1946). It takes the teachers for a sample of others.

    The largest tau: true means are those measured, drawn together to have σ²_teacher; noise is that
    of resampled seeds and items, each teacher with its own, scaled to σ²_δ on average.

    Raises:
        DataError: fewer than two teachers.
    """
    teachers = outcomes.teachers
    if len(teachers) < 2:
        raise DataError(
            "fewer than two teachers were trained on, so that there is no order",
            found=", ".join(teachers), remedy="train students on further teachers",
        )  # fmt: skip
    only = outcomes.only(teachers)
    size, n_seeds, n_items = only.values.shape
    components, freedom = _components(only)
    observed = float(only.means.var(ddof=1))
    share = Estimate(math.nan, math.nan, math.nan)
    if observed <= TIE:
        share = Estimate(0.0, 0.0, math.nan) if math.isfinite(components.noise) else share
    elif components.noise == 0:
        share = Estimate(1.0, math.nan, 1.0)
    elif math.isfinite(components.noise):
        ratio = observed / components.noise
        tail = (1 - LEVEL) / 2
        low, high = (1 - float(stats.f.ppf(p, size - 1, freedom)) / ratio for p in (1 - tail, tail))
        share = Estimate(max(0.0, 1 - 1 / ratio), max(0.0, low), max(0.0, high))
    largest = math.nan
    if math.isfinite(components.noise):
        largest = _largest_tau(only, components, seed)
    return Reliability(
        share=share, components=components, largest_tau=largest,
        single_seeds=_single_seeds(only.unit_means), teachers=size, seeds=n_seeds, items=n_items,
    )  # fmt: skip


def _components(only: Outcomes) -> tuple[Components, float]:
    """And the degrees of freedom of the noise."""
    n_A = only.known.sum(axis=1)
    size, _, n_items = only.values.shape
    inverse_n = float((1 / n_A).mean())
    if only.shared_seeds:
        # What all teachers have in common at a seed is no noise of the order.
        complete_ASI = only.values[:, only.known.all(axis=0)]
        groups = list(complete_ASI - complete_ASI.mean(axis=0))
        freedom_seed = (size - 1) * (complete_ASI.shape[1] - 1)
    else:
        groups = [only.values[a, only.known[a]] for a in range(size) if n_A[a] > 1]
        freedom_seed = int((n_A - 1).sum())
    if freedom_seed < 1:
        return Components(*[math.nan] * 5), math.nan
    freedom_item = max(1, n_items - 1)  # with one item its squares are 0
    ms_seed, ms_rest = (
        sum(float((group**2).sum()) for group in parts) / freedom
        for parts, freedom in (
            ([group.mean(axis=1) - group.mean() for group in groups], freedom_seed),
            ([_centred(group) for group in groups], freedom_seed * freedom_item),
        )
    )
    ms_item = float((_centred(only.item_means) ** 2).sum()) / ((size - 1) * freedom_item)
    terms = [
        (ms_seed * inverse_n, freedom_seed),
        (ms_item / n_items, (size - 1) * freedom_item),
        (-ms_rest * inverse_n / n_items, freedom_seed * freedom_item),
    ]
    noise = sum(term for term, _ in terms)
    noise = noise if noise > TIE**2 else 0.0
    spread = sum(term**2 / freedom for term, freedom in terms)
    components = Components(
        teacher=max(0.0, float(only.means.var(ddof=1)) - noise),
        seed=max(0.0, ms_seed - ms_rest / n_items),
        item=max(0.0, ms_item - ms_rest * inverse_n),
        rest=ms_rest,
        noise=noise,
    )
    return components, noise**2 / spread if spread > 0 else math.inf


def _centred(values: Floats) -> Floats:
    """A matrix less the means of its rows and of its columns, plus that of all."""
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0)
    return np.asarray(values - rows - columns + values.mean())


def _largest_tau(only: Outcomes, components: Components, seed: int) -> float:
    if components.teacher <= TIE**2:
        return 0.0
    means_T = only.means
    shrunk = math.sqrt(components.teacher / means_T.var(ddof=1))
    true_1T = (means_T.mean() + shrunk * (means_T - means_T.mean()))[None]
    noise_BT = arm_draws(only, _SIMULATIONS, seed) - means_T
    noise_BT -= noise_BT.mean(axis=1, keepdims=True)
    drawn = float(noise_BT.var(axis=0).sum()) / (len(means_T) - 1)
    if drawn > 0:
        noise_BT *= math.sqrt(components.noise / drawn)
    return mean_known(tau_b(ranks(true_1T + noise_BT).better, ranks(true_1T).better))


def _single_seeds(unit_AS: Floats) -> float:
    """Mean tau-b over pairs of seeds, on the teachers that have both."""
    found = []
    for one, other in itertools.combinations(unit_AS.T, 2):
        both = ~np.isnan(one) & ~np.isnan(other)
        if both.sum() > 1:
            left, right = (ranks(each[both][None]).better for each in (one, other))
            found.append(float(tau_b(left, right)[0]))
    return mean_known(np.array(found))
