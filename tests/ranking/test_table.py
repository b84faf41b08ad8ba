"""Who is best, and ties.

What each prompt contributes to a score: of a mean, and of a ratio against a numerical derivative.

The remedy fits the reason: scoring again is advised only where it can help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.metrics import Metric, get_metric
from lnat_plugins.ranking import compare
from lnat_plugins.ranking.table import ScoreTable, score_table, winners
from tests.helpers_samples import make_record
from tests.ranking.builders import LOWER, TOKENS_PER_STEP, Row, rank_rows, table

ROWS = np.arange(6, dtype=np.int64).reshape(2, 3)


def test_the_highest_score_wins() -> None:
    scores_PT = np.array([[-1.0, -2.0, -3.0], [-3.0, -1.0, -2.0]])
    assert winners(scores_PT, ROWS)[0].tolist() == [0, 1]
    assert winners(-scores_PT, ROWS)[0].tolist() == [2, 0]


def test_the_first_row_of_a_prompt_wins_its_tie_whatever_the_column() -> None:
    values_PT = np.array([[-1.0, -1.0, -3.0], [-1.0, -1.0, -1.0]])
    first_row_PT = np.array([[1, 0, 2], [5, 4, 3]], dtype=np.int64)
    winner_P, ties = winners(values_PT, first_row_PT)
    assert winner_P.tolist() == [1, 2]
    assert ties == 2


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_only_the_rounding_of_a_mean_makes_a_tie(size: float) -> None:
    rounded = np.array([[-size, -size * (1 + 2e-16)]])
    first_row = np.array([[1, 0]], dtype=np.int64)
    assert winners(rounded, first_row) == winners(-rounded, first_row) == ([1], 1)
    apart = np.array([[-size, -size - 1e-9 * max(size, 1)]])
    assert winners(apart, first_row) == ([0], 0)
    assert winners(-apart, first_row) == ([1], 0)


AGAIN = "core again with"
ENTROPY = replace(get_metric("local_naturalness"), name="needy", needs=frozenset({"entropy"}))


def rows_without(
    undefined: Mapping[str, str], path: str = "packed", metrics: object = ()
) -> list[Row]:
    """Rows of two teachers, scored by that back end for those metrics."""
    rows = table({"A": [-1.0, -1.0], "B": [-1.0, -2.0]})
    return [
        row._replace(
            record=replace(
                row.record,
                undefined=dict(undefined),
                path=path,
                settings={**row.record.settings, "metrics": metrics},
            )
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("rows", "metric", "remedy"),
    [
        (
            rows_without({}),
            ENTROPY,
            "Score again with needy among the metrics (`naturalness: metrics:`",
        ),
        (
            rows_without({}, metrics=["needy"]),
            ENTROPY,
            'was not gathered: older version, score again (4)"). Score again with needy among the '
            "metrics (`naturalness: metrics:`",
        ),
        (rows_without({}, path="loglikelihood"), ENTROPY, ". Rank by another metric."),
        (
            rows_without({"entropy": "this back end gives log-probabilities only"}),
            ENTROPY,
            "(found 'this back end gives log-probabilities only (4)'). Rank by another metric.",
        ),
        (
            rows_without({"reward": "the row has no `reward`"}),
            get_metric("car"),
            "Give the rows a column `reward` and score again, or rank by another metric.",
        ),
        (
            rows_without({}, path="loglikelihood"),
            get_metric("car"),
            "Score again with car among the metrics (`naturalness: metrics:` in a",
        ),
    ],
)
def test_the_remedy(rows: list[Row], metric: Metric, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        rank_rows(rows, metric)
    assert remedy in str(caught.value)
    assert (AGAIN in str(caught.value)) is (AGAIN in remedy)


def test_what_is_left_out_carries_its_reason_once() -> None:
    rows = rows_without({"reward": "the row has no `reward`"})
    metrics = [get_metric(name) for name in ("local_naturalness", "car", "rsr", "lark")]
    left_out = compare(rows, ["p0", "p1"], metrics, "4", bootstrap_iters=10).left_out
    assert left_out["car"] == (
        "the row has no `reward` (4): give the rows a column `reward` and score again"
    )
    assert left_out["rsr"] == left_out["lark"]
    assert left_out["rsr"].startswith(
        "not gathered: score again with it among the metrics (`naturalness:"
    )


def test_nothing_to_compare_and_nothing_to_gather() -> None:
    rows = rows_without({"entropy": "this back end gives log-probabilities only"})
    with pytest.raises(DataError) as caught:
        compare(rows, ["p0", "p1"], [ENTROPY], "4", bootstrap_iters=10)
    assert AGAIN not in str(caught.value)


def scores_of(rows: list[Row], metric: Metric) -> ScoreTable:
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    return score_table(rows, prompts, list(dict.fromkeys(row.teacher for row in rows)), metric, "4")


def weighted(found: ScoreTable, weights_P: np.ndarray) -> np.ndarray:
    """The teachers' scores if the prompts weighed that much."""
    columns_PC = found.columns(found.matched)
    return found.of_means(weights_P @ columns_PC / weights_P.sum())


@pytest.mark.parametrize("metric", [get_metric("local_naturalness"), LOWER], ids=["up", "down"])
def test_the_influence_on_a_mean_is_the_value(metric: Metric) -> None:
    found = scores_of(table({"A": [-1.0, -4.0, -2.0], "B": [-3.0, None, -5.0]}), metric)
    sign = 1 if metric.higher_is_better else -1
    expected = sign * np.array([[-1.0, -3.0], [-2.0, -5.0]]) * (1 if metric is not LOWER else -1)
    assert found.influence(found.matched) == pytest.approx(expected)


def ratios() -> ScoreTable:
    draw = np.random.default_rng(2)
    rows = []
    for p in range(9):
        for teacher in "ABC":
            tokens = draw.integers(1, 20, size=draw.integers(1, 8)).tolist()
            record = make_record(teacher, {"4": [-1.0] * len(tokens)}, tokens)
            rows.append(Row(f"p{p}", teacher, record))
    return scores_of(rows, TOKENS_PER_STEP)


@pytest.mark.parametrize("which", ["mean", "ratio"])
def test_the_influence_is_the_derivative_by_a_prompt_s_weight(which: str) -> None:
    """Of the weight as a share of all: P times the derivative by the weight itself."""
    draw = np.random.default_rng(5)
    found = ratios()
    if which == "mean":
        rows = table({t: list(draw.normal(size=9)) for t in "ABC"})
        found = scores_of(rows, get_metric("local_naturalness"))
    influence_PT = found.influence(found.matched)
    tiny = 1e-6
    for p in range(9):
        up, down = np.ones(9), np.ones(9)
        up[p], down[p] = 1 + tiny, 1 - tiny
        slope_T = 9 * (weighted(found, up) - weighted(found, down)) / (2 * tiny)
        centred_T = influence_PT[p] - influence_PT.mean(axis=0)
        assert centred_T == pytest.approx(slope_T, abs=1e-6)


def test_the_influence_on_a_ratio_sums_to_0() -> None:
    found = ratios()
    influence_PT = found.influence(found.matched)
    assert influence_PT.shape == (9, 3)
    assert influence_PT.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    # On a part of the prompts the ratio is that part's.
    part_P = found.matched & (np.arange(9) < 4)
    assert found.influence(part_P).sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)


def test_the_spread_of_the_influence_is_that_of_the_resamples() -> None:
    found = ratios()
    error_T = found.influence(found.matched).std(axis=0) / 3
    counts = np.random.default_rng(1).multinomial(9, np.full(9, 1 / 9), size=4000)
    drawn_BT = np.stack([weighted(found, one.astype(float)) for one in counts])
    assert drawn_BT.std(axis=0) == pytest.approx(error_T, rel=0.15)
