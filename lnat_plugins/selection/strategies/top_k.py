"""`top_k`: the k best rows of the whole pool. Knows nothing of prompts."""

from __future__ import annotations

from lnat_plugins.selection.strategies._options import whole
from lnat_plugins.selection.strategies._top import top_rows
from lnat_plugins.selection.strategy import REQUIRED, Choice, Contest, Option, Strategy


def top_k(contest: Contest) -> Choice:
    """The k best of all rows, or all if there are no more; a prompt may get several or none.

    A tie at the cut counts as one.
    """
    return top_rows(contest.goodness, contest.options["k"])


STRATEGY = Strategy(
    name="top_k",
    description="the k best rows of all, whatever their prompts",
    choose=top_k,
    otherwise="not among the k best rows",
    needs=frozenset({"scores"}),
    options={"k": Option(whole, REQUIRED, "how many rows are chosen")},
)
