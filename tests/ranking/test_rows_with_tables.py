"""Tables that are kept, and means alone: the same as computed anew, each once."""

from __future__ import annotations

import dataclasses
import math
import sys

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.ranking import bootstrap
from lnat_plugins.ranking.compare import compare
from lnat_plugins.ranking.rank import rank, teacher_means
from lnat_plugins.ranking.table import RowsWithTables, score_table
from tests.ranking.builders import random_rows, table

rank_module = sys.modules[rank.__module__]
NAMES = ("local_naturalness", "global_naturalness", "n_tokens", "rsr", "lark")


@pytest.mark.parametrize("holes", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_kept_table_is_the_same(name: str, holes: bool) -> None:
    rows = random_rows(3, holes=holes)
    prompts = tuple(dict.fromkeys(row.prompt_id for row in rows))
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    kept = RowsWithTables(rows)
    assert list(kept) == rows and len(kept) == len(rows) and kept[1] is rows[1]
    for window in ("4", "global"):
        first = score_table(kept, prompts, teachers, METRICS[name], window)
        assert score_table(kept, prompts, teachers, METRICS[name], window) is first
        anew = score_table(rows, prompts, teachers, METRICS[name], window)
        for field in dataclasses.fields(anew):
            np.testing.assert_equal(getattr(first, field.name), getattr(anew, field.name))


@pytest.mark.parametrize("name", NAMES)
def test_with_kept_values_a_table_is_made_again_and_the_same(name: str) -> None:
    rows = random_rows(3, holes=True)
    prompts = tuple(dict.fromkeys(row.prompt_id for row in rows))
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    kept = RowsWithTables(rows, keep_values=True)
    metric, anew = METRICS[name], score_table(rows, prompts, teachers, METRICS[name], "4")
    for _ in range(2):
        found = score_table(kept, prompts, teachers, metric, "4")
        for field in dataclasses.fields(anew):
            np.testing.assert_equal(getattr(found, field.name), getattr(anew, field.name))
    # only what takes a function call for each response is kept
    assert (score_table(kept, prompts, teachers, metric, "4") is found) == bool(metric.parts)
    assert kept.rate(metric, "4") is kept.rate(metric, "4")


def test_tables_of_other_windows_and_teachers_are_others() -> None:
    rows = random_rows(3, holes=False)
    prompts = tuple(dict.fromkeys(row.prompt_id for row in rows))
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    kept, metric = RowsWithTables(rows), METRICS["local_naturalness"]
    one = score_table(kept, prompts, teachers, metric, "4")
    assert score_table(kept, prompts, teachers, metric, "global") is not one
    assert score_table(kept, prompts, teachers[::-1], metric, "4").teachers == teachers[::-1]


@pytest.mark.parametrize("name", ["local_naturalness", "global_naturalness"])
def test_means_alone_are_those_of_the_ranking(name: str) -> None:
    rows = random_rows(5)
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    options = {"bootstrap_iters": 200, "seed": 7}
    found = teacher_means(rows, prompts, METRICS[name], "4", **options)
    lines = rank(rows, prompts, METRICS[name], "4", **options).teachers
    assert found == tuple((one.teacher, one.mean, one.low, one.high) for one in lines)


def test_means_are_refused_as_a_ranking_is() -> None:
    rows = table({"A": [-1.0, -2.0], "B": [-1.5, -2.5]})
    with pytest.raises(ConfigError, match="nothing can be ranked by 'n_tokens'"):
        teacher_means(rows, ["p0", "p1"], METRICS["n_tokens"], "4")
    apart = table({"A": [-1.0, math.nan], "B": [math.nan, -2.5]})
    with pytest.raises(DataError, match="no prompt has local_naturalness for every teacher"):
        teacher_means(apart, ["p0", "p1"], METRICS["local_naturalness"], "4")


@pytest.mark.parametrize("holes", [True, False])
def test_what_a_comparison_drew_is_not_drawn_again(
    monkeypatch: pytest.MonkeyPatch, holes: bool
) -> None:
    rows = random_rows(3, holes=holes)
    prompts = tuple(dict.fromkeys(row.prompt_id for row in rows))
    metrics = [METRICS[name] for name in NAMES[:2]]
    options = {"bootstrap_iters": 300, "seed": 7}
    kept = RowsWithTables(rows)
    compare(kept, prompts, metrics, "4", **options)
    asked: list[object] = []
    draw = bootstrap.resampled_means
    monkeypatch.setattr(rank_module, "resampled_means", lambda *a: asked.append(a) or draw(*a))
    for metric in metrics:
        found = teacher_means(kept, prompts, metric, "4", **options)
        assert asked == []
        anew = teacher_means(rows, prompts, metric, "4", **options)
        assert [one.teacher for one in found] == [one.teacher for one in anew]
        for one, other in zip(found, anew, strict=True):
            assert one[1:] == pytest.approx(other[1:], rel=1e-12, abs=1e-12)
        asked.clear()
    # other draws are others
    teacher_means(kept, prompts, metrics[0], "4", bootstrap_iters=300, seed=8)
    teacher_means(kept, prompts, metrics[0], "4", bootstrap_iters=200, seed=7)
    teacher_means(kept, prompts, metrics[0], "global", **options)
    assert len(asked) == 3
