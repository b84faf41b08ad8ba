"""The main job on the bundled set: the order that must come out, and why, is in EXPECTED_ORDER."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.catalog import shipped_folder

from .test_bundle import EXPECTED_ORDER, STUDENT, TEACHERS

LIMIT = 24


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
    return dict(results)


@pytest.mark.parametrize("template", [False, True], ids=["plain", "chat"])
@pytest.mark.parametrize("score", ["local_naturalness", "global_naturalness"])
def test_teachers_come_out_in_the_order_that_they_were_made_for(
    score: str, template: bool, runs: dict[bool, dict[str, Any]]
) -> None:
    if template not in runs:
        runs[template] = evaluate(apply_chat_template=template)
    results = runs[template]["results"]["local_naturalness"]
    means = {teacher: results[f"{score}/{teacher},none"] for teacher in TEACHERS}
    assert tuple(sorted(TEACHERS, key=lambda t: -means[t])) == EXPECTED_ORDER
    assert means["stepwise"] - means["shuffled"] > 0.5
    assert results["win_rate/stepwise,none"] > 0.9
    assert all(results[f"coverage/{teacher},none"] == 1.0 for teacher in TEACHERS)


@pytest.fixture(scope="module")
def runs() -> dict[bool, dict[str, Any]]:
    return {}


def test_order_of_sentences_costs_nothing_where_none_is_in_view(tmp_path: Any) -> None:
    """At window 0 `shuffled` and `stepwise` say the same where sentences stand on lines."""
    yaml = tmp_path / "window_zero.yaml"
    yaml.write_text(
        "task: window_zero\n"
        "class: !function lnat_plugins.harness.NaturalnessTask\n"
        f"dataset_path: {shipped_folder() / 'local_naturalness' / 'teachers.jsonl'}\n"
        "naturalness: {teachers: [stepwise, shuffled], steps: line, windows: [0, 4]}\n"
    )
    results = simple_evaluate(
        HFLM(str(STUDENT), device="cpu"),
        tasks=[str(yaml)],
        task_manager=TaskManager(include_defaults=False),
        limit=LIMIT,
        bootstrap_iters=0,
    )
    assert results is not None
    compared = 0
    for sample in results["samples"]["window_zero"]:
        rows = sample["doc"]["responses"]
        one, other = (sorted(line.strip() for line in row["response"].splitlines()) for row in rows)
        if one != other or len(one) < 3:
            continue
        first, second = (_record(reply) for reply in sample["resps"])
        means = [_step_means(record, "0") for record in (first, second)]
        assert fmean(means[0]) == pytest.approx(fmean(means[1]), abs=0.02)
        assert fmean(_step_means(first, "4")) - fmean(_step_means(second, "4")) > 0.02
        compared += 1
    assert compared >= 5


def _record(reply: list[Any]) -> StepSums:
    return StepSums.from_json(str(reply[0]))


def _step_means(record: StepSums, window: str) -> list[float]:
    sums = record.sums[window]
    assert sums is not None
    return [total / count for total, count in zip(sums, record.tokens, strict=True)]
