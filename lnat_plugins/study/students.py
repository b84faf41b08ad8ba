"""Several students: whether the best teacher differs, and whether metrics follow.

They are resampled as in `pool`: what they have in common is drawn alike.

Shapes: B resamples, T teachers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import plain
from lnat_plugins.ranking.bootstrap import LEVEL, RESAMPLES
from lnat_plugins.ranking.orders import ranks, tau_b
from lnat_plugins.ranking.table import Floats, Ints
from lnat_plugins.study.agreement import Agreement, estimates
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.pool import check_labels
from lnat_plugins.study.resample import Estimate, contrasts


@dataclass(frozen=True)
class Follows:
    """Whether a metric follows the students.

    Attributes:
        metric: its name.
        chosen: label -> the teachers that it puts first.
        right: how many students have all of those in their set of teachers that may be best.
        change: Kendall's tau-b, over teachers, of the change of the metric's ranks with the change
            of the measured ranks from one student to another, the mean over pairs of students;
            teachers resampled, and the intervals hold for all metrics at once. NaN if either order
            does not change.
    """

    metric: str
    chosen: Mapping[str, tuple[str, ...]]
    right: int
    change: Estimate


@dataclass(frozen=True)
class Students:
    """The same teachers for several students.

    Attributes:
        labels: the students.
        may_be_best: label -> the teachers that no other beats beyond noise.
        common: the teachers in all of those sets; if there is none, the best teacher differs.
        level: the level at which all sets together hold the best teachers.
        metrics: those that all students have.
    """

    labels: tuple[str, ...]
    may_be_best: Mapping[str, tuple[str, ...]]
    common: tuple[str, ...]
    level: float
    metrics: tuple[Follows, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}


def compare_students(outcomes: Sequence[Outcomes], agreements: Sequence[Agreement]) -> Students:
    """Whether the best teacher differs by student, and whether metrics follow.

    Args:
        outcomes, agreements: one each for every student, in the same order.

    Raises:
        DataError: fewer than two students, other teachers, or as for `pool`.
    """
    check_labels(agreements)
    teachers = agreements[0].teachers
    if len(agreements) < 2 or any(one.teachers != teachers for one in agreements):
        raise DataError(
            "students are compared on the same teachers, two students at least",
            found=", ".join(one.label for one in agreements),
            remedy="give each student's outcomes with the same teachers in the same order",
        )
    sets = {
        one.label: may_be_best(of, iters=one.iters, seed=one.seed)
        for of, one in zip(outcomes, agreements, strict=True)
    }
    common = tuple(name for name in teachers if all(name in of for of in sets.values()))
    names = [
        one.metric for one in agreements[0].metrics
        if all(one.metric in other.draws.tau for other in agreements)
    ]  # fmt: skip
    accuracy = [np.array([[one.accuracy[name] for name in teachers]]) for one in agreements]
    values, drawn = [], []
    for name in names:
        scores = [
            np.array([[one.of(name).scores[teacher] for teacher in teachers]]) for one in agreements
        ]
        values.append(float(_change(scores, accuracy, None)[0]))
        drawn.append(_change(
            [one.draws.scores[name] for one in agreements],
            [one.draws.accuracy for one in agreements], agreements[0].draws.copies,
        ))  # fmt: skip
    follows = tuple(
        Follows(
            name, {one.label: one.of(name).chosen for one in agreements},
            right=sum({*one.of(name).chosen} <= {*sets[one.label]} for one in agreements),
            change=change,
        )
        for name, change in zip(names, estimates(values, drawn), strict=True)
    )  # fmt: skip
    level = max(0.0, 1 - len(agreements) * (1 - LEVEL))
    return Students(tuple(sets), sets, common, level, follows)


def may_be_best(outcomes: Outcomes, *, iters: int = RESAMPLES, seed: int = 1234) -> tuple[str, ...]:
    """The teachers that no other beats beyond noise, by intervals of all pairs at once."""
    only = outcomes.only(outcomes.teachers)
    pairs = list(itertools.combinations(range(len(only.names)), 2))
    if not pairs:
        return only.names
    identity = np.eye(len(only.names))
    weights_CA = np.array([identity[one] - identity[other] for one, other in pairs])
    beaten = set()
    for (one, other), found in zip(pairs, contrasts(only, weights_CA, iters, seed), strict=True):
        if found.above or found.below:
            beaten.add(other if found.above else one)
    return tuple(name for column, name in enumerate(only.names) if column not in beaten)


def _change(scores: Sequence[Floats], accuracy: Sequence[Floats], copies_BT: Ints | None) -> Floats:
    """(B,) tau-b of the changes of ranks, mean over pairs of students."""
    ours, theirs = ([_places(one) for one in of] for of in (scores, accuracy))
    pairs = itertools.combinations(range(len(scores)), 2)
    return np.asarray(np.mean([
        tau_b(ours[one] - ours[other], theirs[one] - theirs[other], copies_BT)
        for one, other in pairs
    ], axis=0))  # fmt: skip


def _places(values_BT: Floats) -> Ints:
    """Twice the mean rank, so that it is whole."""
    found = ranks(np.nan_to_num(values_BT))
    return np.asarray(2 * found.better + found.tied)
