"""The number of prompts that would settle a lead, and how often it does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.budget.needed import MOST, POWER, prompts_needed
from lnat_plugins.budget.sequential import critical


def test_a_clearer_lead_needs_fewer_and_a_tie_has_no_number() -> None:
    found = [prompts_needed(lead, 0.1, 100, 20.0) for lead in (0.3, 0.25, 0.2)]
    assert all(each is not None for each in found)
    assert found == sorted(found, key=lambda each: each or 0)
    assert prompts_needed(0.0, 0.1, 100, 20.0) is None
    assert prompts_needed(0.3, 0.0, 100, 20.0) is None


@pytest.mark.parametrize("spread", [1.5, 3.0])
def test_that_many_prompts_settle_it_as_often_as_promised(spread: float) -> None:
    """True leads are drawn `spread` standard errors of 100 prompts wide."""
    generator, n, threshold = np.random.default_rng(4), 100, 20.0
    given = reached = 0
    for _ in range(4000):
        true = spread / math.sqrt(n) * generator.normal()
        seen = true + generator.normal() / math.sqrt(n)
        if abs(seen) * math.sqrt(n) >= critical(n, threshold):
            continue
        number = prompts_needed(abs(seen), 1 / math.sqrt(n), n, threshold)
        if number is None or given >= 400:
            continue
        given += 1
        more = number - n
        total = n * seen + more * true + math.sqrt(more) * generator.normal()
        reached += abs(total) / math.sqrt(number) >= critical(number, threshold)
    assert given > 50
    assert reached / given > POWER - 0.15
    assert MOST == 100
