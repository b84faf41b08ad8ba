"""A selection is cut to a study's budget, rows that stand several times included."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.study.rows import within
from lnat_plugins.study.spec import Budget
from tests.selection.builders import selection_of, table

POOL = table({"A": [-1.0, -2.0, -3.0, -4.0]})
# Drawn by weight: the rows of p0 and p2 twice.
DRAWN = selection_of(POOL, (0, 2, 3), sequence=(3, 2, 0, 2, 0))


def cut(rows: int) -> Any:
    scores: Any = SimpleNamespace(scored=SimpleNamespace(prompts=("p0", "p1", "p2", "p3")))
    return within(DRAWN, Budget(rows=rows), scores, 1)


def test_a_row_counts_as_often_as_it_stands_there() -> None:
    whole = cut(5)
    assert (whole.indices, whole.rows) == (DRAWN.indices, DRAWN.rows)
    for budget in (2, 3, 4):
        found = cut(budget)
        assert found.rows == tuple(i for i in DRAWN.rows if i in found.indices)
        assert budget - 1 <= len(found.rows) <= budget
        assert found.problem() == ""
    with pytest.raises(DataError, match="fewer rows than the study's budget"):
        cut(6)
