"""The main job on the bundled set: what each score makes of the teachers, and what is true of them.

The truth is `reference.json`, the accuracies of students that were trained on each teacher's rows.
The set was not made for a score to win on. It shows where the scores agree with the truth, and
where they are fooled, and both are asserted here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from lnat_plugins.teacher_set.catalog import shipped_folder

from .test_bundle import REFERENCE, STUDENT, TEACHERS

LIMIT = 16
SCORES = ("local_naturalness", "global_naturalness")


def evaluate(**options: Any) -> dict[str, Any]:
    results = simple_evaluate(
        HFLM(str(STUDENT), device="cpu"),
        tasks=["local_naturalness"],
        task_manager=TaskManager(include_path=shipped_folder(), include_defaults=False),
        limit=LIMIT,
        bootstrap_iters=0,
        **options,
    )
    assert results is not None
    return dict(results["results"]["local_naturalness"])


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "chat"])
def results(request: pytest.FixtureRequest) -> dict[str, Any]:
    return evaluate(apply_chat_template=request.param)


@pytest.fixture(scope="module")
def accuracy() -> dict[str, float]:
    return dict(json.loads(REFERENCE.read_text(encoding="utf-8")))


def means(results: dict[str, Any], score: str) -> dict[str, float]:
    return {teacher: results[f"{score}/{teacher},none"] for teacher in TEACHERS}


def order(values: dict[str, float]) -> list[str]:
    """Best first."""
    return sorted(values, key=lambda teacher: -values[teacher])


def test_every_response_is_scored(results: dict[str, Any]) -> None:
    assert all(results[f"coverage/{teacher},none"] == 1.0 for teacher in TEACHERS)


@pytest.mark.parametrize("score", SCORES)
def test_the_student_finds_its_own_register_most_natural_and_it_teaches_best(
    score: str, results: dict[str, Any], accuracy: dict[str, float]
) -> None:
    """`plain` and `slips` come first by both scores, and both teach the whole task.

    A slip in fifty sums changes few rows, and a student trained on them does not slip. Which
    of the two comes first is left open, and makes no difference.
    """
    assert set(order(means(results, score))[:2]) == {"plain", "slips"}
    assert min(accuracy["plain"], accuracy["slips"]) > 0.9


def test_local_naturalness_ranks_a_long_good_trace_above_one_that_skips(
    results: dict[str, Any], accuracy: dict[str, float]
) -> None:
    """`skips` leaves out what its lines need, so nobody can learn from it; `twice` teaches well.

    In full context `twice` is longer than anything that the student has read, and falls below
    `skips`, which is short. Four steps of context are of the length that the student knows.
    """
    assert accuracy["twice"] > 0.5 > 0.3 > accuracy["skips"]
    local, full = (means(results, score) for score in SCORES)
    assert local["twice"] > local["skips"]
    assert full["twice"] < full["skips"]


@pytest.mark.parametrize("score", SCORES)
def test_both_scores_are_fooled_by_an_answer_that_comes_first(
    score: str, results: dict[str, Any], accuracy: dict[str, float]
) -> None:
    """`answer_first` has all the lines of `plain`, behind an answer that follows from nothing.

    A student trained on it guesses. One step of some 34 is too little for a mean to show that: both
    scores put it third, above the teachers that do teach.
    """
    assert accuracy["answer_first"] < 0.3 < accuracy["backtracks"]
    found = means(results, score)
    assert order(found)[2] == "answer_first"
    assert found["answer_first"] > max(found["twice"], found["backtracks"])


def test_no_score_tells_good_from_bad_among_registers_that_are_strange_to_the_student(
    results: dict[str, Any], accuracy: dict[str, float]
) -> None:
    """`backtracks` teaches nearly all there is; full context puts it below `skips` all the same.

    `tics` and `bare` come last by both scores, for words that the student has not read.
    """
    assert accuracy["backtracks"] > 0.5
    full = means(results, "global_naturalness")
    assert full["backtracks"] < full["skips"]
    for score in SCORES:
        assert set(order(means(results, score))[-2:]) == {"tics", "bare"}
