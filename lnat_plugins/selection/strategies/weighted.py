"""`weighted`: the best few rows of each prompt, weighed by their lead. Knows no teachers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.selection.strategies._options import whole
from lnat_plugins.selection.strategies._top import TIED, near, top
from lnat_plugins.selection.strategy import REQUIRED, Choice, Contest, Option, Strategy


def weighted(contest: Contest) -> Choice:
    """The B = `budget` best rows of each prompt, with LARK's weights, which sum to 1 a prompt.

    w_k = (g_k − g_{B+1}) / Σ_{j≤B} (g_j − g_{B+1}), where g is goodness in falling order.

    Deviation: with B rows or fewer there is no g_{B+1}, and all weigh the same; the authors' code
    takes the last row's g instead, and so gives that row weight 0. All weigh the same, too, if
    all differences are 0. A tie at a prompt's cut counts as one; a chosen row in it has weight 0
    unless all have.

    Source: arXiv 2605.30651 (LARK), for any metric instead of LARK's own.
    """
    weights: dict[int, float] = {}
    reasons: dict[int, str] = {}
    ties = 0
    for group in contest.by_prompt:
        values = contest.goodness[list(group)]
        chosen, tied = top(values, contest.options["budget"])
        shares = _weights(values, chosen).tolist()
        weights |= {group[place]: share for place, share in zip(chosen, shares, strict=True)}
        reasons |= {group[place]: TIED for place in tied}
        ties += bool(tied)
    return Choice(tuple(weights), weights, reasons, ties)


def _weights(values: NDArray[np.float64], chosen: tuple[int, ...]) -> NDArray[np.float64]:
    left = np.delete(values, chosen)
    uniform = np.full(len(chosen), 1 / len(chosen))
    if not len(left):
        return uniform
    lead = values[list(chosen)] - left.max()
    # Of rows in a tie the first is chosen, even if rounding puts it below the one left out.
    lead[lead <= near(float(left.max()))] = 0.0
    return lead / lead.sum() if lead.any() else uniform


STRATEGY = Strategy(
    name="weighted",
    description="the best rows of each prompt, weighed by how far they lead the next one",
    choose=weighted,
    otherwise="not among the best `budget` rows of its prompt",
    needs=frozenset({"scores"}),
    options={"budget": Option(whole, REQUIRED, "how many rows of each prompt are chosen")},
    source="arXiv 2605.30651 (LARK)",
    weighs=True,
)
