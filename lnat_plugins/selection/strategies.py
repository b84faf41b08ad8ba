"""The built-in selection strategies, by name.

`balanced` has a file of its own, and so have those that compare teachers (`teachers.py`) and those
of NaturalThoughts. Of equally good rows the first one is chosen, and the tie is counted. Shapes: n
candidates.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from lnat_plugins.selection.balanced import BALANCED
from lnat_plugins.selection.base import (
    REQUIRED,
    Choice,
    Option,
    ScoredCandidates,
    Strategy,
    choose_per_prompt,
    choose_top,
    number,
    share,
    tolerance,
    whole_number,
)
from lnat_plugins.selection.natural_thoughts import DIVERSE, LENGTH_BIASED
from lnat_plugins.selection.teachers import BEST_SET, BEST_TEACHER


def top_fraction(candidates: ScoredCandidates) -> Choice:
    """The ceil(fraction · n) best of the n rows that passed the filters: at least one.

    The fraction is exact: 0.07 of 100 rows are 7, not the 8 that floating point gives.
    """
    count = math.ceil(candidates.options["fraction"] * len(candidates.scores))
    return choose_top(candidates.scores, count)


def threshold(candidates: ScoredCandidates) -> Choice:
    """Rows that reach the threshold, which is given in the metric's own unit and direction.

    At least the threshold where the metric is better when higher, at most where it is better
    when lower. A score that misses it by rounding alone reaches it. If none does, every reason
    gives the best score.
    """
    sign = 1 if candidates.higher_is_better else -1
    bar = candidates.options["threshold"] * sign
    chosen = tuple(np.flatnonzero(candidates.scores >= bar - tolerance(bar)).tolist())
    if chosen:
        return Choice(chosen)
    best_score = sign * float(candidates.scores.max())
    reason = f"{STRATEGIES['threshold'].default_reason}: the best score is {best_score:.4g}"
    return Choice((), reasons=dict.fromkeys(range(len(candidates.rows)), reason))


def weighted(candidates: ScoredCandidates) -> Choice:
    """The B = `budget` best rows of each prompt, with LARK's weights, which sum to 1 a prompt.

    w_k = (s_k − s_{B+1}) / Σ_{j≤B} (s_j − s_{B+1}), where s are the prompt's scores, falling.

    Deviation: with B rows or fewer there is no s_{B+1}, and all weigh the same; the authors' code
    takes the last row's s instead, and so gives that row weight 0. All weigh the same, too, if
    all differences are 0. Of rows that tie at a prompt's cut, a chosen one has weight 0 unless all
    have.

    Source: arXiv 2605.30651 (LARK), for any metric instead of LARK's own.
    """
    choice = choose_per_prompt(candidates, candidates.scores, candidates.options["budget"])
    all_chosen = set(choice.positions)
    weights: dict[int, float] = {}
    for group in candidates.by_prompt:
        chosen = [i for i in group if i in all_chosen]
        others = candidates.scores[[i for i in group if i not in all_chosen]]
        lead = np.ones(len(chosen))
        if len(others):
            lead = candidates.scores[chosen] - others.max()
            # The first row of a tie is chosen, even if rounding puts it below the best others.
            lead[lead <= tolerance(float(others.max()))] = 0.0
        lead = lead if lead.any() else np.ones(len(chosen))
        weights.update(zip(chosen, (lead / lead.sum()).tolist(), strict=True))
    return replace(choice, weights=weights)


def random(candidates: ScoredCandidates) -> Choice:
    """One of each prompt's rows, all equally likely; the same seed draws the same row.

    Every prompt has a generator of its own, seeded with `seed` and the prompt's id: what is drawn
    depends on these and on the number of its rows, not on other prompts or their order.
    """
    positions = []
    for group in candidates.by_prompt:
        digest = hashlib.sha256(candidates.rows[group[0]].prompt_id.encode()).digest()
        draw = np.random.default_rng([candidates.seed, int.from_bytes(digest, "big")])
        positions.append(group[int(draw.integers(len(group)))])
    return Choice(tuple(positions))


_ALL: Final = (
    Strategy(
        name="best",
        description="the best row of each prompt",
        choose=lambda candidates: choose_per_prompt(candidates, candidates.scores),
        default_reason="another response to the prompt scored better",
        needs=frozenset({"scores"}),
        source="arXiv 2510.03988 (response selection)",
    ),
    Strategy(
        name="top_k",
        description="the k best rows of all, whatever their prompts",
        choose=lambda candidates: choose_top(candidates.scores, candidates.options["k"]),
        default_reason="not among the k best rows",
        needs=frozenset({"scores"}),
        options={"k": Option(whole_number, REQUIRED, "how many rows are chosen")},
    ),
    Strategy(
        name="top_fraction",
        description="the best share of all rows, whatever their prompts",
        choose=top_fraction,
        default_reason="not among the best fraction of the rows",
        needs=frozenset({"scores"}),
        options={
            "fraction": Option(
                share,
                REQUIRED,
                "share of the rows that passed the filters, 0.1 for a tenth; rounded up",
            )
        },
    ),
    Strategy(
        name="threshold",
        description="every row whose score reaches a threshold",
        choose=threshold,
        default_reason="short of the threshold",
        needs=frozenset({"scores"}),
        options={
            "threshold": Option(
                number,
                REQUIRED,
                "in the metric's unit: at least so much, or at most where lower is better",
            )
        },
    ),
    BEST_TEACHER,
    BEST_SET,
    Strategy(
        name="weighted",
        description="the best rows of each prompt, weighed by how far they lead the next one",
        choose=weighted,
        default_reason="not among the best `budget` rows of its prompt",
        needs=frozenset({"scores"}),
        options={
            "budget": Option(whole_number, REQUIRED, "how many rows of each prompt are chosen")
        },
        source="arXiv 2605.30651 (LARK)",
        weighs=True,
    ),
    BALANCED,
    LENGTH_BIASED,
    DIVERSE,
    Strategy(
        name="all",
        description="every row that has a score, for formats that read wrong rows too",
        choose=lambda candidates: Choice(tuple(range(len(candidates.rows)))),
        default_reason="it has no score",
        needs=frozenset({"scores"}),
    ),
    Strategy(
        name="random",
        description="a row of each prompt at random (a control)",
        choose=random,
        default_reason="another response to the prompt was drawn",
    ),
    Strategy(
        name="shortest",
        description="the shortest row of each prompt (a control)",
        choose=lambda candidates: choose_per_prompt(candidates, -candidates.tokens),
        default_reason="another response to the prompt is shorter",
        needs=frozenset({"tokens"}),
    ),
    Strategy(
        name="longest",
        description="the longest row of each prompt (a control)",
        choose=lambda candidates: choose_per_prompt(candidates, candidates.tokens),
        default_reason="another response to the prompt is longer",
        needs=frozenset({"tokens"}),
    ),
)

STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType({one.name: one for one in _ALL})
