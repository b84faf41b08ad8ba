"""How chosen rows stand in the training set: how often (`resample`), and in which order (`order`).

Applied to every choice, a plugin's own too. Shapes: n chosen rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from lnat_plugins.errors import ConfigError
from lnat_plugins.ranking.table import Floats, Ints
from lnat_plugins.selection.result import NOT_DRAWN, Selection
from lnat_plugins.selection.spec import EASY, HARD, SelectionSpec

SEQUENTIAL: Final = {"train_sampling_strategy": "sequential"}
"""TRL's setting that trains on rows in the order of the data."""

_BY_LENGTH: Final = ("group_by_length", "batch_rebalance")
_BEST_FIT: Final = "bfd"


def arrange(selection: Selection, spec: SelectionSpec) -> Selection:
    """The choice with its rows drawn by weight and put in order, where the block says so.

    Raises:
        ConfigError: an order by scores for the choice of a plugin that gives no metric, or a draw
            by weights that are all 0.
    """
    if spec.resample:
        selection = resampled(selection, spec.seed)
    if spec.order is not None:
        selection = replace(selection, sequence=tuple(_ordered(selection, spec)))
    return selection


def resampled(selection: Selection, seed: int) -> Selection:
    """As many rows as were chosen, drawn from them by weight, with replacement; all weigh 1.

    A row that is not drawn is no longer chosen. The draw is systematic, in an order of its own:
    the weights of each prompt sum to the same, so that in the order of the data one start would
    decide alike in all prompts. (Hartley and Rao, Annals of Mathematical Statistics 33, 1962.)
    """
    weights_n = np.array(selection.weights)
    if not weights_n.any():
        raise ConfigError("all weights are 0, so no row can be drawn", where=selection.strategy)
    draw = np.random.default_rng(seed)
    order_n = draw.permutation(len(weights_n))
    times_n = np.empty(len(weights_n), dtype=np.int64)
    times_n[order_n] = systematic(weights_n[order_n], draw.random())
    drawn = [i for i, times in zip(selection.indices, times_n, strict=True) if times]
    weight_of = dict(zip(selection.indices, selection.weights, strict=True))
    total = math.fsum(selection.weights)
    missed = {
        i: f"{NOT_DRAWN}: {len(weight_of) * weight_of[i] / total:.3g} times expected"
        for i in set(weight_of).difference(drawn)
    }
    return replace(
        selection,
        indices=tuple(drawn),
        weights=(1.0,) * len(drawn),
        reasons=dict(sorted({**selection.reasons, **missed}.items())),
        sequence=tuple(np.repeat(selection.indices, times_n).tolist()),
    )


def systematic(weights_n: Floats, start: float) -> Ints:
    """Systematic resampling: how often each of n rows is drawn, n times in all.

    The rows lie end to end on a line of length n, row i on n·w_i/Σw of it; drawn are the rows at
    start, 1 + start, … n - 1 + start. Over a start that is uniform in [0, 1) a row is drawn
    n·w_i/Σw times on average, exactly; whatever the start, less than once more or less often.

    Source: Kitagawa, Journal of Computational and Graphical Statistics 5 (1996), 1-25; Douc, Cappé
    and Moulines, arXiv cs/0507025 (section 2.4).

    Args:
        weights_n: (n,) finite, 0 or more, not all 0.
        start: in [0, 1).

    Returns:
        (n,) counts that sum to n; 0 for a weight of 0.
    """
    n = len(weights_n)
    ends_n = np.cumsum(weights_n / weights_n.max())
    below_n = np.ceil(ends_n / ends_n[-1] * n - start)
    # Rounding must not move the end of the line, or a row of weight 0 that lies there.
    below_n[ends_n >= ends_n[-1]] = n
    counts_n: Ints = np.diff(below_n, prepend=0.0).astype(np.int64)
    return counts_n


def _ordered(selection: Selection, spec: SelectionSpec) -> Iterable[int]:
    rows = selection.rows
    if spec.order not in (EASY, HARD):
        drawn = np.random.default_rng(spec.seed).permutation(len(rows))
        return [rows[place] for place in drawn]
    if selection.higher_is_better is None:
        raise ConfigError(
            f"`order: {spec.order}` needs scores, and the choice of a plugin brings none",
            where=spec.source, remedy="remove `order`",
        )  # fmt: skip
    # Of equally easy rows the first in the data comes first; those without a score come last.
    sign = -1 if selection.higher_is_better == (spec.order == EASY) else 1

    def place(index: int) -> tuple[bool, float, int]:
        score = selection.scores[index]
        return (math.isnan(score), 0.0 if math.isnan(score) else sign * score, index)

    return sorted(rows, key=place)


def check_order(settings: Mapping[str, Any], where: str = "") -> None:
    """Refuse settings of TRL's with which rows would not reach the model in their order.

    Args:
        settings: TRL's keys; one that is missing has its default.
        where: where they stand, for the message.

    Raises:
        ConfigError: names the setting.
    """
    get = settings.get
    problems: Sequence[tuple[str, bool, str]] = (
        ("shuffle_dataset: true", bool(get("shuffle_dataset")), "remove it"),
        (
            f"train_sampling_strategy: {get('train_sampling_strategy')}",
            get("train_sampling_strategy") in _BY_LENGTH,
            "remove it",
        ),
        (
            f"packing_strategy: {get('packing_strategy', _BEST_FIT)}",
            bool(get("packing")) and get("packing_strategy", _BEST_FIT) != "wrapped",
            "set `packing_strategy: wrapped`, which keeps the order, or `packing: false`",
        ),
    )
    for found, is_so, remedy in problems:
        if is_so:
            raise ConfigError(
                "the rows would not be trained on in the `order` of the selection",
                where=where, found=found, remedy=f"{remedy}; or remove `order`",
            )  # fmt: skip
