"""Rows drawn by weight as often as expected, and rows in order."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnat_plugins.errors import ConfigError
from lnat_plugins.plugins import load_plugins
from lnat_plugins.selection import Selection
from lnat_plugins.selection.arrange import arrange, check_order, resampled, systematic

from .builders import FakeStudent, pool_of, row, select, spec_of, table

POOL = table({"A": [-1.0, -4.0, -2.0], "B": [-2.0, -1.0, -5.0], "C": [-3.0, -3.0, -3.0]})
SKEWED = table({"A": [-1.0] * 4, "B": [-8.5, -8.0, -8.9, -7.0], "C": [-9.0] * 4})


def chosen(pool: Any = POOL, **block: Any) -> Selection:
    """The block's choice, arranged as it is for every user."""
    student = FakeStudent()
    return load_plugins().select(pool, student, spec_of(**block))


SOME = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))
WEIGHTS = st.lists(SOME, min_size=1, max_size=12).filter(any)


@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_a_draw_is_less_than_one_off_whatever_the_start(weights: list[float], start: float) -> None:
    counts = systematic(np.array(weights), start)
    expected = len(weights) * np.array(weights) / sum(weights)
    assert counts.sum() == len(weights)
    assert (abs(counts - expected) < 1 + 1e-9).all()
    assert not counts[np.array(weights) == 0].any()


@pytest.mark.parametrize("weights", [[1, 2, 5], [0, 0.5, 0.25, 3, 0], [1, 1, 1], [7]])
def test_the_mean_over_all_starts_is_exactly_the_expectation(weights: list[float]) -> None:
    """The counts change only where a row begins or ends: each piece of [0, 1) is enumerated."""
    w = np.array(weights, dtype=float)
    ends = np.cumsum(w) / w.sum() * len(w)
    cuts = sorted({0.0, 1.0, *(float(end % 1) for end in ends)})
    mean = np.zeros(len(w))
    for begin, end in pairwise(cuts):
        mean += (end - begin) * systematic(w, (begin + end) / 2)
    assert mean == pytest.approx(len(w) * w / w.sum(), abs=1e-12)


def test_weights_of_any_size_can_be_drawn_by() -> None:
    assert systematic(np.array([1e308, 1e308, 0.0]), 0.5).tolist() == [1, 2, 0]
    assert systematic(np.array([5e-324, 0.0]), 0.99).tolist() == [2, 0]


def test_over_seeds_the_draws_are_those_of_the_weights() -> None:
    selection = select(POOL, strategy="weighted", budget=2)
    n = len(selection.indices)
    expected = {
        i: n * w / math.fsum(selection.weights)
        for i, w in zip(selection.indices, selection.weights, strict=True)
    }
    drawn: Counter[int] = Counter()
    for seed in range(2000):
        drawn.update(resampled(selection, seed).rows)
    # A count is one of two neighbours, so its variance is at most 1/4: five standard errors.
    bound = 5 * 0.5 / math.sqrt(2000)
    for index, times in expected.items():
        assert drawn[index] / 2000 == pytest.approx(times, abs=bound)


def test_prompts_are_decided_apart() -> None:
    """In the order of the data, 0.6 and 0.4 in each prompt, one start would decide for all."""
    pool = table({"A": [-1.0] * 50, "B": [-2.0] * 50, "C": [-4.0] * 50})
    selection = select(pool, strategy="weighted", budget=2)
    assert selection.weights[:2] == pytest.approx((0.6, 0.4))
    counts = [resampled(selection, seed).chosen_by_teacher["A"] for seed in range(200)]
    assert np.mean(counts) == pytest.approx(60, abs=1)
    assert 0 < np.std(counts) < 5  # 20 if all were decided by one start


def test_a_choice_that_is_resampled() -> None:
    block = {"strategy": "weighted", "budget": 2, "seed": 1}
    plain, found = chosen(SKEWED, **block), chosen(SKEWED, **block, resample=True)
    assert len(found.rows) == len(plain.indices) > len(found.indices)
    assert set(found.rows) == set(found.indices) < set(plain.indices)
    assert list(found.rows) == sorted(found.rows)
    assert set(found.weights) == {1.0}
    assert not found.weighted
    assert found.settings["resample"] is True
    for missed in set(plain.indices) - set(found.indices):
        weight = plain.weights[plain.indices.index(missed)]
        times = len(plain.indices) * weight / sum(plain.weights)
        assert found.reasons[missed] == f"not drawn by its weight: {times:.3g} times expected"
        assert missed in found.eligible
    assert found.as_dict() == chosen(SKEWED, **block, resample=True).as_dict()
    assert len({chosen(SKEWED, **block | {"seed": s}, resample=True).rows for s in range(20)}) > 1


def test_equal_weights_draw_each_row_once() -> None:
    found = chosen(strategy="weighted", budget=1, resample=True)
    assert found.rows == found.indices == chosen(strategy="weighted", budget=1).indices


def test_weights_that_are_all_0_draw_nothing() -> None:
    selection = select(POOL, strategy="weighted", budget=1)
    with pytest.raises(ConfigError, match="all weights are 0, so no row can be drawn"):
        resampled(replace(selection, weights=(0.0,) * 3), 1)


@pytest.mark.parametrize(
    ("block", "rows"),
    [
        ({"order": "easy_to_hard"}, (0, 4, 6)),
        ({"order": "hard_to_easy"}, (6, 0, 4)),  # equal ones in the order of the data
        # Better when lower, and so easier: the same rows in the same order.
        ({"order": "easy_to_hard", "metric": "mean_nll"}, (0, 4, 6)),
        ({"order": "hard_to_easy", "metric": "mean_nll"}, (6, 0, 4)),
        ({}, (0, 4, 6)),
    ],
)
def test_rows_in_order(block: dict[str, Any], rows: tuple[int, ...]) -> None:
    found = arrange(select(POOL, **block), spec_of(**block))
    assert found.rows == rows
    assert found.indices == tuple(sorted(rows))


def test_an_order_at_random_is_that_of_the_seed() -> None:
    orders = {
        seed: chosen(strategy="top_k", k=9, order="random", seed=seed).rows for seed in range(10)
    }
    assert orders[3] == chosen(strategy="top_k", k=9, order="random", seed=3).rows
    assert len(set(orders.values())) > 5
    assert {tuple(sorted(rows)) for rows in orders.values()} == {tuple(range(9))}


def test_rows_that_stand_several_times_follow_each_other() -> None:
    block = {"strategy": "weighted", "budget": 2, "seed": 1, "resample": True}
    found = chosen(SKEWED, **block, order="easy_to_hard")
    scores = [found.scores[i] for i in found.rows]
    assert scores == sorted(scores, reverse=True)
    assert Counter(found.rows) == Counter(chosen(SKEWED, **block).rows)
    assert len(found.rows) > len(found.indices)


def test_a_strategy_that_reads_no_scores_is_scored_for_its_order() -> None:
    student = FakeStudent()
    found = load_plugins().select(POOL, student, spec_of(strategy="random", order="hard_to_easy"))
    assert student.scored
    scores = [found.scores[i] for i in found.rows]
    assert scores == sorted(scores)
    student = FakeStudent()
    load_plugins().select(POOL, student, spec_of(strategy="random", order="random"))
    assert not student.scored


def test_a_row_without_a_score_comes_last() -> None:
    """As in the choice of a plugin."""
    selection = select(POOL, strategy="top_k", k=3)
    scores = (math.nan, *selection.scores[1:])
    for order in ("easy_to_hard", "hard_to_easy"):
        found = arrange(replace(selection, scores=scores), spec_of(order=order))
        assert found.rows[-1] == 0 in selection.indices


def test_a_choice_without_a_metric_has_no_order_by_scores() -> None:
    selection = replace(select(POOL), higher_is_better=None, metric=None)
    with pytest.raises(ConfigError, match="`order: easy_to_hard` needs scores"):
        arrange(selection, spec_of(order="easy_to_hard"))


def test_without_the_keys_nothing_changes() -> None:
    selection = select(POOL)
    assert arrange(selection, spec_of()) is selection
    assert selection.rows == selection.indices
    assert "order" not in selection.settings
    assert "resample" not in selection.settings
    assert "resample" not in spec_of(resample=False).written


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"shuffle_dataset": True}, "shuffle_dataset: true"),
        ({"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy: group_by_"),
        ({"train_sampling_strategy": "batch_rebalance"}, "train_sampling_strategy: batch_reb"),
        ({"packing": True}, "packing_strategy: bfd'"),
        ({"packing": True, "packing_strategy": "bfd_split"}, "packing_strategy: bfd_split'"),
    ],
)
def test_settings_that_reorder_rows(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_order(settings, "sft.yaml")
    assert "would not be trained on in the `order` of the selection" in str(caught.value)
    assert found in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"packing": True, "packing_strategy": "wrapped"},
        {"packing_strategy": "bfd"},
        {"train_sampling_strategy": "random", "shuffle_dataset": False},
    ],
)
def test_settings_that_do_not(settings: dict[str, Any]) -> None:
    check_order(settings)


def test_one_row_is_drawn_and_ordered_too() -> None:
    pool = pool_of(row("p0", "A", -1.0))
    found = chosen(pool, strategy="weighted", budget=1, resample=True, order="easy_to_hard")
    assert (found.rows, found.indices, found.weights) == ((0,), (0,), (1.0,))
