"""Teachers left out of the pool."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.errors import DataError
from lnat_plugins.ranking.bootstrap import simultaneous_intervals
from lnat_plugins.study import ablation, agreement
from tests.study.builders import outcomes, scores, study


def test_each_teacher_and_group_is_left_out() -> None:
    known, measured = study(
        np.random.default_rng(0), teachers=6, metrics=2, correlation=0.5, items=50
    )
    found = ablation(known, measured, {"ends": ["A", "F"], "B": ["B", "C"]})
    assert [one.name for one in found.without] == [*"ABCDEF", "ends", "group B"]
    whole = agreement(known, measured, iters=5)
    for one in found.without:
        rest = [name for name in known.names if name not in one.teachers]
        others = agreement(known.only(rest), measured, iters=5)
        for name in measured.metrics:
            assert found.tau[name] == pytest.approx(whole.of(name).fixed["tau"].value)
            assert one.tau[name] == pytest.approx(others.of(name).fixed["tau"].value)
            assert one.change[name].value == pytest.approx(one.tau[name] - found.tau[name])
            assert math.isnan(one.change[name].low)
    largest = found.largest("m1")
    assert largest is not None
    assert abs(largest.change["m1"].value) == max(
        abs(one.change["m1"].value) for one in found.without
    )


def test_intervals_of_changes_against_resampled_studies() -> None:
    """Each resample's tau with and without; together they hold for all that is left out."""
    known, measured = study(
        np.random.default_rng(3), teachers=6, metrics=2, correlation=0.6, items=30, missing=0.3
    )
    whole = agreement(known, measured, iters=60)
    found = ablation(known, measured, {"ends": ["A", "F"]}, draws=whole.draws)
    for name in measured.metrics:
        columns = []
        for one in found.without:
            kept = [t for t, teacher in enumerate(known.names) if teacher not in one.teachers]
            columns.append([
                stats.kendalltau(score[kept], accuracy[kept]).statistic
                - stats.kendalltau(score, accuracy).statistic
                for score, accuracy in zip(
                    whole.draws.scores[name], whole.draws.accuracy, strict=True
                )
            ])  # fmt: skip
        spans = simultaneous_intervals([np.round(column, 12) for column in columns])
        assert [(one.change[name].low, one.change[name].high) for one in found.without] == (
            [pytest.approx(span) for span in spans]
        )
        assert any(low < 0 < high for low, high in spans)


def test_scores_stay_on_the_prompts_of_the_whole_pool() -> None:
    values = np.array([[[1.0, 9.0], [2.0, -9.0], [3.0, math.nan]]])
    found = ablation(outcomes(np.arange(3).reshape(3, 1, 1) / 2), scores(values))
    assert found.without[2].tau["global_naturalness"] == 1.0


def test_two_teachers_leave_nothing() -> None:
    found = ablation(outcomes(np.arange(2).reshape(2, 1, 1) / 2.0), scores(np.ones((1, 2, 1))))
    assert math.isnan(found.without[0].tau["global_naturalness"])
    assert found.largest("global_naturalness") is None
    assert found.as_dict()["tau"] == {"global_naturalness": None}


def test_an_unknown_teacher_in_a_group() -> None:
    known, measured = study(np.random.default_rng(1), teachers=3, metrics=1, correlation=0.5)
    with pytest.raises(DataError, match="group 'x': a group names an unknown teacher"):
        ablation(known, measured, {"x": ["Z"]})
