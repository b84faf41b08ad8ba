"""Every arm's mean with its interval, its gain over no training, and floor and ceiling.

Shapes: A arms, I items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnat_plugins.formatting import is_or_are, markdown_table, number, plain, plural
from lnat_plugins.ranking.bootstrap import LEVEL, RESAMPLES
from lnat_plugins.study.outcomes import Kind, Outcomes
from lnat_plugins.study.resample import Estimate, contrasts, seed_noise


@dataclass(frozen=True)
class ArmFigure:
    """One arm.

    Attributes:
        name, kind: as in `Outcomes`.
        mean: over seeds and items; the intervals of all arms hold together.
        seeds: its units.
        floor, ceiling: whether the interval reaches the least or the highest possible value.
        gain: its mean minus that of the arm without training, on the same items; the gains hold
            together. NaN for that arm, or without one.
    """

    name: str
    kind: Kind
    mean: Estimate
    seeds: int
    floor: bool
    ceiling: bool
    gain: Estimate


@dataclass(frozen=True)
class ArmTable:
    """All arms.

    Attributes:
        arms: in the order given.
        warnings: a sentence each.
        tasks: task -> arm -> mean over the items of that task; {} where all are of one.
    """

    arms: tuple[ArmFigure, ...]
    warnings: tuple[str, ...]
    tasks: Mapping[str, Mapping[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}

    def to_markdown(self) -> str:
        """A line an arm; of several tasks a second table with the means in each."""
        headers = ["arm", "kind", "mean", "interval", "gain over none", "interval", "seeds"]
        rows = [
            [
                one.name, one.kind, number(one.mean.value, 3), one.mean.interval(3),
                number(one.gain.value, 3), one.gain.interval(3), str(one.seeds),
            ]
            for one in self.arms
        ]  # fmt: skip
        tables = [markdown_table(headers, rows, left=2)]
        if self.tasks:
            by_task = [
                [one.name, *(number(means[one.name], 3) for means in self.tasks.values())]
                for one in self.arms
            ]
            tables.append(markdown_table(["mean", *self.tasks], by_task, left=1))
        return "\n\n".join(tables)


def arm_table(outcomes: Outcomes, *, iters: int = RESAMPLES, seed: int = 1234) -> ArmTable:
    """Intervals of the arms, and warnings.

    An arm whose values are all the least possible, or all the highest, shows no spread. Its
    interval is the exact one for none of I items (Clopper and Pearson 1934), one-sided and shared
    out over the arms, so that it does not claim that no item will ever be solved.
    """
    size = len(outcomes.names)
    means = contrasts(outcomes, np.eye(size), iters, seed)
    if outcomes.bounds is not None:
        means = [
            _within(mean, outcomes.values[a], outcomes.bounds, size) for a, mean in enumerate(means)
        ]
    nothing = Estimate(math.nan, math.nan, math.nan)
    gains = dict.fromkeys(outcomes.names, nothing)
    untrained = outcomes.of_kind("none")
    if untrained and size > 1:
        others = [name for name in outcomes.names if name not in untrained]
        weights_CA = np.eye(size)[outcomes.columns(others)]
        weights_CA[:, outcomes.columns(untrained)] = -1
        gains.update(zip(others, contrasts(outcomes, weights_CA, iters, seed), strict=True))
    low, high = outcomes.bounds or (-math.inf, math.inf)
    arms = tuple(
        ArmFigure(
            name, kind, mean, int(outcomes.known[a].sum()),
            floor=mean.low <= low, ceiling=mean.high >= high, gain=gains[name],
        )
        for a, (name, kind, mean) in enumerate(
            zip(outcomes.names, outcomes.kinds, means, strict=True)
        )
    )  # fmt: skip
    tasks = {
        task: dict(zip(outcomes.names, means_A.tolist(), strict=True))
        for task, means_A in outcomes.task_means.items()
    }
    return ArmTable(arms, _warnings(outcomes, arms), tasks)


def _within(
    mean: Estimate, values_SI: np.ndarray[Any, np.dtype[np.float64]],
    bounds: tuple[float, float], arms: int,
) -> Estimate:  # fmt: skip
    """The interval cut to what is possible, and widened where no value differs from a bound."""
    low, high = bounds
    known = values_SI[~np.isnan(values_SI)]
    may_differ = (1 - ((1 - LEVEL) / arms) ** (1 / values_SI.shape[1])) * (high - low)
    if (known == low).all():
        return Estimate(mean.value, low, low + may_differ)
    if (known == high).all():
        return Estimate(mean.value, high - may_differ, high)
    if math.isnan(mean.low):
        return mean
    return Estimate(mean.value, max(low, mean.low), min(high, mean.high))


def _warnings(outcomes: Outcomes, arms: tuple[ArmFigure, ...]) -> tuple[str, ...]:
    trained = [arm for arm in arms if arm.kind != "none"]
    count = f"of {plural(len(trained), 'trained arm')}"
    found = []
    for which, of, where in (
        ("floor", "at the floor", "below it nothing separates arms"),
        ("ceiling", "at the ceiling", "above it nothing separates arms"),
    ):
        names = [arm.name for arm in trained if getattr(arm, which)]
        if names:
            verb = is_or_are(len(names))
            found.append(f"{len(names)} {count} {verb} {of} ({', '.join(names)}): {where}.")
    compared = [arm for arm in trained if not math.isnan(arm.gain.value)]
    level = [arm.name for arm in compared if not arm.gain.above]
    if level:
        verb = is_or_are(len(level))
        found.append(
            f"{len(level)} {count} cannot be told from no training, or {verb} worse "
            f"({', '.join(level)})."
        )
    missing = int((~outcomes.known[[arm.kind != "none" for arm in arms]]).sum())
    if missing:
        found.append(f"{plural(missing, 'unit')} of the trained arms {is_or_are(missing)} missing.")
    borrowed = seed_noise(outcomes).borrowed
    if borrowed.any():
        names = [arm.name for arm, one in zip(arms, borrowed, strict=True) if one]
        found.append(
            f"One seed only ({', '.join(names)}): the seed noise of the other arms is taken."
        )
    elif trained and all(arm.seeds == 1 for arm in trained):
        found.append("One seed for every arm: the intervals leave out the noise of training.")
    return tuple(found)
