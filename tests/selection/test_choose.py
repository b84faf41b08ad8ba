"""Filters, then scores, then the strategy: what is asked of the student, and what comes out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lnat_plugins.selection.strategies import STRATEGIES
from tests.selection.builders import LOWER, FakeStudent, names, pool_of, row, select, spec_of, table

FILTERED = pool_of(
    row("p0", "A", -1.0, correct=False),
    row("p0", "B", -2.0, correct=True, text="same"),
    row("p0", "C", -1.5, correct=True, text="same"),
    row("p0", "C", -3.0, correct=True, tokens=4092),
    row("p0", "A", -2.5, correct=True, sample=1, tokens=4091),
    row("p1", "A", -1.0),
    row("p1", "B", math.nan, correct=True),
    row("p1", "C", -9.0, correct=True),
)


def test_rows_that_a_filter_took_are_never_scored() -> None:
    student = FakeStudent()
    selection = select(FILTERED, student, require_correct=True, max_length=4096)
    assert student.read == [[1, 3, 4, 6, 7]]
    assert student.scored == [[1, 4, 6, 7]]
    assert student.measured == []
    assert selection.indices == (1, 7)
    assert selection.reasons == {
        0: "`correct` is false",
        2: "duplicate: B gave the same response before",
        3: "longer than max_length: 4097 tokens",
        4: "another response to the prompt scored better",
        5: "`correct` is not given",
        6: "the score is undefined: too long",
    }


def test_a_score_that_was_not_taken_is_no_number() -> None:
    scores = select(FILTERED, require_correct=True, max_length=4096).scores
    assert scores == pytest.approx(
        (*[math.nan, -2.0] * 1, *[math.nan] * 2, -2.5, *[math.nan] * 2, -9.0), nan_ok=True
    )


def test_lengths_are_asked_for_only_where_something_reads_them() -> None:
    student = FakeStudent()
    select(FILTERED, student)
    assert (student.read, student.measured) == ([], [])
    select(FILTERED, student, strategy="shortest")
    assert student.measured == [[0, 1, 3, 4, 5, 6, 7]]


def test_what_is_kept_of_the_pool_and_the_block() -> None:
    pool = table({"A": [-1.0, None], "B": [-2.0, -1.0]})
    selection = select(pool, metric="global_naturalness", seed=7, require_correct=False)
    assert selection.teachers == ("A", "B", "B")
    assert selection.prompts == ("p0", "p0", "p1")
    assert (selection.strategy, selection.metric, selection.window) == (
        "best",
        "global_naturalness",
        "global",
    )
    assert selection.higher_is_better is True
    assert selection.settings == spec_of(metric="global_naturalness", seed=7).written
    assert selection.settings["window"] == "global"
    assert (selection.pool, selection.student) == (pool.fingerprint, "org/student")


def test_duplicates_stay_where_they_are_asked_to() -> None:
    selection = select(FILTERED, drop_duplicates=False, strategy="threshold", threshold=-2)
    assert selection.indices == (0, 1, 2, 5)


@pytest.mark.parametrize("strategy", ["random", "shortest", "longest"])
def test_controls_do_not_score(strategy: str) -> None:
    student = FakeStudent()
    selection = select(FILTERED, student, strategy=strategy)
    assert student.scored == []
    assert selection.metric is None
    assert all(map(math.isnan, selection.scores))
    # Nothing is scored, so that nothing is undefined: row 6 may be chosen.
    assert "the score is undefined" not in selection.left_out


def test_a_margin_is_one_of_scores_even_for_a_strategy_that_reads_none() -> None:
    pool = table({"A": [-1.0, -1.0], "B": [-1.1, -3.0], "C": [-4.0, -5.0]})
    student = FakeStudent()
    selection = select(pool, student, strategy="random", min_margin=0.5)
    assert student.scored == [[0, 1, 2, 3, 4, 5]]
    assert {selection.prompts[i] for i in selection.indices} == {"p1"}
    assert selection.reasons[0] == "below min_margin: the best row leads by 0.1"
    assert selection.metric == "local_naturalness"


def test_the_margin_is_in_the_metric_s_own_direction() -> None:
    pool = table({"A": [-1.0, -1.0], "B": [-1.2, -3.0], "C": [-9.0, -3.1]})
    selection = select(pool, min_margin=0.5, metric=LOWER.name)
    assert names(pool, selection.indices) == ["p1 A"]
    assert selection.left_out["below min_margin"] == {"A": 1, "B": 1, "C": 1}


SOME = table(
    {
        "A": [-1.0, -3.0, -2.0, -2.5],
        "B": [-2.0, -1.0, -2.5, None],
        "C": [-2.2, -2.0, -1.0, -4.0],
    }
)
OPTIONS: dict[str, dict[str, Any]] = {
    "top_k": {"k": 3},
    "top_fraction": {"fraction": 0.4},
    "weighted": {"budget": 2},
}


@pytest.mark.parametrize(
    "strategy",
    [name for name, one in STRATEGIES.items() if "scores" in one.needs and name != "threshold"],
)
def test_a_metric_turned_round_chooses_the_same_rows(strategy: str) -> None:
    block = {"strategy": strategy, **OPTIONS.get(strategy, {})}
    higher = select(SOME, **block)
    lower = select(SOME, metric=LOWER.name, **block)
    assert lower.indices == higher.indices
    assert lower.weights == higher.weights
    assert lower.reasons == higher.reasons
    assert (lower.higher_is_better, higher.higher_is_better) == (False, True)
    assert lower.scores == tuple(-score for score in higher.scores)


def test_every_strategy_is_under_its_own_name_and_none_can_be_added() -> None:
    assert list(STRATEGIES) == [
        *("best", "top_k", "top_fraction", "threshold", "best_teacher"),
        *("weighted", "balanced", "random", "shortest", "longest"),
    ]
    assert all(strategy.name == name for name, strategy in STRATEGIES.items())
    assert all(strategy.description for strategy in STRATEGIES.values())
    assert [strategy.name for strategy in STRATEGIES.values() if strategy.weighs] == ["weighted"]
    with pytest.raises(TypeError):
        STRATEGIES["mine"] = STRATEGIES["best"]  # type: ignore[index]
