"""lm-eval's other options, and what they come to for a naturalness task."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.caching import cache

from lnat_plugins.scoring.samples import read_scored_set

from .lab import evaluate, figures, hf, load, records, rows, save, write_set


def test_num_fewshot_is_passed_over_with_a_word_from_the_harness(
    model: Any, tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, rows())
    plain = evaluate(tmp_path, hf(model, tokenizer))
    with caplog.at_level(logging.INFO, "lm_eval"):
        results = evaluate(tmp_path, hf(model, tokenizer), num_fewshot=3)
    assert "num_fewshot has been set to 0 for my_teachers in its config" in caplog.text
    assert records(results) == records(plain)
    assert results["n-shot"]["my_teachers"] == 0


def test_predict_only_writes_the_records_and_no_figures(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    results = evaluate(tmp_path, hf(model, tokenizer), predict_only=True)
    assert len(records(results)) == 6
    assert figures(results) == {}
    assert len(read_scored_set([save(results, tmp_path / "out")]).rows) == 6


def test_without_samples_the_figures_are_the_same(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    with_samples = figures(evaluate(tmp_path, hf(model, tokenizer)))
    without = evaluate(tmp_path, hf(model, tokenizer), log_samples=False)
    assert "samples" not in without
    assert figures(without) == with_samples


def test_no_standard_errors_where_none_are_asked_for(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    found = figures(evaluate(tmp_path, hf(model, tokenizer), bootstrap_iters=0))
    assert found["local_naturalness/QwQ_stderr"] == "N/A"


def test_write_out_shows_a_prompt(
    model: Any, tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_set(tmp_path, rows())
    with caplog.at_level(logging.INFO, "lm_eval"):
        evaluate(tmp_path, hf(model, tokenizer), write_out=True)
    assert "What is 0 + 4?" in caplog.text


def test_two_sets_in_one_run(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    write_set(tmp_path, rows(), "one")
    write_set(tmp_path, rows(("QwQ", "R1", "s1")), "two", block={"windows": [1]})
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    both = simple_evaluate(
        model=hf(model, tokenizer), tasks=["one", "two"], task_manager=manager, bootstrap_iters=10
    )
    for name in ("one", "two"):
        alone = evaluate(tmp_path, hf(model, tokenizer), name)
        assert figures(both, name) == figures(alone, name)
        assert records(both, name) == records(alone, name)


def test_a_group_and_a_tag_of_sets(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    write_set(tmp_path, rows(), "one", tag="teachers")
    write_set(tmp_path, rows(), "two", tag="teachers")
    (tmp_path / "group.yaml").write_text("group: all_teachers\ntask: [one, two]\n")
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    assert set(manager.load(["teachers"])["tasks"]) == {"one", "two"}
    assert set(manager.load(["all_teachers"])["tasks"]) == {"one", "two"}


def test_the_model_is_left_as_it_was(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows())
    lm = hf(model, tokenizer)
    model.train()
    try:
        evaluate(tmp_path, lm, limit=1)
        assert model.training
        assert all(weight.grad is None for weight in model.parameters())
    finally:
        model.eval()


def test_requests_kept_from_an_earlier_run_are_not_taken(
    model: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval keeps `--cache_requests` by the task's name, whatever its data and settings."""
    monkeypatch.setattr(cache, "PATH", str(tmp_path / "requests"))
    write_set(tmp_path, rows())
    evaluate(tmp_path, hf(model, tokenizer), cache_requests=True)
    write_set(tmp_path, rows(("QwQ", "R1", "s1")), block={"windows": [1]})
    kept = evaluate(tmp_path, hf(model, tokenizer), cache_requests=True)
    fresh = evaluate(tmp_path, hf(model, tokenizer))
    assert figures(kept) == figures(fresh)
    assert records(kept) == records(fresh)


def test_two_sets_of_one_name_keep_their_own_prompts(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """A program may run two tasks whose YAML gives them one name."""
    write_set(tmp_path / "a", rows())
    write_set(tmp_path / "b", [{**row, "prompt": "Other: " + row["prompt"]} for row in rows()])
    lm = hf(model, tokenizer)
    tasks = {side: load(tmp_path / side) for side in "ab"}
    for task in tasks.values():
        task.set_fewshot_seed(1)
    both = lm_eval.evaluate(lm, tasks, bootstrap_iters=0)
    alone = evaluate(tmp_path / "b", lm)
    name = "local_naturalness/QwQ,none"
    assert both["results"]["b"][name] == pytest.approx(
        figures(alone)[name.split(",", maxsplit=1)[0]], abs=1e-6
    )
    assert both["results"]["a"][name] != pytest.approx(both["results"]["b"][name], abs=1e-3)
