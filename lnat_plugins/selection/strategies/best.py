"""`best`: the best row of each prompt. Knows nothing of what rows are compared by."""

from __future__ import annotations

from lnat_plugins.selection.strategies._top import first_of_each_prompt
from lnat_plugins.selection.strategy import Choice, Contest, Strategy


def best(contest: Contest) -> Choice:
    """argmax over the prompt's rows, whoever wrote them. Ties: the first row."""
    return first_of_each_prompt(contest, contest.goodness)


STRATEGY = Strategy(
    name="best",
    description="the best row of each prompt",
    choose=best,
    otherwise="another response to the prompt scored better",
    needs=frozenset({"scores"}),
    source="arXiv 2510.03988 (response selection)",
)
