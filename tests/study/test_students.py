"""Several students: pooled tau, and whether the best teacher differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.errors import DataError
from lnat_plugins.study import (
    Agreement,
    MetricScores,
    Outcomes,
    agreement,
    compare_students,
    may_be_best,
    students_verdict,
)
from tests.study.builders import outcomes, scores, simulated


def students(
    best: tuple[str, str], chosen: tuple[str, str]
) -> tuple[list[Outcomes], list[Agreement]]:
    """Two students with their best teachers among A to H, and the first of a metric's order."""
    draw = np.random.default_rng(2)
    known, found = [], []
    for label, of, first in zip(("one", "two"), best, chosen, strict=True):
        true = np.array([0.8 if name == of else 0.4 for name in "ABCDEFGH"])
        made, _ = simulated(draw, true, 3, 150, seed_noise=0.02)
        score = np.array([1.0 if name == first else 0.0 for name in "ABCDEFGH"])
        values = score[None, :, None] + 0.1 * draw.normal(size=(1, 8, 30))
        known.append(replace(made, label=label))
        found.append(agreement(known[-1], scores(values), iters=300))
    return known, found


def test_the_best_teacher_differs_and_the_metric_follows() -> None:
    known, found = students(("A", "B"), ("A", "B"))
    compared = compare_students(known, found)
    assert compared.may_be_best == {"one": ("A",), "two": ("B",)}
    assert compared.common == ()
    assert compared.level == pytest.approx(0.9)
    assert compared.metrics[0].right == 2
    assert compared.metrics[0].change.value > 0
    first, second, _ = students_verdict(compared)
    assert first == (
        "The best teacher differs by student: no teacher may be best for all of them "
        "(90% together). May be best: one: A; two: B."
    )
    assert second.startswith("For every student, a teacher that may be its best is put first by g")
    assert compared.as_dict()["metrics"][0]["chosen"] == {"one": ["A"], "two": ["B"]}


def test_the_best_teacher_differs_and_the_metric_does_not_follow() -> None:
    compared = compare_students(*students(("A", "B"), ("A", "A")))
    assert compared.metrics[0].right == 1
    assert students_verdict(compared)[1:] == (
        "No metric puts a teacher first for every student that may be its best.",
        "No metric's change of ranks from student to student can be told apart from a random one.",
    )


def test_the_best_teacher_is_the_same() -> None:
    compared = compare_students(*students(("C", "C"), ("C", "C")))
    assert compared.common == ("C",)
    assert students_verdict(compared)[0] == (
        "No difference beyond noise: C may be best for all 2 students."
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_change_of_ranks_against_its_definition(seed: int) -> None:
    accuracy, score = np.random.default_rng(seed).integers(0, 4, size=(2, 3, 6)) / 4
    known = [
        outcomes(accuracy[i][:, None, None] + np.zeros((6, 1, 2)), label=str(i)) for i in range(3)
    ]
    found = [
        agreement(one, MetricScores(("x",), tuple("ABCDEF"), score[i][None, :, None]), iters=20)
        for i, one in enumerate(known)
    ]
    places = [[stats.rankdata(of[i]) for i in range(3)] for of in (score, accuracy)]
    expected = np.mean([
        stats.kendalltau(*(of[one] - of[other] for of in places)).statistic
        for one, other in ((0, 1), (0, 2), (1, 2))
    ])  # fmt: skip
    change = compare_students(known, found).metrics[0].change.value
    assert change == pytest.approx(expected, nan_ok=True)


def test_students_need_the_same_teachers() -> None:
    known, found = students(("A", "B"), ("A", "B"))
    with pytest.raises(DataError, match="compared on the same teachers"):
        compare_students(known[:1], found[:1])
    with pytest.raises(DataError, match="compared on the same teachers"):
        compare_students(known, [found[0], replace(found[1], teachers=tuple("ABCDEFGX"))])


def test_equal_teachers_all_may_be_best_nearly_always() -> None:
    draw, hits = np.random.default_rng(3), 0
    for seed in range(60):
        known, _ = simulated(draw, np.full(8, 0.4), 3, 60)
        hits += may_be_best(known, iters=300, seed=seed) == known.names
    assert hits / 60 >= 0.9
    assert may_be_best(outcomes(np.zeros((1, 2, 2)))) == ("A",)
