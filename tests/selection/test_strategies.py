"""Each strategy by hand.

What holds for every strategy, whatever the candidates.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import rank
from lnat_plugins.ranking.table import TIE
from lnat_plugins.selection import ScoredStudent, choose
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.teacher_set import Candidates
from tests.metrics.rows import Row, record_with
from tests.ranking.builders import random_rows
from tests.selection.builders import (
    LOWER,
    names,
    pool_of,
    row,
    run,
    scored_candidates_of,
    select,
    spec_of,
    table,
)


def test_the_best_row_of_each_prompt() -> None:
    pool = table({"A": [-1.0, -3.0, -2.0], "B": [-2.0, -1.0, None], "C": [-1.5, -2.0, -4.0]})
    choice = run(pool, "best")
    assert names(pool, choice.positions) == ["p0 A", "p1 B", "p2 A"]
    assert (choice.ties, choice.weights, choice.reasons) == (0, None, {})


def test_in_a_tie_the_first_row_wins_and_the_others_know_why() -> None:
    pool = table({"A": [-1.0, -3.0], "B": [-1.0, -1.0], "C": [-1.0 - TIE / 2, -1.0]})
    choice = run(pool, "best")
    assert names(pool, choice.positions) == ["p0 A", "p1 B"]
    assert choice.ties == 2
    assert choice.reasons == dict.fromkeys((1, 2, 5), "an equally good row comes first")


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_only_rounding_makes_a_tie(size: float) -> None:
    apart = run(table({"A": [-size - 1e-9 * max(size, 1)], "B": [-size]}), "best")
    assert (apart.positions, apart.ties) == ((1,), 0)
    rounded = run(table({"A": [-size * (1 + 2e-16)], "B": [-size]}), "best")
    assert (rounded.positions, rounded.ties) == ((0,), 1)


def test_rows_of_a_prompt_need_not_stand_together() -> None:
    pool = pool_of(row("p0", "A", -2), row("p1", "A", -1), row("p0", "B", -1), row("p1", "B", -2))
    assert names(pool, run(pool, "best").positions) == ["p1 A", "p0 B"]


def test_samples_of_one_teacher_are_rivals_too() -> None:
    pool = pool_of(row("p0", "A", -2), row("p0", "A", -1, sample=1), row("p0", "B", -1.5))
    assert run(pool, "best").positions == (1,)


def test_the_reasons_of_best() -> None:
    selection = select(table({"A": [-1.0, -3.0], "B": [-2.0, -1.0]}))
    assert selection.reasons == dict.fromkeys(
        (1, 2), "another response to the prompt scored better"
    )
    assert selection.weights == (1.0, 1.0)


POOL = table({"A": [-1.0, -1.1, -5.0], "B": [-4.0, -1.2, -6.0]})  # p0 A, p0 B, p1 A, ...


@pytest.mark.parametrize(
    ("k", "chosen"),
    [
        (1, ["p0 A"]),
        (3, ["p0 A", "p1 A", "p1 B"]),  # two of one prompt, none of another
        (5, ["p0 A", "p0 B", "p1 A", "p1 B", "p2 A"]),
        (99, ["p0 A", "p0 B", "p1 A", "p1 B", "p2 A", "p2 B"]),
    ],
)
def test_the_k_best_of_all(k: int, chosen: list[str]) -> None:
    choice = run(POOL, "top_k", k=k)
    assert names(POOL, choice.positions) == chosen
    assert choice.ties == 0


@pytest.mark.parametrize(
    ("k", "chosen", "ties", "tied"),
    [
        (1, [2], 0, []),
        (2, [0, 2], 1, [3, 5]),
        (3, [0, 2, 3], 1, [5]),
        (4, [0, 2, 3, 5], 0, []),  # the tie is not at the cut
    ],
)
def test_a_tie_at_the_cut_goes_to_the_first_rows(
    k: int, chosen: list[int], ties: int, tied: list[int]
) -> None:
    pool = table({"A": [-2.0, -1.0, -3.0], "B": [-3.0, -2.0, -2.0]})
    choice = run(pool, "top_k", k=k)
    assert (sorted(choice.positions), choice.ties) == (chosen, ties)
    assert choice.reasons == dict.fromkeys(tied, "an equally good row comes first")


@pytest.mark.parametrize(
    ("fraction", "count"), [(1, 6), (1.0, 6), (0.5, 3), (0.51, 4), (1 / 3, 2), (0.01, 1)]
)
def test_a_fraction_is_rounded_up(fraction: float, count: int) -> None:
    assert len(run(POOL, "top_fraction", fraction=fraction).positions) == count


@pytest.mark.parametrize(
    ("fraction", "rows", "count"), [(0.07, 100, 7), (0.28, 25, 7), (0.28, 26, 8), (0.56, 200, 112)]
)
def test_a_fraction_is_taken_as_written(fraction: float, rows: int, count: int) -> None:
    # 0.07 · 100 is 7.000000000000001 in floating point, whose ceiling is 8; 0.28 · 25 likewise.
    pool = table({"A": [-float(i) for i in range(rows)]})
    positions = run(pool, "top_fraction", fraction=fraction).positions
    assert sorted(positions) == list(range(count))


def test_a_fraction_is_one_of_the_rows_that_passed_the_filters() -> None:
    pool = table({"A": [-1.0, -2.0, float("nan"), float("nan")]})
    assert select(pool, strategy="top_fraction", fraction=0.5).indices == (0,)


@pytest.mark.parametrize(
    ("threshold", "chosen"),
    [(-1.1, ["p0 A", "p1 A"]), (-1.15, ["p0 A", "p1 A"]), (-1.2, ["p0 A", "p1 A", "p1 B"])],
)
def test_at_least_the_threshold_where_higher_is_better(threshold: float, chosen: list[str]) -> None:
    selection = select(POOL, strategy="threshold", threshold=threshold)
    assert names(POOL, selection.indices) == chosen
    assert set(selection.reasons.values()) == {"short of the threshold"}


def test_at_most_the_threshold_where_lower_is_better() -> None:
    selection = select(POOL, strategy="threshold", threshold=1.1, metric=LOWER.name)
    assert names(POOL, selection.indices) == ["p0 A", "p1 A"]
    assert selection.scores[:2] == pytest.approx((1.0, 4.0))


def test_rounding_does_not_keep_a_row_from_the_threshold() -> None:
    pool = table({"A": [-(0.1 + 0.2), -0.3]})
    assert pool.rows[0].response.extra["score"] < -0.3
    assert run(pool, "threshold", threshold=-0.3).positions == (0, 1)


def test_the_reasons_of_a_cut() -> None:
    assert select(POOL, strategy="top_k", k=5).reasons == {5: "not among the k best rows"}
    reasons = select(POOL, strategy="top_fraction", fraction=0.8).reasons
    assert reasons == {5: "not among the best fraction of the rows"}


def test_all_rows_of_the_teacher_with_the_best_mean() -> None:
    pool = table({"A": [-1.0, -9.0, -1.0], "B": [-2.0, -2.0, -2.0]})
    choice = run(pool, "best_teacher")
    assert names(pool, choice.positions) == ["p0 B", "p1 B", "p2 B"]
    assert choice.reasons == dict.fromkeys((0, 2, 4), "another teacher ranks higher: B")
    assert choice.ties == 0


def test_only_prompts_that_every_teacher_has_decide_but_all_its_rows_are_chosen() -> None:
    pool = table({"A": [-1.0, -9.0, None], "B": [-2.0, None, -0.1], "C": [-3.0, -0.1, -0.1]})
    assert names(pool, run(pool, "best_teacher").positions) == ["p0 A", "p1 A"]


def test_samples_are_averaged_before_prompts() -> None:
    # Row by row A has the mean -2.5, B -2.4; cell by cell A has -2, B -2.2.
    pool = pool_of(
        *(row("p0", "A", -3.5), row("p0", "A", -2.5, sample=1), row("p0", "A", -3, sample=2)),
        *(row("p1", "A", -1), row("p0", "B", -2), row("p1", "B", -2.4)),
    )
    assert names(pool, run(pool, "best_teacher").positions) == ["p0 A", "p0 A", "p0 A", "p1 A"]


def test_of_equal_teachers_the_one_with_the_first_row_wins() -> None:
    pool = table({"C": [-4.0, -4.0], "B": [-1.0, -2.0], "A": [-2.0, -1.0]})
    choice = run(pool, "best_teacher")
    assert names(pool, choice.positions) == ["p0 B", "p1 B"]
    assert choice.ties == 1
    assert choice.reasons[0] == "another teacher ranks higher: B"
    assert choice.reasons[2] == "an equally good teacher comes first: B"


def test_a_teacher_alone_is_the_best() -> None:
    pool = table({"A": [-1.0, -2.0]})
    assert run(pool, "best_teacher").positions == (0, 1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("metric", [METRICS["local_naturalness"], LOWER], ids=["higher", "lower"])
def test_it_is_the_teacher_that_the_ranking_puts_first(seed: int, metric: object) -> None:
    rows = random_rows(seed)
    prompts = list(dict.fromkeys(each.prompt_id for each in rows))
    ranking = rank(rows, prompts, metric, "4", bootstrap_iters=0)  # type: ignore[arg-type]
    pool = pool_of(
        *(
            row(
                each.prompt_id,
                each.teacher,
                METRICS["local_naturalness"].of(each.record, "4"),
                sample=int(each.record.sample),
            )
            for each in rows
        )
    )
    selection = select(pool, strategy="best_teacher", metric=metric.name)  # type: ignore[attr-defined]
    assert {pool.rows[i].teacher for i in selection.indices} == {ranking.teachers[0].teacher}


# prompt, teacher -> mean rank and mean NLL of a response; lower ratios are better.
RATIO = {
    ("p0", "A"): (10.0, 1.0), ("p1", "A"): (2.0, 4.0),  # ratios 10 and 0.5, of the means 2.4
    ("p0", "B"): (3.0, 1.0), ("p1", "B"): (3.0, 1.0),  # 3 and 3, of the means 3
}  # fmt: skip


def rsr_rows(parts: Mapping[tuple[str, str], tuple[float, float]]) -> list[Row]:
    return [
        Row(prompt, teacher, record_with([-2 * nll], [2], teacher=teacher, capped_rank=[2 * rank]))
        for (prompt, teacher), (rank, nll) in parts.items()
    ]


def best_teachers(rows: Sequence[Row], metric: str) -> set[str]:
    """The teachers that `best_teacher` chooses."""
    pool = pool_of(
        *(row(one.prompt_id, one.teacher, text=f"response {i}") for i, one in enumerate(rows))
    )
    student = ScoredStudent("org/student", [one.record for one in rows], plain=False)
    selection = choose(pool, student, spec_of(strategy="best_teacher", metric=metric))
    return {pool.rows[i].teacher for i in selection.indices}


def first_of_ranking(rows: Sequence[Row], metric: str) -> str:
    prompts = list(dict.fromkeys(one.prompt_id for one in rows))
    return rank(rows, prompts, METRICS[metric], "4", bootstrap_iters=0).teachers[0].teacher


def test_a_ratio_of_means_is_no_mean_of_ratios() -> None:
    rows = rsr_rows(RATIO)
    assert np.mean([10 / 1, 2 / 4]) > np.mean([3 / 1, 3 / 1])
    assert best_teachers(rows, "rsr") == {"A"} == {first_of_ranking(rows, "rsr")}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("metric", ["rsr", "car"])  # lower, and higher is better
def test_a_ratio_of_means_puts_the_teacher_first_that_the_ranking_does(
    seed: int, metric: str
) -> None:
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(5):
        for teacher in "ABC":
            for _ in range(draw.integers(1, 4)):
                tokens = draw.integers(1, 30, size=draw.integers(1, 4))
                record = record_with(
                    (-tokens * draw.gamma(1.0, size=len(tokens))).tolist(),
                    tokens.tolist(),
                    teacher=teacher,
                    capped_rank=(tokens * draw.integers(1, 100, size=len(tokens))).tolist(),
                    reward=float(draw.normal()),
                )
                if i < 2 or draw.random() < 0.8:
                    rows.append(Row(f"p{i}", teacher, record))
    assert best_teachers(rows, metric) == {first_of_ranking(rows, metric)}


def test_denominators_that_cancel_leave_a_teacher_without_a_figure() -> None:
    pool = table({"A": [1.0, 1.0], "B": [1.0, 1.0]})
    parts = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 1.0, -2.0]])  # B: 2 and -2
    candidates = replace(scored_candidates_of(pool, "best_teacher"), parts=parts)
    with pytest.raises(DataError) as caught:
        STRATEGIES["best_teacher"].choose(candidates)
    assert str(caught.value) == (
        "strategy 'best_teacher': a teacher cannot be ranked by this metric: its denominators add "
        "up to 0 (found 'B'). Leave that teacher's rows out, or choose by another metric."
    )
    # In one cell: that prompt is compared by nobody.
    parts = np.array([[1.0, 1.0, 5.0, 1.0], [1.0, 0.0, 1.0, 2.0]])
    choice = STRATEGIES["best_teacher"].choose(replace(candidates, parts=parts))
    assert names(pool, choice.positions) == ["p0 A", "p1 A"]


def test_teachers_without_a_prompt_in_common_cannot_be_compared() -> None:
    pool = table({"A": [-1.0, -1.0, None], "B": [None, -1.0, -2.0], "C": [-1.0, None, None]})
    with pytest.raises(DataError) as caught:
        run(pool, "best_teacher")
    assert str(caught.value) == (
        "strategy 'best_teacher': no prompt has a row of every teacher, so that teachers cannot be "
        "compared (found 'C: 1 of 3 prompts'). Leave that teacher's rows out, loosen the filters, "
        "or choose by `strategy: best`."
    )


def weights(budget: int, *scores: float) -> dict[int, float]:
    pool = table({f"T{i}": [score] for i, score in enumerate(scores)})
    choice = run(pool, "weighted", budget=budget)
    assert choice.weights is not None
    assert set(choice.positions) == set(choice.weights)
    return {place: choice.weights[place] for place in sorted(choice.weights)}


@pytest.mark.parametrize(
    ("budget", "scores", "expected"),
    [
        (2, (-1.0, -2.0, -4.0), {0: 3 / 5, 1: 2 / 5}),
        (2, (-4.0, -2.0, -1.0, -9.0), {1: 2 / 5, 2: 3 / 5}),
        (3, (-1.0, -2.0, -4.0, -5.0), {0: 4 / 8, 1: 3 / 8, 2: 1 / 8}),
        (1, (-1.0, -2.0), {0: 1.0}),
        (3, (-1.0, -2.0, -4.0), {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}),  # exactly B: nobody gets 0
        (5, (-1.0, -2.0), {0: 1 / 2, 1: 1 / 2}),  # fewer than B
        (2, (-1.0, -1.0, -1.0), {0: 1 / 2, 1: 1 / 2}),  # no differences
        (2, (-2.0, -1.0, -2.0), {0: 0.0, 1: 1.0}),  # no lead over the next one
        (2, (-1.0 - TIE / 2, -1.0, -1.0), {0: 1 / 2, 1: 1 / 2}),  # none but rounding
    ],
)
def test_by_hand(budget: int, scores: tuple[float, ...], expected: dict[int, float]) -> None:
    assert weights(budget, *scores) == pytest.approx(expected, abs=1e-12)


def test_each_prompt_has_weights_of_its_own() -> None:
    pool = table({"A": [-1.0, -10.0], "B": [-2.0, -30.0], "C": [-4.0, None]})
    selection = select(pool, strategy="weighted", budget=2)
    assert selection.indices == (0, 1, 3, 4)
    assert selection.weights == pytest.approx((3 / 5, 2 / 5, 1 / 2, 1 / 2))
    assert selection.weighted
    assert selection.reasons == {2: "not among the best `budget` rows of its prompt"}


def test_lower_is_better_has_the_same_weights() -> None:
    pool = table({"A": [-1.0], "B": [-2.0], "C": [-4.0]})
    selection = select(pool, strategy="weighted", budget=2, metric=LOWER.name)
    assert selection.weights == pytest.approx((3 / 5, 2 / 5))


def test_a_tie_at_the_cut_is_counted() -> None:
    pool = table({"A": [-2.0, -1.0], "B": [-1.0, -2.0], "C": [-2.0, -3.0]})
    choice = run(pool, "weighted", budget=2)
    assert (sorted(choice.positions), choice.ties) == ([0, 1, 3, 4], 1)
    assert choice.reasons == {2: "an equally good row comes first"}


MANY = pool_of(*(row(f"p{i}", teacher) for i in range(600) for teacher in "ABC"))


def test_one_row_of_each_prompt_is_drawn_and_each_as_often() -> None:
    choice = run(MANY, "random")
    assert sorted(MANY.rows[i].prompt_id for i in choice.positions) == sorted(
        f"p{i}" for i in range(600)
    )
    counts = Counter(MANY.rows[i].teacher for i in choice.positions)
    # 600 draws of three: 200 each, four standard deviations are 46.
    assert all(abs(counts[teacher] - 200) < 46 for teacher in "ABC")
    assert choice.ties == 0


def test_the_seed_decides() -> None:
    first = run(MANY, "random", seed=1).positions
    assert run(MANY, "random", seed=1).positions == first
    assert run(MANY, "random", seed=2).positions != first


def test_other_prompts_and_their_order_play_no_part() -> None:
    expected = set(names(MANY, run(MANY, "random").positions))
    rows = [each for each in MANY.rows if each.prompt_id not in ("p0", "p7")]
    fewer = pool_of(*sorted(rows, key=lambda each: each.prompt_id, reverse=True))
    found = set(names(fewer, run(fewer, "random").positions))
    assert found == {name for name in expected if name.split()[0] not in ("p0", "p7")}


@pytest.mark.parametrize(("strategy", "teachers"), [("shortest", "BA"), ("longest", "CB")])
def test_length_decides_and_the_first_row_in_a_tie(strategy: str, teachers: str) -> None:
    pool = pool_of(
        *(row("p0", "A", tokens=9), row("p0", "B", tokens=3), row("p0", "C", tokens=20)),
        *(row("p1", "A", tokens=5), row("p1", "B", tokens=8), row("p1", "C", tokens=8)),
        row("p1", "D", tokens=5),
    )
    choice = run(pool, strategy)
    assert [pool.rows[i].teacher for i in choice.positions] == list(teachers)
    assert choice.ties == 1


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("random", "another response to the prompt was drawn"),
        ("shortest", "another response to the prompt is shorter"),
        ("longest", "another response to the prompt is longer"),
    ],
)
def test_the_reasons_of_a_control(strategy: str, reason: str) -> None:
    pool = pool_of(row("p0", "A", tokens=3), row("p0", "B", tokens=4))
    selection = select(pool, strategy=strategy)
    assert set(selection.reasons.values()) == {reason}
    assert (selection.metric, selection.window, selection.higher_is_better) == (None, None, None)


OPTIONS: dict[str, dict[str, Any]] = {
    "top_k": {"k": 4},
    "top_fraction": {"fraction": 0.3},
    "threshold": {"threshold": -1.5},
    "weighted": {"budget": 2},
    "length_biased": {"fraction": 0.4},
    "diverse": {"k": 3},
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
                sample=int(each.response.sample),
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
        assert strategy in (
            "balanced",
            "best_teacher",
            "diverse",
        )  # sums may be equal where no score is
