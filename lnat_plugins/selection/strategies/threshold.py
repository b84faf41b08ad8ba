"""`threshold`: every row that is good enough. Knows nothing of prompts."""

from __future__ import annotations

import numpy as np

from lnat_plugins.selection.strategies._options import number
from lnat_plugins.selection.strategies._top import near
from lnat_plugins.selection.strategy import REQUIRED, Choice, Contest, Option, Strategy


def threshold(contest: Contest) -> Choice:
    """Rows that reach the threshold, which is written on the metric's own scale.

    At least the threshold where the metric is better when higher, at most where it is better
    when lower. A value that rounding alone keeps from it (`ranking.winners.TIE`) reaches it.
    If none does, every reason tells the best score.
    """
    sign = 1 if contest.higher_is_better else -1
    bar = contest.options["threshold"] * sign
    chosen = tuple(np.flatnonzero(contest.goodness >= bar - near(bar)).tolist())
    if chosen:
        return Choice(chosen)
    why = f"{STRATEGY.otherwise}: the best score is {sign * float(contest.goodness.max()):.4g}"
    return Choice((), reasons=dict.fromkeys(range(len(contest.rows)), why))


STRATEGY = Strategy(
    name="threshold",
    description="every row whose score reaches a threshold",
    choose=threshold,
    otherwise="short of the threshold",
    needs=frozenset({"scores"}),
    options={
        "threshold": Option(
            number,
            REQUIRED,
            "in the metric's unit: at least so much, or at most where lower is better",
        )
    },
)
