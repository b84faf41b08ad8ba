"""Gains of selections, and the best teacher chosen on other seeds and items."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.study import BEST_TEACHER, Outcomes, gains
from lnat_plugins.study.gains import best_teacher
from tests.study import oracle
from tests.study.builders import outcomes, simulated

NAN = math.nan


def with_selections(found: Outcomes, teachers: int, *selections: str) -> Outcomes:
    names = (*(f"t{i}" for i in range(teachers)), *selections)
    kinds = ("teacher",) * teachers + ("selection",) * len(selections)
    return Outcomes(names, kinds, found.values, found.shared_seeds)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [False, True])
def test_the_best_teacher_is_chosen_without_what_it_is_compared_on(missing: bool) -> None:
    draw = np.random.default_rng(0)
    values = draw.integers(0, 2, size=(4, 3, 5)).astype(float)
    if missing:
        values[0, 1:] = values[1, 0] = NAN
    found, share, other_seeds = best_teacher(outcomes(values), 7)
    assert found == pytest.approx(np.array(oracle.best_teacher(values)), nan_ok=True)
    assert sum(share.values()) == pytest.approx(1)
    assert other_seeds


def test_with_one_seed_it_is_chosen_on_other_items() -> None:
    values = np.zeros((2, 1, 10))
    values[0, 0, :6] = values[1, 0, 6:] = 1
    found, share, other_seeds = best_teacher(outcomes(values), 0)
    assert not other_seeds
    assert set(share) <= {"A", "B"}
    assert found.shape == (1, 10) and not np.isnan(found).any()
    assert not gains(
        with_selections(outcomes(np.concatenate([values, values])), 2, "random", "local")
    ).other_seeds


def test_every_selection_is_compared_with_all_that_is_there() -> None:
    values = np.random.default_rng(1).random((5, 3, 20))
    named = with_selections(outcomes(values), 2, "random", "local", "global")
    found = gains(named, iters=200)
    assert [(one.selection, one.over) for one in found.gains] == [
        (name, over)
        for over in ("random", BEST_TEACHER, "global")
        for name in ("random", "local", "global")
        if name != over
    ]
    value = {(one.selection, one.over): one.gain.value for one in found.gains}
    means = dict(zip(named.names, named.means, strict=True))
    assert value["local", "random"] == pytest.approx(means["local"] - means["random"])
    assert value["local", "global"] == pytest.approx(means["local"] - means["global"])
    best, _, _ = best_teacher(named, 1234)
    assert value["local", BEST_TEACHER] == pytest.approx(means["local"] - best.mean())
    lines = found.to_markdown().splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[2:5]] == [
        "over random", "over best teacher", "over global",
    ]  # fmt: skip
    assert len(lines) == 5
    assert found.as_dict()["gains"][0]["over"] == "random"


def test_what_is_not_there_is_not_compared_with() -> None:
    values = np.random.default_rng(2).random((2, 3, 20))
    named = Outcomes(("rsr", "local"), ("selection", "selection"), values)
    found = gains(named, random="rsr", iters=100)
    assert [(one.selection, one.over) for one in found.gains] == [("local", "rsr")]
    with pytest.raises(DataError, match="nothing to compare it with"):
        gains(named)


@pytest.mark.parametrize("shared", [False, True])
def test_shared_seeds_are_paired(shared: bool) -> None:
    seed = np.array([0.0, 0.3, 0.6])[:, None] + np.zeros((3, 30))
    values = np.stack([seed, seed + 0.1]) + 0.01 * np.random.default_rng(3).random((2, 3, 30))
    named = Outcomes(("random", "local"), ("selection", "selection"), values, shared)
    assert gains(named, iters=500).gains[0].gain.above is shared


def test_equal_teachers_make_no_best_one_by_luck() -> None:
    draw = np.random.default_rng(4)
    fair, naive, hits, tries = [], [], 0, 80
    for seed in range(tries):
        found, expected = simulated(draw, np.full(9, 0.45), 3, 60)
        named = with_selections(found, 8, "local")
        (one,) = gains(named, iters=400, seed=seed).gains
        fair.append(one.gain.value)
        naive.append(named.means[-1] - named.means[:8].max())
        hits += one.gain.low <= 0 <= one.gain.high
        assert expected.std() == pytest.approx(0)
    assert np.mean(naive) < -0.04
    assert abs(np.mean(fair)) < 0.015
    assert hits / tries >= 0.9


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_gains_of_the_whole_table_hold_together(missing: float) -> None:
    draw, hits, tries = np.random.default_rng(5), 0, 80
    for seed in range(tries):
        true = np.array([0.3, 0.4, 0.5, 0.4, 0.5, 0.45])
        found, expected = simulated(draw, true, 3, 60, missing=missing)
        named = with_selections(found, 3, "random", "local", "global")
        result = gains(named, iters=400, seed=seed)
        truth = dict(zip(named.names, expected, strict=True))
        truth[BEST_TEACHER] = sum(share * truth[name] for name, share in result.chosen.items())
        hits += all(
            one.gain.low <= truth[one.selection] - truth[one.over] <= one.gain.high
            for one in result.gains
        )
    assert hits / tries >= 0.88
