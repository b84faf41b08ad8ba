"""Filters, then scores, then the strategy: what the student computes, and what comes out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import Metric
from lnat_plugins.selection import Choice, ScoredCandidates, SelectionSpec, choose
from lnat_plugins.selection.select import drop_duplicates, drop_incorrect, drop_long, drop_narrow
from lnat_plugins.selection.strategies import STRATEGIES
from tests.selection.builders import LOWER, FakeStudent, names, pool_of, row, select, spec_of, table


def test_only_rows_known_to_be_correct_stay() -> None:
    rows = pool_of(row("p0", "A", correct=True), row("p0", "B", correct=False), row("p0", "C")).rows
    reasons: dict[int, str] = {}
    assert drop_incorrect(rows, reasons, "sft.yaml") == [rows[0]]
    assert reasons == {1: "`correct` is false", 2: "`correct` is not given"}


def test_rows_that_never_say_what_is_correct_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        drop_incorrect(pool_of(row("p0", "A"), row("p0", "B")).rows, {}, "sft.yaml: selection")
    assert str(caught.value) == (
        "sft.yaml: selection: `require_correct` needs a column that says which rows are correct, "
        "and none does. Name it under `columns: {correct: ...}`, or remove `require_correct`."
    )


def test_all_wrong_is_not_the_same_as_not_said() -> None:
    reasons: dict[int, str] = {}
    rows = pool_of(row("p0", "A", correct=False), row("p0", "B", correct=False)).rows
    assert drop_incorrect(rows, reasons, "") == []
    assert list(reasons) == [0, 1]


def test_of_equal_responses_to_a_prompt_the_first_stays() -> None:
    rows = pool_of(
        row("p0", "A", text="7"),
        row("p0", "B", text="7 "),
        row("p0", "C", text="7"),
        row("p1", "C", text="7"),
        row("p0", "A", text="7", sample=1),
    ).rows
    reasons: dict[int, str] = {}
    assert drop_duplicates(rows, reasons) == [rows[0], rows[1], rows[3]]
    assert reasons == dict.fromkeys((2, 4), "duplicate: A gave the same response before")


def test_a_row_as_long_as_allowed_stays() -> None:
    rows = pool_of(row("p0", "A"), row("p0", "B"), row("p0", "C")).rows
    reasons: dict[int, str] = {}
    assert drop_long(rows, [4096, 5000, 4097], 4096, reasons) == [rows[0]]
    assert reasons == {
        1: "longer than max_length: 5000 tokens",
        2: "longer than max_length: 4097 tokens",
    }


@pytest.mark.parametrize(
    ("values", "margin", "kept"),
    [
        ([-1.0, -1.5, -1.6], 0.5, True),
        ([-1.0, -1.5, -1.2], 0.5, False),  # the second best counts, not the second row
        ([-1.2, -1.0], 0.2, True),  # 0.19999999999999996 in floating point
        ([-1.0, -1.0], 0.0, True),
        ([-1.0, -1.0], 1e-9, False),
        ([-1.0], 99.0, True),  # no rival
        ([-1e6, -1e6 - 0.1], 0.1, True),  # 0.09999999997671694
        ([1e6, 1e6 - 0.1], 0.1, True),
        ([-1e6, -1e6 - 0.0999], 0.1, False),  # less by far than rounding explains
        ([-1e-6, -1.1e-6], 2e-7, False),
    ],
)
def test_a_prompt_is_kept_if_its_best_row_leads_by_the_margin(
    values: list[float], margin: float, kept: bool
) -> None:
    rows = pool_of(*(row("p0", teacher) for teacher, _ in zip("ABC", values, strict=False))).rows
    reasons: dict[int, str] = {}
    found = drop_narrow(rows, np.array(values), margin, reasons)
    assert found == (list(rows) if kept else [])
    assert set(reasons) == (set() if kept else set(range(len(values))))


def test_every_row_of_a_narrow_prompt_goes_with_the_lead_as_its_reason() -> None:
    rows = pool_of(row("p0", "A"), row("p1", "A"), row("p0", "B"), row("p1", "B")).rows
    reasons: dict[int, str] = {}
    # Row 2 was taken away before: row 0 has no rival left, whatever the array holds.
    kept = drop_narrow([rows[0], rows[1], rows[3]], np.array([-1, -1, -1, -1.25]), 0.5, reasons)
    assert kept == [rows[0]]
    assert reasons == dict.fromkeys((1, 3), "below min_margin: the best row leads by 0.25")


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


def test_lengths_are_computed_only_where_something_reads_them() -> None:
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


def test_duplicates_stay_if_the_block_keeps_them() -> None:
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
    assert "the score is undefined" not in selection.dropped


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
    assert selection.dropped["below min_margin"] == {"A": 1, "B": 1, "C": 1}


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
        *("best", "top_k", "top_fraction", "threshold", "best_teacher", "best_set"),
        *(
            "weighted",
            "balanced",
            "length_biased",
            "diverse",
            "all",
            "random",
            "shortest",
            "longest",
        ),
    ]
    assert all(strategy.name == name for name, strategy in STRATEGIES.items())
    assert all(strategy.description for strategy in STRATEGIES.values())
    assert [strategy.name for strategy in STRATEGIES.values() if strategy.weighs] == ["weighted"]
    with pytest.raises(TypeError):
        STRATEGIES["mine"] = STRATEGIES["best"]  # type: ignore[index]


POOL = table({"A": [-1.0, -1.0], "B": [-1.25, -3.0]})
WRONG = pool_of(
    row("p0", "A", correct=False), row("p0", "B", correct=False), row("p0", "C", text="x" * 99)
)
LONG = pool_of(row("p0", "A", tokens=10), row("p0", "B", tokens=11))
UNDEFINED = table({"A": [math.nan], "B": [math.nan]})
EMPTY = "sft.yaml: selection: the selection would be empty "


@pytest.mark.parametrize(
    ("pool", "block", "counts", "scored"),
    [
        (
            WRONG,
            {"require_correct": True},
            "(2 rows: `correct` is false; 1 row: `correct` is not given)",
            0,
        ),
        (LONG, {"max_length": 14}, "(2 rows: longer than max_length)", 0),
        (WRONG, {"max_length": 14}, "(3 rows: longer than max_length: 15 tokens)", 0),
        (UNDEFINED, {}, "(2 rows: the score is undefined: too long)", 1),
        (POOL, {"min_margin": 2.5}, "(4 rows: below min_margin)", 1),
        (
            POOL,
            {"min_margin": 1, "strategy": "threshold", "threshold": 0},
            "(2 rows: below min_margin: the best row leads by 0.25; "
            "2 rows: short of the threshold: the best score is -1)",
            1,
        ),
        (
            POOL,
            {"strategy": "threshold", "threshold": 0.5, "metric": LOWER.name},
            "(4 rows: short of the threshold: the best score is 1)",
            1,
        ),
    ],
)
def test_an_empty_selection_counts_the_dropped_rows(
    pool: Any, block: dict[str, Any], counts: str, scored: int
) -> None:
    student = FakeStudent()
    with pytest.raises(DataError) as caught:
        select(pool, student, **block)
    assert str(caught.value) == EMPTY + counts + ". Loosen the setting that dropped most of them."
    assert len(student.scored) == scored


def test_a_pool_that_does_not_say_what_is_correct_is_refused_at_once() -> None:
    student = FakeStudent()
    with pytest.raises(ConfigError, match=r"^sft\.yaml: selection: `require_correct` needs a col"):
        select(POOL, student, require_correct=True)
    assert student == FakeStudent()


def chosen_by(choice: Any, **fields: Any) -> SelectionSpec:
    """A strategy of a plugin that returns this, or raises it."""

    def strategy(candidates: ScoredCandidates) -> Any:
        if isinstance(choice, Exception):
            raise choice
        return choice

    mine = replace(STRATEGIES["best"], name="mine", choose=strategy, owner="my.py", **fields)
    return replace(spec_of(), strategy=mine)


@pytest.mark.parametrize(
    ("pool", "block"),
    [(UNDEFINED, {}), (LONG, {"max_length": 14}), (POOL, {"min_margin": 2.5})],
)
def test_a_strategy_is_not_asked_where_no_row_is_left(pool: Any, block: dict[str, Any]) -> None:
    spec = replace(spec_of(**block), strategy=chosen_by(AssertionError("asked")).strategy)
    with pytest.raises(DataError, match=f"^{EMPTY}"):
        choose(pool, FakeStudent(), spec)


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        (Choice((0, 4)), "a position outside of 0 to 3"),
        (Choice((-1,)), "a position outside of 0 to 3"),
        (Choice((1, 1)), "a duplicate position"),
        (Choice((0.5,)), "it cannot be read ('float' object cannot be interpreted as an integer)"),
        (Choice(("0",)), "it cannot be read ('str' object cannot be interpreted as an integer)"),
        (Choice(3), "it cannot be read ('int' object is not iterable)"),
        (Choice(None), "it cannot be read ('NoneType' object is not iterable)"),
        pytest.param(
            Choice(1 // zero for zero in (0,)), "it cannot be read (ZeroDivisionError: ", id="late"
        ),
        (Choice((0,), 0), "it cannot be read ('int' object has no attribute 'items')"),
        (Choice((0,), {0: 10**400}), "a weight that is negative or not finite"),
        (Choice((0,), {0: 1e300}), "a weight beyond 1e+100"),
        (Choice((0, 1), {0: 1.0}), "weights for other rows than the chosen ones"),
        (Choice((0,), {0: 1.0, 1: 1.0}), "weights for other rows than the chosen ones"),
        (Choice((0,), {}), "weights for other rows than the chosen ones"),
        (Choice((0,), {0: -0.5}), "a weight that is negative or not finite"),
        (Choice((0,), {0: math.nan}), "a weight that is negative or not finite"),
        (Choice((0,), {0: math.inf}), "a weight that is negative or not finite"),
        (Choice((0,), {0: "heavy"}), "a weight that is no number, 'heavy'"),
        (Choice((0,), {0: "1.5"}), "a weight that is no number, '1.5'"),
        (Choice((0,), {0: True}), "a weight that is no number, True"),
        (Choice((0,), {0: None}), "a weight that is no number, None"),
        (Choice((0,), [1.0]), "it cannot be read ('list' object has no attribute 'items')"),
        (Choice((0,), reasons=["late"]), "it cannot be read ('list' object has no attribute 'i"),
        (Choice((0,), reasons={"1": "late"}), "it cannot be read ('str' object cannot be interp"),
        (Choice((0,), reasons={1: None}), "a reason that is no text, None"),
        (Choice((0,), reasons={1: " "}), "a reason that is no text, ' '"),
        (Choice((0,), ties=0.5), "it cannot be read ('float' object cannot be interpreted as an"),
        (Choice((0,), ties=-1), "a negative number of ties"),
    ],
    ids=str,
)
def test_a_choice_that_is_not_valid_is_refused(choice: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(POOL, FakeStudent(), chosen_by(choice))
    assert str(caught.value).startswith(f"my.py: strategy mine gave no valid choice: {problem}")
    assert caught.value.remedy == "fix the strategy"


@pytest.mark.parametrize("choice", [None, (0, 1), [0], {0: 1.0}])
def test_something_else_than_a_choice_is_refused(choice: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(POOL, FakeStudent(), chosen_by(choice))
    assert str(caught.value) == (
        f"my.py: strategy mine gave no `Choice` (found {choice!r}). Fix the strategy."
    )


def test_numbers_of_numpy_are_numbers() -> None:
    weights = {np.int64(0): np.float32(0.5), 3: 2}
    choice = Choice(np.array([0, 3]), weights, {np.int64(1): "why"}, np.int64(2))  # type: ignore[arg-type]
    selection = choose(POOL, FakeStudent(), chosen_by(choice))
    assert (selection.indices, selection.weights, selection.ties) == ((0, 3), (0.5, 2.0), 2)
    assert {type(weight) for weight in selection.weights} == {float}
    assert json.dumps(selection.as_dict())


def raises(*arguments: object) -> None:
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("spec", "scored"),
    [(chosen_by(KeyError("no such thing")), 1), (chosen_by(Choice((0,)), check=raises), 0)],
    ids=["choose", "check"],
)
def test_an_exception_names_the_strategy_and_its_owner(spec: SelectionSpec, scored: int) -> None:
    student = FakeStudent()
    with pytest.raises(ConfigError) as caught:
        choose(POOL, student, spec)
    assert str(caught.value) == (
        "my.py: strategy mine failed: KeyError: 'no such thing'. Fix the strategy."
    )
    assert isinstance(caught.value.__cause__, KeyError)
    assert len(student.scored) == scored


def test_what_a_strategy_itself_refuses_passes() -> None:
    with pytest.raises(DataError, match=r"^row 3: not of these\.$") as caught:
        choose(POOL, FakeStudent(), chosen_by(DataError("not of these", where="row 3")))
    assert caught.value.__cause__ is None


def test_a_plugin_s_strategy_gives_its_own_reasons() -> None:
    choice = Choice((3, 0), {0: 2.0, 3: 0.5}, {1: "too sad: very"}, ties=4)
    selection = choose(POOL, FakeStudent(), chosen_by(choice))
    assert (selection.indices, selection.weights) == ((0, 3), (2.0, 0.5))
    assert selection.reasons == {
        1: "too sad: very",
        2: "another response to the prompt scored better",
    }
    assert selection.ties == 4


def test_a_strategy_that_chooses_nothing_leaves_its_reasons() -> None:
    with pytest.raises(DataError, match="4 rows: another response to the prompt scored better"):
        choose(POOL, FakeStudent(), chosen_by(Choice(())))


def given_to_a_strategy(metric: Metric, **fields: Any) -> tuple[ScoredCandidates, dict[int, str]]:
    """What the strategy gets of `POOL`, and the reasons of the rows that it does not get."""
    given: list[ScoredCandidates] = []

    def strategy(candidates: ScoredCandidates) -> Choice:
        given.append(candidates)
        return Choice(tuple(range(len(candidates.rows))))

    mine = replace(STRATEGIES["best"], choose=strategy, **fields)
    spec = replace(spec_of(min_margin=0), strategy=mine, metric=metric)
    reasons = choose(POOL, FakeStudent(), spec).reasons
    return given[0], dict(reasons)


def ratio(numerator: Any, denominator: Any) -> Metric:
    """Two functions of the row's score, one divided by the other."""

    def parts(record: Any, window: str) -> tuple[float, float]:
        score = record.totals["4"] / record.n_tokens
        return numerator(score), denominator(score)

    return replace(
        LOWER,
        name="ratio",
        aggregate="ratio_of_means",
        compute=lambda record, window: 1.0,
        parts=parts,
    )


def test_a_strategy_gets_the_parts_of_a_ratio_of_means_as_the_metric_gives_them() -> None:
    given, reasons = given_to_a_strategy(ratio(lambda s: 2 * s, lambda s: s))
    assert given.parts is not None
    assert given.parts.tolist() == [[-2.0, -2.5, -2.0, -6.0], [-1.0, -1.25, -1.0, -3.0]]
    assert (given.scores.tolist(), given.higher_is_better) == ([-1.0] * 4, False)
    assert reasons == {}
    assert given_to_a_strategy(LOWER)[0].parts is None
    unscored = given_to_a_strategy(ratio(lambda s: s, lambda s: s), needs=frozenset())[0]
    assert (unscored.parts, unscored.scores.tolist()) == (None, [0.0] * 4)


def test_a_row_whose_parts_give_no_ratio_is_undefined() -> None:
    given, reasons = given_to_a_strategy(
        ratio(lambda s: math.nan if s == -1.25 else s, lambda s: 0.0 if s == -3.0 else s)
    )
    assert [row.index for row in given.rows] == [0, 2]
    assert reasons == {
        1: "the score is undefined: the value is not finite",
        3: "the score is undefined: the denominator is 0",
    }
