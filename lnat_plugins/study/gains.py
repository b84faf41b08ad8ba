"""What a selection gains over random rows, over the best single teacher, and over `global`.

The best teacher of a study is best partly by luck, and a selection compared with it on the same
results looks too bad (the winner's curse). So the teacher is chosen on other seeds and other items
than it is compared on: for each seed and each fifth of the items, the teacher with the highest mean
over the other seeds and the other items stands in. Together these cells are an arm of their own,
what one gets who picks a teacher by a study with one seed less.

Shapes: T teachers, S seeds, I items, C comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import markdown_table, plain, with_span
from lnat_plugins.ranking.bootstrap import INTERVAL, RESAMPLES
from lnat_plugins.ranking.table import TIE, Floats
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.resample import Estimate, contrasts, stream

BEST_TEACHER: Final = "best teacher"
RANDOM: Final = "random"
GLOBAL: Final = "global"

_FOLDS: Final = 5


@dataclass(frozen=True)
class Gain:
    """A selection's mean minus that of what it is compared with.

    Attributes:
        selection: the arm.
        over: the arm that it is compared with; `BEST_TEACHER` is not an arm of the study.
        gain: with an interval that holds for the whole table, paired by item, and by seed where
            arms have seed noise in common.
    """

    selection: str
    over: str
    gain: Estimate


@dataclass(frozen=True)
class Gains:
    """All comparisons.

    Attributes:
        label: the student and family.
        gains: a comparison each.
        chosen: teacher -> the share of cells for which it was chosen as the best.
        other_seeds: whether it was chosen on other seeds than it is compared on; with one seed
            there are other items only, and the comparison still favours the teacher.
    """

    label: str
    gains: tuple[Gain, ...]
    chosen: Mapping[str, float]
    other_seeds: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        return {name: plain(value) for name, value in vars(self).items()}

    def to_markdown(self) -> str:
        """A line a selection, a column for each arm that it is compared with."""
        return gains_table(self.gains)


class Compared(Protocol):
    """A selection against another arm."""

    @property
    def selection(self) -> str:
        """The selection."""

    @property
    def over(self) -> str:
        """The other arm."""

    @property
    def gain(self) -> Estimate:
        """The difference."""


def gains_table(gains: Sequence[Compared]) -> str:
    """In markdown: a line a selection, a column for each arm that it is compared with."""
    over = list(dict.fromkeys(one.over for one in gains))
    cells = {(one.selection, one.over): one.gain for one in gains}
    rows = [
        [
            name,
            *(
                with_span(gain.value, gain.low, gain.high, 3, signed=True)
                if (gain := cells.get((name, other))) is not None
                else ""
                for other in over
            ),
        ]
        for name in dict.fromkeys(one.selection for one in gains)
    ]
    headers = [f"Gain [{INTERVAL}]", *(f"over {name}" for name in over)]
    return markdown_table(headers, rows, left=1)


def gains(
    outcomes: Outcomes,
    *,
    random: str = RANDOM,
    global_selection: str = GLOBAL,
    iters: int = RESAMPLES,
    seed: int = 1234,
) -> Gains:
    """Compare every selection with the random one, the best teacher and the global one.

    Args:
        outcomes: with one arm of the kind selection at least.
        random, global_selection: their names; one that is no arm is not compared with.
        iters, seed: of the resampling; the seed also puts the items into fifths.

    Raises:
        DataError: no selection, or nothing to compare one with.
    """
    found = comparisons(outcomes, random=random, global_selection=global_selection, seed=seed)
    if not found.pairs:
        raise DataError(
            "no selection to compare, or nothing to compare it with",
            found=", ".join(outcomes.names),
            remedy=f"add the arms {random} and {global_selection}, a teacher, or a selection",
        )
    apart = contrasts(found.outcomes, found.weights, iters, seed)
    table = tuple(Gain(*pair, gain) for pair, gain in zip(found.pairs, apart, strict=True))
    return Gains(outcomes.label, table, found.chosen, found.other_seeds)


class Comparisons(NamedTuple):
    """What selections are compared with.

    Attributes:
        outcomes: with the arm `BEST_TEACHER`, where there are teachers.
        pairs: selection and other arm; C of them, none if there is nothing to compare.
        weights: (C, A) of the arms' means.
        chosen, other_seeds: as in `Gains`.
    """

    outcomes: Outcomes
    pairs: tuple[tuple[str, str], ...]
    weights: Floats
    chosen: Mapping[str, float]
    other_seeds: bool


def comparisons(
    outcomes: Outcomes, *, random: str = RANDOM, global_selection: str = GLOBAL, seed: int
) -> Comparisons:
    """All comparisons of `gains`, which says what the arguments are."""
    selections = outcomes.of_kind("selection")
    over = [name for name in (random, global_selection) if name in selections]
    chosen: Mapping[str, float] = {}
    other_seeds = False
    if outcomes.teachers and selections:
        teacher_SI, chosen, other_seeds = best_teacher(outcomes, seed)
        outcomes = outcomes.with_arm(BEST_TEACHER, "teacher", teacher_SI)
        over.insert(min(1, len(over)) if random in over else 0, BEST_TEACHER)
    pairs = tuple((name, other) for other in over for name in selections if name != other)
    identity_AA = np.eye(len(outcomes.names))
    weights_CA = np.array([
        identity_AA[outcomes.names.index(name)] - identity_AA[outcomes.names.index(other)]
        for name, other in pairs
    ])  # fmt: skip
    return Comparisons(outcomes, pairs, weights_CA, chosen, other_seeds)


def best_teacher(outcomes: Outcomes, seed: int) -> tuple[Floats, dict[str, float], bool]:
    """(S, I) the values of the teacher that was chosen without them; of a tie the mean.

    A seed has no values if no teacher has both that seed and another. If that leaves none at all,
    teachers are chosen on other items of the same seeds.

    Returns:
        The values, in which share of the cells each teacher was chosen, and whether it was chosen
        on other seeds.
    """
    only = outcomes.only(outcomes.teachers)
    size, n_seeds, n_items = only.values.shape
    folds = min(_FOLDS, n_items)
    fold_I = stream(seed, "folds", outcomes.item_set, str(n_items)).permutation(n_items) % folds
    n_T = only.known.sum(axis=1)
    other_seeds = bool((only.known & (n_T > 1)[:, None]).any())
    found_SI = np.full((n_seeds, n_items), np.nan)
    chosen_T = np.zeros(size)
    for s in range(n_seeds):
        candidates = only.known[:, s] & ((n_T > 1) | (not other_seeds))
        if not candidates.any():
            continue
        seeds = np.arange(n_seeds) != s if other_seeds else np.arange(n_seeds) == s
        item_TI = np.full((size, n_items), -np.inf)
        item_TI[candidates] = np.nanmean(only.values[candidates][:, seeds], axis=1)
        for fold in range(folds):
            held_out = fold_I == fold
            mean_T = item_TI[:, ~held_out if folds > 1 else held_out].mean(axis=1)
            best = mean_T >= mean_T.max() - TIE * max(1.0, abs(mean_T.max()))
            found_SI[s, held_out] = only.values[best, s][:, held_out].mean(axis=0)
            chosen_T += best * held_out.sum() / best.sum()
    share = chosen_T / chosen_T.sum()
    chosen = {name: float(one) for name, one in zip(only.names, share, strict=True) if one > 0}
    return found_SI, chosen, other_seeds
