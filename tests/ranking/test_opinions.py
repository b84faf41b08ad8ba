"""Whom other scores and plain length would put first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from lnat_plugins.metrics import METRICS, Metric, get_metric
from lnat_plugins.ranking.opinions import Opinion, opinions
from lnat_plugins.ranking.table import score_table
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.ranking.builders import Row, rank_rows

NAMES = ("local_naturalness", "global_naturalness", "global_step_naturalness")


def record(teacher: str, local: list[float], whole: list[float], tokens: list[int]) -> StepSums:
    sums = {
        window: [value * n for value, n in zip(means, tokens, strict=True)]
        for window, means in (("4", local), ("global", whole))
    }
    gone = {"global": "too long"} if any(map(math.isnan, whole)) else {}
    return make_record(teacher, sums, tokens, undefined=gone, splitter="sentence@2")


ROWS = [
    Row("p0", "A", record("A", [-1, -1], [-3, -1], [10, 30])),
    Row("p0", "B", record("B", [-2, -2], [-1, -4], [18, 2])),
    Row("p0", "C", record("C", [-3, -3], [-2, -2], [5, 5])),
]


def of(
    rows: list[Row], own: str = "local_naturalness", metrics: Mapping[str, Metric] = METRICS
) -> dict[str, Opinion]:
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    teachers = list(dict.fromkeys(row.teacher for row in rows))
    ranked_by = score_table(rows, prompts, teachers, get_metric(own), "4")
    found = opinions(rows, prompts, ranked_by, "4", metrics)
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_by_hand() -> None:
    found = of(ROWS)
    # Over tokens: A -1.5, B (-18 - 8) / 20 = -1.3, C -2. Over steps: -2, -2.5, -2.
    assert found["global_naturalness"] == Opinion("global_naturalness", "B", 1)
    assert found["longest"] == Opinion("longest", "A", 1)
    assert found["shortest"] == Opinion("shortest", "C", 1)
    assert list(found) == ["global_naturalness", "longest", "shortest"]


def test_local_naturalness_under_the_whole_context_is_a_way_of_scoring_and_no_second_opinion() -> (
    None
):
    assert "global_step_naturalness" not in of(ROWS)
    assert of(ROWS, "global_naturalness")["global_step_naturalness"].first == "A"


@pytest.mark.parametrize("own", NAMES)
def test_the_ranking_s_own_metric_is_no_second_opinion(own: str) -> None:
    same = {own} if own != "local_naturalness" else {own, "global_step_naturalness"}
    assert set(of(ROWS, own)) == {*NAMES, "longest", "shortest"} - same
    assert own not in {one.name for one in rank_rows(ROWS, get_metric(own)).opinions}


def test_nor_is_a_score_that_equals_it_everywhere() -> None:
    """Global naturalness of one step is local naturalness; one response that differs is enough."""
    same = [Row("p0", t, record(t, [v], [v], [10 + v])) for t, v in (("A", -1), ("B", -2))]
    assert set(of(same)) == {"longest", "shortest"}
    unscored = Row("p1", "A", record("A", [math.nan], [math.nan], [3]))
    undefined = {"4": "too long", "global": "too long"}
    gone = unscored._replace(record=replace(unscored.record, undefined=undefined))
    assert set(of([*same, gone])) == {"longest", "shortest"}
    for means in ([-1, -2], [math.nan, math.nan]):
        other = Row("p1", "A", record("A", [-1, -2], means, [10, 20]))
        assert {"global_naturalness", "longest"} <= set(of([*same, other]))
    assert "Second opinions, first by other scores: A (longest); B (shortest)." in rank_rows(
        same
    ).headline(brief=False)


def test_a_metric_whose_direction_is_down_puts_the_lowest_first() -> None:
    """IFD: with the prompt against without it, lower is better."""
    rows = [
        row._replace(record=replace(row.record, statistics={
            "unprompted": -10.0, "prompted": -prompted, "unprompted_tokens": 5.0,
        }))
        for row, prompted in zip(ROWS, (8.0, 4.0, 6.0), strict=True)
    ]  # fmt: skip
    assert not METRICS["ifd"].higher_is_better
    values = [METRICS["ifd"].of(row.record, "4") for row in rows]
    assert min(values) == values[1]
    assert of(rows)["ifd"].first == "B"
    assert "ifd" not in of(ROWS)


def test_each_rests_on_the_prompts_that_have_it() -> None:
    late = [
        Row("p1", "A", record("A", [-1], [math.nan], [10])),
        Row("p1", "B", record("B", [-2], [-1], [90])),
        Row("p1", "C", record("C", [-3], [-1], [10])),
    ]
    found = of([*ROWS, *late])
    assert found["global_naturalness"] == Opinion("global_naturalness", "B", 1)
    assert found["longest"] == Opinion("longest", "B", 2)
    none = of([row for row in late if row.teacher != "C"])
    assert none == {
        "longest": Opinion("longest", "B", 1), "shortest": Opinion("shortest", "A", 1),
    }  # fmt: skip


def test_where_lengths_tie_none_is_the_longest() -> None:
    tied = [Row("p0", t, record(t, [-1, -2], [-3, -1], [4, 6])) for t in "ABC"]
    assert list(of(tied)) == ["global_naturalness"]
    one_longer = [*tied[:2], Row("p0", "C", record("C", [-1], [-2], [11]))]
    found = of(one_longer)
    assert (found["longest"].first, found["shortest"].first) == ("C", "A")


def test_of_one_teacher_there_is_no_opinion() -> None:
    alone = [row for row in ROWS if row.teacher == "A"]
    assert of(alone) == {}
    ranking = rank_rows(alone)
    assert (ranking.opinions, ranking.second_opinions) == ((), ())
    assert "Second opinions" not in ranking.to_markdown()


def test_metrics_of_a_plugin_stand_in_for_those_of_their_names() -> None:
    turned: Metric = replace(METRICS["global_naturalness"], higher_is_better=False)
    assert of(ROWS, metrics={turned.name: turned})[turned.name].first == "C"
    assert "global_step_naturalness" not in of(ROWS, metrics={turned.name: turned})


def test_those_that_agree_stand_together() -> None:
    (line,) = rank_rows(ROWS).second_opinions
    assert line == (
        "Second opinions, first by other scores: B (global_naturalness); A (longest); C (shortest)."
    )
    assert line in rank_rows(ROWS).to_markdown(brief=True).splitlines()
