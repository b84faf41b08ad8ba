"""How many prompts would settle a lead that is not settled yet."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from lnat_plugins.budget.sequential import critical

POWER: Final = 0.8
"""The probability with which that many prompts settle it."""

MOST: Final = 100
"""Sought up to this many times the prompts read."""

_GRID: Final = 200
_NODES_D, _WEIGHTS_D = np.polynomial.hermite_e.hermegauss(31)


def prompts_needed(lead: float, error: float, n: int, threshold: float) -> int | None:
    """The smallest total number of prompts at which the test is decided with probability `POWER`.

    The true lead is not the observed one: it is drawn from its posterior, where the share of an
    observed lead that is chance is uniform on (0, 1) beforehand (Daniels 1999), as for
    `ranking.best_set`. An observed lead taken for the true one promises too much, because the true
    lead may be 0. Decided means either way: the rival may turn out to be better.

    Simulated, two teachers, 100 prompts, true leads 1, 2 and 4 standard errors wide: the number is
    given in .13, .26 and .32 of the races that are not settled, and settles .81, .92 and .95 of
    these. Half an error wide it is given in .08, and settles .51.

    Args:
        lead: observed mean difference over n prompts, nats per token.
        error: its standard error.
        threshold: of the e-value, see `sequential.critical`.

    Returns:
        None if `MOST` times n do not suffice, or the lead has no error.
    """
    from scipy import special

    if not error > 0 or n < 3:
        return None
    chance_G = (np.arange(_GRID) + 0.5) / _GRID
    observed = lead / error
    weight_G = np.sqrt(chance_G) * np.exp(-0.5 * chance_G * observed**2)
    weight_G /= weight_G.sum()
    # Of the true lead, in standard errors: mean (1 - chance) · observed, variance 1 - chance.
    true_GD = (1 - chance_G)[:, None] * observed + np.sqrt(1 - chance_G)[:, None] * _NODES_D
    weight_GD = weight_G[:, None] * _WEIGHTS_D / _WEIGHTS_D.sum()

    def power(size: int) -> float:
        # t of `size` prompts: those seen, and further ones with the true lead.
        more = size - n
        mean_GD = (n * observed + more * true_GD) / math.sqrt(size * n)
        deviation = math.sqrt(more / size)
        bound = critical(size, threshold)
        above = special.ndtr((mean_GD - bound) / deviation)
        below = special.ndtr((-mean_GD - bound) / deviation)
        return float((weight_GD * (above + below)).sum())

    short, enough = n, MOST * n
    if power(enough) < POWER:
        return None
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if power(middle) >= POWER else (middle, enough)
    return enough
