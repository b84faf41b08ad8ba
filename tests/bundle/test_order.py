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
