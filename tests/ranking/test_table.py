"""Who is best, and ties.

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
from lnat_plugins.ranking.table import winners
from tests.ranking.builders import Row, rank_rows, table

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
