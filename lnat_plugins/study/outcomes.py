"""What the trained students reached: a figure for every arm, training seed and test item.

An arm is one way of choosing training rows: a teacher's rows, a selection's, or no training. A unit
is one trained student, that is one arm and one seed; it is evaluated on every item or is missing.
Shapes: A arms, S seeds, I items.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np

from lnat_plugins.errors import DataError, did_you_mean
from lnat_plugins.ranking.table import Bools, Floats

Kind = Literal["none", "teacher", "selection"]
KINDS: Final = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Evaluations of one student on one set of items, higher = better.

    Attributes:
        names: A names of arms, each once.
        kinds: A times "none" (the student without training; at most one), "teacher" (trained on
            one teacher's rows) or "selection" (trained on chosen rows, random ones included).
        values: (A, S, I) the figure of each item: 0 or 1 for right or wrong, or any other, such as
            the negative loss. NaN for all items of a unit that is missing.
        shared_seeds: whether seed s means the same in all arms, such as one order of prompts or one
            start, so that arms have seed noise in common. If not, seeds are numbered only.
        bounds: what a value can be at least and at most; None if it has no bounds.
        label: the student and family of tasks; names it among others.
        item_set: the name of the items. Objects with equal names and as many items are resampled
            alike where several objects are pooled.
        tasks: I names, the task of each item; () where all are of one.

    Raises:
        DataError: shapes that do not fit, a name twice, an unknown kind, an arm without a unit, a
            unit with some items missing, an infinite value or one out of bounds, tasks of other
            items.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    values: Floats
    shared_seeds: bool = False
    bounds: tuple[float, float] | None = (0.0, 1.0)
    label: str = ""
    item_set: str = "items"
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what is given."""
        shape = self.values.shape
        if len(shape) != 3 or shape[0] != len(self.names) or len(self.kinds) != len(self.names):
            raise DataError(
                "outcomes need a name and a kind for each arm, and values by arm, seed and item",
                found=f"{len(self.names)} names, {len(self.kinds)} kinds, values of shape {shape}",
                remedy="give an array (arms, seeds, items)",
            )
        if not all(shape):
            raise DataError(
                "outcomes without an arm, a seed or an item", found=shape,
                remedy="evaluate one unit at least",
            )  # fmt: skip
        if len(self.tasks) not in (0, shape[2]):
            raise DataError(
                "tasks of other items than there are",
                found=f"{len(self.tasks)} tasks, {shape[2]} items",
                remedy="name the task of each item, or leave `tasks` out",
            )
        for kind in self.kinds:
            if kind not in KINDS:
                raise DataError("unknown kind of arm", found=kind, remedy=did_you_mean(kind, KINDS))
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice or self.kinds.count("none") > 1:
            what = "two arms of the kind none" if not twice else "an arm is named twice"
            found = twice[0] if twice else self.names
            raise DataError(what, found=found, remedy="give each arm once")
        missing_ASI = np.isnan(self.values)
        for a, name in enumerate(self.names):
            where = f"arm {name!r}"
            if missing_ASI[a].all():
                raise DataError(
                    "no unit of this arm is evaluated", where=where,
                    remedy="run one of its seeds, or leave the arm out",
                )  # fmt: skip
            partly = missing_ASI[a].any(axis=1) & ~missing_ASI[a].all(axis=1)
            if partly.any():
                seed = int(partly.argmax())
                raise DataError(
                    "a unit is evaluated on some of the items only",
                    where=f"{where}, seed {seed}",
                    found=f"{int(missing_ASI[a, seed].sum())} of {shape[2]} items missing",
                    remedy="evaluate it on all of them, or leave the unit out",
                )
            known_ = self.values[a][~missing_ASI[a]]
            low, high = self.bounds or (-math.inf, math.inf)
            wrong = ~np.isfinite(known_) | (known_ < low) | (known_ > high)
            if wrong.any():
                raise DataError(
                    "a value is infinite or out of bounds", where=where,
                    found=float(known_[wrong][0]),
                    remedy=f"values lie from {low:g} to {high:g}; give `bounds` where others do",
                )  # fmt: skip

    @property
    def known(self) -> Bools:
        """(A, S) whether the unit is there."""
        return np.asarray(~np.isnan(self.values[:, :, 0]))

    @property
    def item_means(self) -> Floats:
        """(A, I) the mean of each item over the arm's units."""
        return np.asarray(np.nanmean(self.values, axis=1))

    @property
    def unit_means(self) -> Floats:
        """(A, S) the mean of each unit over the items; NaN if it is missing."""
        return np.asarray(self.values.mean(axis=2))

    @property
    def means(self) -> Floats:
        """(A,) the mean over items of the mean over units."""
        return np.asarray(self.item_means.mean(axis=1))

    @property
    def task_means(self) -> dict[str, Floats]:
        """Task -> (A,) the mean over its items, as in `means`; {} where all items are of one."""
        names = list(dict.fromkeys(self.tasks))
        if len(names) < 2:
            return {}
        of_items = np.array(self.tasks)
        return {name: self.item_means[:, of_items == name].mean(axis=1) for name in names}

    @property
    def teachers(self) -> tuple[str, ...]:
        """The arms of the kind teacher, in order."""
        return self.of_kind("teacher")

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """The arms of this kind, in order."""
        return tuple(
            name for name, each in zip(self.names, self.kinds, strict=True) if each == kind
        )

    def columns(self, names: Sequence[str]) -> list[int]:
        """The indices of these arms.

        Raises:
            DataError: an unknown name.
        """
        for name in names:
            if name not in self.names:
                raise DataError("no such arm", found=name, remedy=did_you_mean(name, self.names))
        return [self.names.index(name) for name in names]

    def only(self, names: Sequence[str]) -> Outcomes:
        """The same with these arms alone, in this order."""
        kept = self.columns(names)
        return replace(
            self, names=tuple(names), kinds=tuple(self.kinds[a] for a in kept),
            values=self.values[kept],
        )  # fmt: skip

    def with_arm(self, name: str, kind: Kind, values_SI: Floats) -> Outcomes:
        """The same with one more arm at the end."""
        values = np.concatenate([self.values, values_SI[None]])
        return replace(self, names=(*self.names, name), kinds=(*self.kinds, kind), values=values)
