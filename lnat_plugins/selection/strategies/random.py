"""`random`: one row of each prompt by lot, a control for `best`. Knows no scores."""

from __future__ import annotations

import hashlib

import numpy as np

from lnat_plugins.selection.strategy import Choice, Contest, Strategy


def random(contest: Contest) -> Choice:
    """One of each prompt's rows, all equally likely; the same seed draws the same row.

    Every prompt has a generator of its own, seeded with `seed` and the prompt's id: what is drawn
    depends on these and on the number of its rows, not on other prompts or their order.
    """
    positions = []
    for group in contest.by_prompt:
        name = hashlib.sha256(contest.rows[group[0]].prompt_id.encode()).digest()
        draw = np.random.default_rng([contest.seed, int.from_bytes(name, "big")])
        positions.append(group[int(draw.integers(len(group)))])
    return Choice(tuple(positions))


STRATEGY = Strategy(
    name="random",
    description="a row of each prompt by lot (a control)",
    choose=random,
    otherwise="another response to the prompt was drawn",
)
