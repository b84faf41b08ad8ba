"""`top_fraction`: the best share of the whole pool. Knows nothing of prompts."""

from __future__ import annotations

import math

from lnat_plugins.selection.strategies._options import share
from lnat_plugins.selection.strategies._top import top_rows
from lnat_plugins.selection.strategy import REQUIRED, Choice, Contest, Option, Strategy


def top_fraction(contest: Contest) -> Choice:
    """The ceil(fraction · n) best of the n rows that passed the filters: at least one.

    The fraction is taken as written: 0.07 of 100 rows are 7, not the 8 that floating point
    gives. A tie at the cut counts as one.
    """
    return top_rows(
        contest.goodness, math.ceil(contest.options["fraction"] * len(contest.goodness))
    )


STRATEGY = Strategy(
    name="top_fraction",
    description="the best share of all rows, whatever their prompts",
    choose=top_fraction,
    otherwise="not among the best fraction of the rows",
    needs=frozenset({"scores"}),
    options={
        "fraction": Option(
            share,
            REQUIRED,
            "share of the rows that passed the filters, 0.1 for a tenth; rounded up",
        )
    },
)
