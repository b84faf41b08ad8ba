"""Several students, budgets or studies together: what holds on average over all of them.

Each object (one student under one budget of one study) counts alike. Objects are resampled row by
row of the same random numbers: what they have in common, teachers of the same names, the same
prompts and items, is drawn alike, so it does not average out; training seeds are drawn for each
alone. The objects themselves are not resampled: an interval speaks of these students and studies.

Shapes: O objects, B resamples, C comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import markdown_table, number, plain
from lnat_plugins.ranking.table import Floats
from lnat_plugins.study.agreement import Agreement, Claim, claim, estimates, in_falling_order
from lnat_plugins.study.gains import comparisons, gains_table
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.resample import Estimate, arm_draws


@dataclass(frozen=True)
class PooledMetric:
    """One metric over all objects.

    Attributes:
        metric: its name.
        values: label -> tau-b.
        tau_fixed, tau: their mean, with the teachers as they are, and resampled too; the intervals
            hold for all metrics at once.
        difference_fixed, difference: the mean of its tau minus the baseline's, likewise.
        claim: against the baseline, by the fixed rule (`agreement`).
        regret: the mean regret, with the teachers as they are.
        worst_regret: the highest of an object.
        first: mean share of `first` (`order_fit`): how often its first teacher was the best.
    """

    metric: str
    values: Mapping[str, float]
    tau_fixed: Estimate
    tau: Estimate
    difference_fixed: Estimate
    difference: Estimate
    claim: Claim
    regret: Estimate
    worst_regret: float
    first: float


@dataclass(frozen=True)
class PooledGain:
    """A selection's mean minus that of another arm, averaged over objects.

    Attributes:
        selection, over: as in `Gain`.
        gain: the intervals of all comparisons hold together.
        values: label -> the gain there.
    """

    selection: str
    over: str
    gain: Estimate
    values: Mapping[str, float]


@dataclass(frozen=True)
class Pooled:
    """What holds over all objects.

    Attributes:
        labels: of the objects.
        baseline: the metric that others are compared with; None if an object lacks it.
        metrics: those that all objects have.
        left_out: the others.
        gains: of selections that all objects with selections have; empty without.
    """

    labels: tuple[str, ...]
    baseline: str | None
    metrics: tuple[PooledMetric, ...]
    left_out: tuple[str, ...]
    gains: tuple[PooledGain, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}

    def to_markdown(self) -> str:
        """A line a metric, highest mean tau first; then the selections."""
        headers = ["Metric", "mean tau-b", "these teachers", "other teachers", "least", "highest"]
        headers += ["mean regret", "interval", "worst", "first right"]
        if self.baseline is not None:
            headers += [f"tau-b − {self.baseline}", "claim"]
        rows = []
        for one in in_falling_order(self.metrics, lambda each: each.tau.value):
            known = [*one.values.values()]
            rows.append([
                one.metric, number(one.tau.value, 2), one.tau_fixed.interval(), one.tau.interval(),
                number(min(known), 2), number(max(known), 2), number(one.regret.value, 3),
                one.regret.interval(3), number(one.worst_regret, 3), number(one.first, 2),
            ])  # fmt: skip
            if self.baseline is not None:
                is_base = one.metric == self.baseline
                rows[-1] += ["", ""] if is_base else [one.difference.in_words(), one.claim]
        tables = [markdown_table(headers, rows, left=1)] if rows else []
        return "\n\n".join([*tables, *([gains_table(self.gains)] if self.gains else [])])


def pool(outcomes: Sequence[Outcomes], agreements: Sequence[Agreement]) -> Pooled:
    """Average over objects.

    Args:
        outcomes, agreements: one each for every object, in the same order.

    Raises:
        DataError: none, two with one label, or other resamples, seeds or baselines.
    """
    check_labels(agreements)
    first, *_ = agreements
    everywhere = [
        one.metric for one in first.metrics
        if all(one.metric in other.draws.tau for other in agreements)
    ]  # fmt: skip
    anywhere = dict.fromkeys(one.metric for other in agreements for one in other.metrics)
    of = {
        form: _means(agreements, everywhere, form)
        for form in ("tau_fixed", "tau", "difference_fixed", "difference", "regret")
    }
    fewest = min(one.different for one in agreements)
    metrics = tuple(
        PooledMetric(
            metric=name,
            values={one.label: one.of(name).fixed["tau"].value for one in agreements},
            **{form: found[i] for form, found in of.items()},
            claim=claim(of["difference"][i], fewest),
            worst_regret=max(one.of(name).fixed["regret"].value for one in agreements),
            first=float(np.mean([one.of(name).fixed["first"].value for one in agreements])),
        )
        for i, name in enumerate(everywhere)
    )
    return Pooled(
        labels=tuple(one.label for one in agreements),
        baseline=first.baseline if first.baseline in everywhere else None,
        metrics=metrics,
        left_out=tuple(name for name in anywhere if name not in everywhere),
        gains=_gains(outcomes, first.iters, first.seed),
    )


def _means(agreements: Sequence[Agreement], metrics: Sequence[str], form: str) -> list[Estimate]:
    """The mean of a figure over objects, a metric each."""
    values, drawn = [], []
    for name in metrics:
        values.append(float(np.mean([one.of(name).estimate(form).value for one in agreements])))
        draws = [getattr(one.draws, form)[name] for one in agreements]
        drawn.append(np.asarray(np.mean(draws, axis=0)))
    return estimates(values, drawn)


def _gains(outcomes: Sequence[Outcomes], iters: int, seed: int) -> tuple[PooledGain, ...]:
    """Over the objects that have selections, those that all of them have."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    drawn: dict[tuple[str, str], list[Floats]] = {}
    counted = 0
    for one in outcomes:
        with_best, pairs, weights_CA, *_ = comparisons(one, seed=seed)
        if not pairs:
            continue
        counted += 1
        draws_BC = arm_draws(with_best, iters, seed) @ weights_CA.T
        for i, (pair, value) in enumerate(zip(pairs, weights_CA @ with_best.means, strict=True)):
            values.setdefault(pair, {})[one.label] = float(value)
            drawn.setdefault(pair, []).append(draws_BC[:, i])
    common = [pair for pair, of in values.items() if len(of) == counted]
    found = estimates(
        [float(np.mean([*values[pair].values()])) for pair in common],
        [np.asarray(np.mean(drawn[pair], axis=0)) for pair in common],
    )
    return tuple(
        PooledGain(*pair, gain, values[pair]) for pair, gain in zip(common, found, strict=True)
    )


def check_labels(agreements: Sequence[Agreement]) -> None:
    """Whether these may be brought together; DataError if not."""
    labels = [one.label for one in agreements]
    settings = {(one.iters, one.seed, one.baseline) for one in agreements}
    if not labels or len({*labels}) < len(labels) or len(settings) > 1:
        raise DataError(
            "students and studies are pooled under labels of their own, with equal resamples, "
            "seeds and baselines",
            found=", ".join(map(repr, labels)), remedy="give each of `outcomes` its own label",
        )  # fmt: skip
