"""`balanced` is exact: against trying everything, and against a linear programme."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from lnat_plugins.selection import Candidates, Choice
from lnat_plugins.selection.balanced import Counts, assign, in_shares, under_quotas
from tests.selection.builders import pool_of, row, run, total
from tests.selection.strategies import oracle

SCORES = st.one_of(
    st.integers(-3, 0).map(float),  # many ties
    st.floats(-5, 0, allow_subnormal=False),
    st.sampled_from([-1.0, -1.0 - 1e-9, -1.0 - 1e-11, -1000.0]),  # fine differences
)


@st.composite
def pools(draw: st.DrawFn) -> Candidates:
    """One to five prompts of up to three teachers, some with two rows; any order."""
    prompts = [f"p{i}" for i in range(draw(st.integers(1, 5)))]
    keys = [(prompt, teacher) for prompt in prompts for teacher in "ABC"]
    twice = draw(st.sampled_from([[], keys[:2]]))
    rows = [
        row(prompt, teacher, draw(SCORES), sample=sample)
        for sample, (prompt, teacher) in enumerate([*keys, *twice])
        if draw(st.integers(0, 3))
    ]
    return pool_of(*draw(st.permutations(rows or [row("p0", "A")])))


def found(pool: Candidates, choice: Choice) -> tuple[int, float]:
    chosen = choice.positions
    assert len({pool.rows[i].prompt_id for i in chosen}) == len(chosen)
    return len(chosen), pytest.approx(total(pool, chosen), abs=1e-10)


QUOTAS = st.one_of(
    st.integers(1, 4), st.dictionaries(st.sampled_from("ABC"), st.integers(0, 4), min_size=1)
)


@settings(max_examples=200, deadline=None)
@given(pool=pools(), quota=QUOTAS)
def test_no_choice_under_quotas_is_better(pool: Candidates, quota: int | dict[str, int]) -> None:
    choice = run(pool, "balanced", quota=quota)
    assert oracle.best_under_quotas(pool, quota) == found(pool, choice)
    counts = Counter(pool.rows[i].teacher for i in choice.positions)
    limits = quota if isinstance(quota, dict) else dict.fromkeys("ABC", quota)
    assert all(counts[teacher] <= most for teacher, most in limits.items())


@settings(max_examples=200, deadline=None)
@given(pool=pools(), parts=st.tuples(*[st.sampled_from([0, 0.5, 1, 2, 7])] * 3))
def test_no_choice_in_the_same_shares_is_better(pool: Candidates, parts: tuple[float, ...]) -> None:
    mix = {
        teacher: part
        for teacher, part in zip("ABC", parts, strict=True)
        if part and teacher in pool.teachers
    } or dict.fromkeys(pool.teachers, 1)
    choice = run(pool, "balanced", teacher_mix=mix)
    exact = {teacher: Fraction(part) for teacher, part in mix.items()}
    assert oracle.best_in_shares(pool, exact) == found(pool, choice)
    counts = Counter(pool.rows[i].teacher for i in choice.positions)
    assert oracle.keeps_shares(counts, exact)


@settings(max_examples=100, deadline=None)
@given(pool=pools())
def test_equal_shares_are_the_default(pool: Candidates) -> None:
    equal = dict.fromkeys(pool.teachers, Fraction(1))
    assert oracle.best_in_shares(pool, equal) == found(pool, run(pool, "balanced"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["own level", "few values", "far apart"])
@pytest.mark.parametrize("bound", ["quotas", "shares"])
def test_a_linear_programme_finds_no_more(seed: int, kind: str, bound: str) -> None:
    draw = np.random.default_rng(seed)
    size = int(draw.integers(50, 300)), int(draw.integers(2, 7))
    values_PT = {
        "own level": draw.normal(size=(size[0], 1))
        + draw.normal(size=size) / 10
        + np.arange(size[1]),
        "few values": draw.integers(0, 3, size=size).astype(float),
        "far apart": np.exp(draw.normal(size=size) * 4),
    }[kind]
    has_PT = draw.random(size) < 0.7
    has_PT[0] = True
    values_PT[~has_PT] = -np.inf
    if bound == "quotas":
        counts = under_quotas(has_PT, draw.integers(1, size[0] // size[1] + 9, size[1]).tolist())
    else:
        parts = draw.integers(1, 9, size[1]).tolist()
        counts = in_shares(has_PT, [Fraction(part, sum(parts)) for part in parts])
    column_P, _ = assign(values_PT, np.zeros(size, dtype=np.int64), counts)
    count_T = np.bincount(column_P, minlength=size[1] + 1)[:-1]
    assert count_T.sum() == counts.total
    assert ((count_T >= counts.least) & (count_T <= counts.most)).all()
    given_P = np.nonzero(column_P < size[1])[0]
    reached = values_PT[given_P, column_P[given_P]].sum()
    assert reached == pytest.approx(_programme(values_PT, counts), rel=1e-8)


def _programme(values_PT: np.ndarray, counts: Counts) -> float:
    """The largest total, from scipy's simplex method on the table as it stands."""
    n_prompts, n_teachers = values_PT.shape
    prompt, teacher = np.nonzero(np.isfinite(values_PT))
    rows = np.eye(n_prompts)[:, prompt]
    columns = np.eye(n_teachers)[:, teacher]
    result = linprog(
        -values_PT[prompt, teacher],
        A_ub=np.vstack([rows, columns, -columns]),
        b_ub=np.concatenate([np.ones(n_prompts), counts.most, np.negative(counts.least)]),
        A_eq=np.ones((1, len(prompt))),
        b_eq=[counts.total],
        method="highs-ds",
    )
    assert result.status == 0
    return float(-result.fun)
