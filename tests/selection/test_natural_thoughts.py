"""Rows drawn by length, and rows chosen for their reasoning strategies."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnat_plugins.metrics.controls import SEED, random
from lnat_plugins.selection.natural_thoughts import diverse, length_biased
from tests.metrics.rows import Row, record_with
from tests.selection.builders import pool_of, row, scored_candidates_of, select


def drawn(lengths: list[int], seed: int, fraction: float, tau: float = 1.0) -> tuple[int, ...]:
    pool = pool_of(*(row(f"p{i}", "A", tokens=n) for i, n in enumerate(lengths)))
    given = scored_candidates_of(pool, "length_biased", seed=seed, fraction=fraction, tau=tau)
    return length_biased(given).positions


def probability(lengths: list[int], chosen: tuple[int, ...], tau: float) -> float:
    """Of drawing these rows, in any order, one after another without replacement."""
    weights = [n**tau for n in lengths]
    return sum(
        prod(weights[i] / (sum(weights) - sum(weights[j] for j in order[:place]))
             for place, i in enumerate(order))
        for order in permutations(chosen)
    )  # fmt: skip


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.5])
def test_rows_are_drawn_one_after_another_in_proportion(tau: float) -> None:
    lengths, runs = [10, 20, 40, 80], 4000
    counts = Counter(drawn(lengths, seed, 0.5, tau) for seed in range(runs))
    for chosen in combinations(range(4), 2):
        p = probability(lengths, chosen, tau)
        # five standard errors
        assert abs(counts[chosen] / runs - p) < 5 * (p * (1 - p) / runs) ** 0.5 + 1e-9


def test_a_rows_draw_does_not_depend_on_the_others() -> None:
    rows = [row(f"p{i}", "A", tokens=10 + i) for i in range(40)]
    whole = select(pool_of(*rows), strategy="length_biased", fraction=0.5)
    ids = {whole.prompts[i] for i in whole.indices}
    turned = select(pool_of(*reversed(rows)), strategy="length_biased", fraction=0.5)
    assert {turned.prompts[i] for i in turned.indices} == ids
    other = select(pool_of(*rows), strategy="length_biased", fraction=0.5, seed=1)
    assert {other.prompts[i] for i in other.indices} != ids


def test_the_draw_is_another_one_than_that_of_the_control() -> None:
    """Rows that the metric `random` puts first are drawn as often as others, with its seed too."""
    rows = [row(f"p{i}", "A", tokens=10) for i in range(2000)]
    values = np.array(random([Row(f"p{i}", "A", record_with(teacher="A")) for i in range(2000)]))
    chosen = select(pool_of(*rows), strategy="length_biased", fraction=0.5, seed=SEED).indices
    highest = set(np.argsort(-values)[:1000].tolist())
    # five standard errors of a hypergeometric count around 500
    assert abs(len(highest & set(chosen)) - 500) < 5 * (2000 / 16) ** 0.5


def test_the_fraction_is_rounded_up_and_tau_takes_the_longest() -> None:
    assert len(drawn([5] * 10, 0, 0.41)) == 5
    assert drawn([1, 900, 30, 800], 0, 0.5, tau=500.0) == (1, 3)
    assert len(drawn([0, 0, 0], 0, 1.0, tau=0.0)) == 3
    assert drawn([0, 7, 0, 9], 3, 0.5) == (1, 3)


def texts(*found: str) -> list[int]:
    pool = pool_of(*(row(f"p{i}", "A", text=text) for i, text in enumerate(found)))
    return list(select(pool, strategy="diverse", k=2).indices)


def test_the_rarest_reasoning_strategies_come_first() -> None:
    assert texts("Wait.", "Wait, verify it.", "Suppose so.") == [1, 2]
    assert texts("nothing", "nothing", "Verify.") == [0, 2]
    assert texts("Wait.", "Wait.", "Wait. Verify.") == [0, 2]


def test_a_tie_at_the_end_is_counted() -> None:
    found = ["Wait.", "Verify.", "Hm"]
    pool = pool_of(*(row(f"p{i}", "A", text=text) for i, text in enumerate(found)))
    selection = select(pool, strategy="diverse", k=1)
    assert (selection.indices, selection.ties) == ((0,), 1)
    assert selection.reasons[1] == "an equally good row comes first"
    assert selection.reasons[2] == "its reasoning strategies are shown by the chosen rows"


@settings(deadline=None)
@given(
    st.lists(st.frozensets(st.sampled_from("abcdef")), min_size=1, max_size=9), st.integers(1, 9)
)
def test_each_row_has_the_highest_gain_when_it_is_chosen(
    shown: list[frozenset[str]], k: int
) -> None:
    pool = pool_of(*(row(f"p{i}", "A", text="x") for i in range(len(shown))))
    for one, own in zip(pool.rows, shown, strict=True):
        one.response.extra["reasoning_strategies"] = sorted(own)  # type: ignore[index]
    found = diverse(scored_candidates_of(pool, "diverse", k=k)).positions
    expected: list[int] = []
    counts: Counter[str] = Counter()
    for _ in range(min(k, len(shown))):
        left = [i for i in range(len(shown)) if i not in expected]
        gains = {i: sum(1 / (1 + counts[s]) for s in sorted(shown[i])) for i in left}
        best = max(gains.values())
        expected.append(next(i for i in left if gains[i] > best - 1e-12))
        counts.update(shown[expected[-1]])
    assert found == tuple(sorted(expected))
