"""`longest`: the longest row of each prompt, a control for `best`. Knows no scores."""

from __future__ import annotations

import numpy as np

from lnat_plugins.selection.strategies._top import first_of_each_prompt
from lnat_plugins.selection.strategy import Choice, Contest, Strategy


def longest(contest: Contest) -> Choice:
    """The response with the most tokens. Ties: the first row."""
    return first_of_each_prompt(contest, contest.tokens.astype(np.float64))


STRATEGY = Strategy(
    name="longest",
    description="the longest row of each prompt (a control)",
    choose=longest,
    otherwise="another response to the prompt is longer",
    needs=frozenset({"tokens"}),
)
