"""What holds for every strategy, whatever the candidates."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.teacher_set import Candidates
from tests.selection.builders import (
    pool_of,
    row,
    select,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "top_k": {"k": 4},
    "top_fraction": {"fraction": 0.3},
    "threshold": {"threshold": -1.5},
    "weighted": {"budget": 2},
}
ALL = sorted(STRATEGIES)
ONE_A_PROMPT = ["balanced", "best", "longest", "random", "shortest"]


@st.composite
def pools(draw: st.DrawFn, *, distinct: bool = False) -> Candidates:
    """Two to six prompts, the first of them with all three teachers, at least one good row."""
    keys = [("p0", teacher) for teacher in "ABC"]
    for i in range(1, draw(st.integers(2, 6))):
        wrote = draw(st.lists(st.sampled_from("ABC"), min_size=1, max_size=5))
        keys += [(f"p{i}", teacher) for teacher in wrote]
    size = len(keys)
    # Sixteenths add up without rounding, so that a constant more changes no last digit.
    sixteenths = st.integers(-64, -1)
    scores = draw(st.lists(sixteenths, min_size=size, max_size=size, unique=distinct))
    tokens = draw(st.lists(st.integers(1, 99), min_size=size, max_size=size, unique=distinct))
    return pool_of(
        row("p0", "A", -0.03125, tokens=100, sample=-1),
        *(
            row(prompt, teacher, score / 16, tokens=count, sample=sample)
            for sample, ((prompt, teacher), score, count) in enumerate(
                zip(keys, scores, tokens, strict=True)
            )
        ),
    )


def block(strategy: str) -> dict[str, Any]:
    return {"strategy": strategy, **OPTIONS.get(strategy, {})}


@pytest.mark.parametrize("strategy", ALL)
@settings(max_examples=40, deadline=None)
@given(pool=pools())
def test_every_row_is_chosen_or_has_a_reason(strategy: str, pool: Candidates) -> None:
    selection = select(pool, **block(strategy))  # checks that each row is one or the other
    assert all(selection.reasons.values())
    assert set(selection.teachers) == set(pool.teachers)
    if strategy in ONE_A_PROMPT:
        counts = Counter(selection.prompts[i] for i in selection.indices)
        assert max(counts.values()) == 1
        assert strategy == "balanced" or counts.keys() == set(selection.prompts)


@settings(max_examples=60, deadline=None)
@given(pool=pools(), budget=st.integers(1, 5))
def test_weights_of_a_prompt_sum_to_one(pool: Candidates, budget: int) -> None:
    selection = select(pool, strategy="weighted", budget=budget)
    sums: defaultdict[str, float] = defaultdict(float)
    for index, weight in zip(selection.indices, selection.weights, strict=True):
        sums[selection.prompts[index]] += weight
    assert sums == pytest.approx(dict.fromkeys(selection.prompts, 1.0))
    sizes = Counter(selection.prompts)
    chosen = Counter(selection.prompts[i] for i in selection.indices)
    assert chosen == {prompt: min(budget, size) for prompt, size in sizes.items()}


@pytest.mark.parametrize("strategy", sorted(set(ALL) - {"threshold"}))
@settings(max_examples=30, deadline=None)
@given(pool=pools(), more=st.sampled_from([-4.0, 0.5, 16.0]))
def test_a_constant_more_changes_nothing(strategy: str, pool: Candidates, more: float) -> None:
    moved = pool_of(
        *(
            row(
                each.prompt_id,
                each.teacher,
                each.response.extra["score"] + more,
                tokens=each.response.extra["tokens"],
                text=each.text,
            )
            for each in pool.rows
        )
    )
    one, other = select(pool, **block(strategy)), select(moved, **block(strategy))
    assert (one.indices, one.reasons, one.ties) == (other.indices, other.reasons, other.ties)
    assert one.weights == pytest.approx(other.weights)


@pytest.mark.parametrize("strategy", sorted(set(ALL) - {"random"}))
@settings(max_examples=30, deadline=None)
@given(pool=pools(distinct=True), draw=st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing_but_ties(
    strategy: str, pool: Candidates, draw: Any
) -> None:
    rows = draw.sample(pool.rows, len(pool.rows))
    shuffled = pool_of(*rows)
    one, other = select(pool, **block(strategy)), select(shuffled, **block(strategy))
    if one.ties == other.ties == 0:
        assert {pool.rows[i].text for i in one.indices} == {
            shuffled.rows[i].text for i in other.indices
        }
    else:
        assert strategy in ("balanced", "best_teacher")  # sums may be equal where no score is
