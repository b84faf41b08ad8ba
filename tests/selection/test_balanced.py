"""`balanced`: parts of teachers by hand, refusals, reasons; and that it is exact."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Choice
from lnat_plugins.selection.balanced import (
    Counts,
    apportion,
    assign,
    counts_in_shares,
    counts_under_quotas,
)
from lnat_plugins.teacher_set import Candidates
from tests.selection import oracle
from tests.selection.builders import (
    LOWER,
    FakeStudent,
    names,
    pool_of,
    row,
    run,
    select,
    table,
    total,
)

# A is better everywhere, by 5, 1, 3 and 2.
LEADS = table({"A": [-1.0, -1.0, -1.0, -1.0], "B": [-6.0, -2.0, -4.0, -3.0]})


def chosen(pool: Candidates, **options: Any) -> list[str]:
    return names(pool, run(pool, "balanced", **options).positions)


def test_a_teacher_keeps_the_prompts_where_it_leads_by_most() -> None:
    assert chosen(LEADS) == ["p0 A", "p1 B", "p2 A", "p3 B"]
    assert chosen(LEADS, quota=3) == ["p0 A", "p1 B", "p2 A", "p3 A"]
    assert chosen(LEADS, quota={"A": 1}) == ["p0 A", "p1 B", "p2 B", "p3 B"]
    assert chosen(LEADS, teacher_mix={"A": 3, "B": 1}) == ["p0 A", "p1 B", "p2 A", "p3 A"]


def test_greedy_choices_would_lose() -> None:
    # Prompt by prompt p0 takes A (-1) and leaves p1 with B (-9); together -3 is possible.
    pool = table({"A": [-1.0, -1.0], "B": [-2.0, -9.0]})
    assert chosen(pool, quota=1) == ["p0 B", "p1 A"]


def test_rows_move_over_a_third_teacher_too() -> None:
    pool = table({"A": [0.0, 0.0, None], "B": [-1.0, None, 0.0], "C": [None, None, -1.0]})
    assert chosen(pool, quota=1) == ["p0 B", "p1 A", "p2 C"]


def test_more_prompts_come_before_a_better_total() -> None:
    pool = table({"A": [0.0, 0.0], "B": [-1000.0, None]})
    assert chosen(pool, quota=1) == ["p0 B", "p1 A"]


def test_under_a_quota_prompts_may_get_nobody() -> None:
    pool = table({"A": [-1.0, -5.0, -1.0, -2.0], "B": [None, -1.0, None, None]})
    selection = select(pool, strategy="balanced", quota=2)
    assert names(pool, selection.indices) == ["p0 A", "p1 B", "p2 A"]
    assert selection.reasons == {
        1: "another response to the prompt scored better",
        4: "its prompt got no row: the quotas of its teachers are used up",
    }


def test_a_quota_beyond_all_rows_is_none() -> None:
    assert chosen(LEADS, quota=10**30) == ["p0 A", "p1 A", "p2 A", "p3 A"]


def test_a_quota_of_nothing_leaves_a_teacher_out() -> None:
    assert chosen(LEADS, quota={"A": 0}) == ["p0 B", "p1 B", "p2 B", "p3 B"]


@pytest.mark.parametrize(
    ("mix", "rows", "counts"),
    [
        ({"A": 1, "B": 1}, 10, {"A": 5, "B": 5}),
        ({"A": 0.2, "B": 0.6}, 8, {"A": 2, "B": 6}),
        ({"A": 1, "B": 2, "C": 3}, 12, {"A": 2, "B": 4, "C": 6}),
        ({"A": 1, "B": 2, "C": 3}, 10, {"A": 2, "B": 3, "C": 5}),  # 1.67, 3.33, 5
        ({"A": 10, "B": 1}, 5, {"A": 5}),  # 4.55 and 0.45
        ({"B": 1}, 4, {"B": 4}),
    ],
)
def test_shares_become_whole_numbers_by_largest_remainder(
    mix: dict[str, float], rows: int, counts: dict[str, int]
) -> None:
    pool = table({"A": [-3.0] * rows, "B": [-1.0] * rows, "C": [-2.0] * rows})
    positions = run(pool, "balanced", teacher_mix=mix).positions
    assert Counter(pool.rows[i].teacher for i in positions) == counts


@pytest.mark.parametrize(
    ("total", "shares", "least", "most"),
    [
        (4, ["1/4", "3/4"], (1, 3), (1, 3)),
        (5, ["1/4", "3/4"], (1, 4), (1, 4)),  # 1.25 and 3.75
        (3, ["1/2", "1/2"], (1, 1), (2, 2)),  # either of them is rounded up
        (3, ["1/6", "1/3", "1/2"], (0, 1, 1), (1, 1, 2)),  # 0.5, 1 and 1.5
        (4, ["1/3", "1/3", "1/3"], (1, 1, 1), (2, 2, 2)),
        (5, ["1/3", "1/3", "1/3"], (1, 1, 1), (2, 2, 2)),
        (2, ["1/7", "3/7", "3/7"], (0, 1, 1), (0, 1, 1)),
        (1, ["1/7", "3/7", "3/7"], (0, 0, 0), (0, 1, 1)),
    ],
)
def test_the_largest_remainders_are_rounded_up(
    total: int, shares: list[str], least: tuple[int, ...], most: tuple[int, ...]
) -> None:
    counts = apportion(total, [Fraction(share) for share in shares])
    assert counts == Counts(total, least, most)


def test_shares_are_rounded_as_they_are_written() -> None:
    # 0.5, 1 and 1.5 rows: A or C gets one more. With 0.1 / (0.1 + 0.2 + 0.3) it would be A.
    pool = table({"A": [-9.0] * 3, "B": [-1.0] * 3, "C": [-1.0] * 3})
    positions = run(pool, "balanced", teacher_mix={"A": 0.1, "B": 0.2, "C": 0.3}).positions
    assert Counter(pool.rows[i].teacher for i in positions) == {"B": 1, "C": 2}


def test_equal_remainders_go_where_they_gain_more() -> None:
    pool = table({"A": [-1.0, -1.0, -1.0], "B": [-2.0, -1.5, -1.5]})
    assert chosen(pool) == ["p0 A", "p1 A", "p2 B"]
    pool = table({"A": [-2.0, -1.5, -1.5], "B": [-1.0, -1.0, -1.0]})
    assert chosen(pool) == ["p0 B", "p1 A", "p2 B"]


def test_as_many_rows_as_the_mix_allows() -> None:
    # B has two rows: with equal shares, five rows at most (three and two).
    pool = table({"A": [-1.0] * 8, "B": [-2.0, -2.0, *[None] * 6]})
    selection = select(pool, strategy="balanced")
    assert selection.chosen_by_teacher == {"A": 3, "B": 2}
    assert selection.dropped == {
        "its prompt got no row": {"A": 3},
        "its teacher's part is used up": {"A": 2},
    }
    assert "its prompt got no row: with more rows the shares of teachers could not be kept" in (
        selection.reasons.values()
    )


def test_why_rows_were_dropped() -> None:
    pool = pool_of(
        *(row("p0", "A", -1), row("p0", "B", -2), row("p0", "A", -1.5, sample=1)),
        *(row("p1", "A", -1), row("p1", "B", -1.5), row("p1", "A", -1, sample=1)),
        *(row("p2", "C", -0.5), row("p2", "B", -3), row("p2", "A", -1)),
    )
    selection = select(pool, strategy="balanced", teacher_mix={"A": 2, "B": 1})
    assert names(pool, selection.indices) == ["p0 A", "p1 B", "p2 A"]
    used_up = "its teacher's part is used up: A gives 2 to prompts that need it more"
    assert selection.reasons == {
        1: "another response to the prompt scored better",
        2: "another response to the prompt scored better",
        3: used_up,
        5: used_up,
        6: "its teacher is not in teacher_mix",
        7: "another response to the prompt scored better",
    }


def test_ties_prefer_rows_at_the_front_and_are_counted() -> None:
    pool = table({"A": [-1.0] * 4, "B": [-1.0] * 4})
    choice = run(pool, "balanced")
    assert names(pool, choice.positions) == ["p0 A", "p1 A", "p2 B", "p3 B"]
    assert choice.ties == 4
    assert choice.reasons[1] == "an equally good row comes first"
    assert choice.reasons[4].startswith("its teacher's part is used up: A gives 2 ")


@pytest.mark.parametrize(
    ("pool", "ties"),
    [
        (LEADS, 0),
        # p0 and p1 could change places; p2 could not.
        (table({"A": [-1.0, -2.0, -1.0, -9.0], "B": [-3.0, -4.0, -9.0, -1.0]}), 2),
        # The same over three teachers: nothing is equal in any one prompt.
        (table({"A": [0.0, -3.0, -1.0], "B": [-1.0, 0.0, -3.0], "C": [-3.0, -1.0, 0.0]}), 0),
        (table({"A": [0.0, -3.0, -1.0], "B": [0.0, 0.0, -3.0], "C": [-3.0, 0.0, 1.0]}), 0),
        (table({"A": [0.0, -3.0, 0.0], "B": [0.0, 0.0, -3.0], "C": [-3.0, 0.0, 0.0]}), 3),
    ],
)
def test_a_tie_is_an_exchange_that_costs_nothing(pool: Candidates, ties: int) -> None:
    assert run(pool, "balanced").ties == ties


def test_equal_rows_of_one_teacher_are_a_tie_if_one_of_them_is_chosen() -> None:
    pool = pool_of(
        *(row("p0", "A", -1), row("p0", "A", -1, sample=1), row("p0", "B", -5)),
        *(row("p1", "A", -5), row("p1", "A", -5, sample=1), row("p1", "B", -1)),
    )
    choice = run(pool, "balanced")
    assert names(pool, choice.positions) == ["p0 A", "p1 B"]
    assert choice.ties == 1
    assert choice.reasons[1] == "an equally good row comes first"


def test_lower_is_better() -> None:
    selection = select(LEADS, strategy="balanced", metric=LOWER.name)
    assert names(LEADS, selection.indices) == ["p0 A", "p1 B", "p2 A", "p3 B"]


NO_SUCH = "no row is by this teacher (found 'Qwq'). Did you mean 'QwQ'? known: QwQ, R1."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quota": {"Qwq": 1}}, f"quota: {NO_SUCH}"),
        ({"teacher_mix": {"R1": 1, "Qwq": 1}}, f"teacher_mix: {NO_SUCH}"),
        (
            {"quota": 1, "teacher_mix": {"QwQ": 1}},
            "`quota` and `teacher_mix` exclude each other. Keep one of them.",
        ),
    ],
)
def test_options_that_cannot_hold_are_refused_before_scoring(
    options: dict[str, Any], message: str
) -> None:
    student = FakeStudent()
    with pytest.raises(ConfigError) as caught:
        select(table({"QwQ": [-1.0], "R1": [-2.0]}), student, strategy="balanced", **options)
    assert str(caught.value) == f"sft.yaml: selection: {message}"
    assert student == FakeStudent()


def test_a_teacher_of_the_mix_that_no_filter_lets_through_is_an_error() -> None:
    pool = pool_of(row("p0", "A", correct=True), row("p0", "B", correct=False))
    mix = {"A": 1, "B": 1}
    with pytest.raises(DataError) as caught:
        select(pool, strategy="balanced", require_correct=True, teacher_mix=mix)
    assert str(caught.value) == (
        "strategy 'balanced': no row of a teacher in `teacher_mix` passed the filters (found 'B'). "
        "Loosen the filters, or leave the teacher out of the mix."
    )
    quota = {"A": 1, "B": 1}
    assert select(pool, strategy="balanced", require_correct=True, quota=quota).indices == (0,)


def test_quotas_of_nothing_for_all_leave_an_empty_selection() -> None:
    with pytest.raises(DataError, match="8 rows: its prompt got no row"):
        select(LEADS, strategy="balanced", quota={"A": 0, "B": 0})


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
        counts = counts_under_quotas(
            has_PT, draw.integers(1, size[0] // size[1] + 9, size[1]).tolist()
        )
    else:
        parts = draw.integers(1, 9, size[1]).tolist()
        counts = counts_in_shares(has_PT, [Fraction(part, sum(parts)) for part in parts])
    column_P, _ = assign(values_PT, np.zeros(size, dtype=np.int64), counts)
    count_T = np.bincount(column_P, minlength=size[1] + 1)[:-1]
    assert count_T.sum() == counts.total
    assert ((count_T >= counts.least) & (count_T <= counts.most)).all()
    given_P = np.nonzero(column_P < size[1])[0]
    reached = values_PT[given_P, column_P[given_P]].sum()
    assert reached == pytest.approx(_programme(values_PT, counts), rel=1e-8)


def test_a_lead_far_below_the_largest_score_counts() -> None:
    none = -np.inf
    values_PT = np.array([[-1.0, -1000.0], [-1.000000001, none], [none, 0.0]])
    row_PT = np.array([[1, 0], [2, 9], [9, 3]])
    column_P, _ = assign(values_PT, row_PT, Counts(total=2, least=(0, 0), most=(1, 1)))
    assert column_P.tolist() == [0, 2, 1]


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
