"""A whole run: the samples file that it writes, and the other options of lm-eval."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.caching import cache
from lm_eval.models.huggingface import HFLM

from lnat_plugins.scoring.samples import read_scored_set
from lnat_plugins.teacher_set import UnusableRows
from tests.helpers_students import assert_near, truth

from .lab import TASK, evaluate, figures, hf, load, records, rows, save, write_set

AWKWARD = "Line\u2028separator. Next\x85line.\x0bNUL \x00 here. 🎉 Done."


@pytest.fixture(scope="module")
def source() -> list[dict[str, Any]]:
    """Rows with all that a row may carry."""
    found = [row | {"sample": "a", "correct": i % 2 == 0} for i, row in enumerate(rows())]
    found[1]["response"] = AWKWARD
    return [row | {"source": {"file": "x.json"}} for row in found]


@pytest.fixture(scope="module")
def run(
    model: Any,
    tokenizer: Any,
    source: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[tuple[str, str, Any], Any], Path]:
    """The records as they were in memory, and the samples file."""
    folder = tmp_path_factory.mktemp("run")
    write_set(folder, source, block={"windows": ["1", "4", "global"]})
    results = evaluate(folder, hf(model, tokenizer))
    return records(results), save(results, folder / "out")


def test_a_line_holds_the_rows_and_their_records_as_json_text(run: Any, source: Any) -> None:
    in_memory, path = run
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(lines) == 3
    for line in lines:
        for row, replies in zip(line["doc"]["responses"], line["resps"], strict=True):
            (text,) = replies
            assert json.loads(text) == in_memory[line["doc"]["prompt_id"], row["teacher"], "a"]
    first = lines[0]["doc"]
    assert first["prompt"] == "What is 0 + 4?"
    assert [row["response"] for row in first["responses"]] == [
        row["response"] for row in source[:2]
    ]
    assert [row["correct"] for row in first["responses"]] == [True, False]
    assert first["responses"][0]["source"] == {"file": "x.json"}
    assert lines[0]["arguments"]["gen_args_0"]["arg_0"] == "What is 0 + 4?\n\n"
    assert lines[0]["arguments"]["gen_args_1"]["arg_1"]["teacher"] == "R1"


def test_a_line_says_the_scores_in_words(run: Any) -> None:
    line = json.loads(run[1].read_text(encoding="utf-8").split("\n")[0])
    said = line["filtered_resps"]
    local = line["local_naturalness/QwQ"]
    assert said[0].startswith(f"QwQ: local_naturalness={local:.6g}, global_naturalness=")
    record = run[0]["p0", "QwQ", "a"]
    assert said[0].endswith(f"{len(record['tokens'])} steps, {sum(record['tokens'])} tokens")
    assert line["target"] == "QwQ, R1"


def test_our_reader_takes_the_file(run: Any) -> None:
    in_memory, path = run
    found = read_scored_set([path.parent])
    assert (found.task, found.teachers) == ("my_teachers", ("QwQ", "R1"))
    assert found.windows == ("1", "4", "global", "0", "2", "3")
    assert found.prompts == ("p0", "p1", "p2")
    assert found.skipped == () and found.duplicates == 0
    assert len(found.rows) == 6
    for row in found.rows:
        raw = in_memory[row.prompt_id, row.teacher, "a"]
        assert json.loads(row.record.to_json()) == raw
        assert len(row.text) == raw["spans"][-1][1]
    assert [row.correct for row in found.rows] == [True, False] * 3


def test_undefined_scores_are_null_and_read_as_nan(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    path = save(evaluate(tmp_path, hf(model, tokenizer, max_length=40)), tmp_path / "out")
    assert "NaN" not in path.read_text(encoding="utf-8")
    found = read_scored_set([path])
    undefined = [row.record for row in found.rows if row.record.undefined]
    assert undefined and len(undefined) < len(found.rows)
    for record in undefined:
        assert math.isnan(record.totals["global"])
        assert "reads at most 40" in record.undefined["global"]


def test_limit_keeps_prompts_whole(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows())
    whole = records(evaluate(tmp_path, hf(model, tokenizer)))
    found = records(evaluate(tmp_path, hf(model, tokenizer), limit=2))
    assert set(found) == {key for key in whole if key[0] != "p2"}
    for key, record in found.items():
        assert_near(record["sums"]["4"], whole[key]["sums"]["4"])
    assert len(records(evaluate(tmp_path, hf(model, tokenizer), limit=0.3))) == 2


def test_chosen_samples(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows())
    results = evaluate(tmp_path, hf(model, tokenizer), samples={"my_teachers": [0, 2]})
    assert {key[0] for key in records(results)} == {"p0", "p2"}
    assert [sample["doc_id"] for sample in results["samples"]["my_teachers"]] == [0, 2]


def test_repeats_of_a_request_leave_one_record(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path, rows(), repeats=2)
    path = save(evaluate(tmp_path, hf(model, tokenizer)), tmp_path / "out")
    assert len(read_scored_set([path]).rows) == 6


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


FIRST = 12


@pytest.mark.timeout(600)
def test_long_traces_agree_with_the_definition(shared: Path, tmp_path: Path) -> None:
    write_set(
        tmp_path,
        [],
        block={"windows": [4, "global"]},
        dataset_path=str(shared / "data" / "gsm8k_long_cot.jsonl"),
    )
    lm = HFLM(str(shared / "models" / "student-base"), device="cpu", dtype="float32")
    results = evaluate(tmp_path, lm, limit=1)
    found = records(results)
    teachers = {teacher for _, teacher, _ in found}
    assert len(teachers) == 4
    for teacher in teachers:
        assert figures(results)[f"coverage/{teacher}"] == 1.0
        assert -6 < figures(results)[f"local_naturalness/{teacher}"] < -1
    assert {record["path"] for record in found.values()} == {"packed"}
    (sample, *_) = results["samples"][TASK]
    for i, row in enumerate(sample["doc"]["responses"][:2]):
        record = found[sample["doc"]["prompt_id"], row["teacher"], row["sample"]]
        prompt = lm.tokenizer.encode(sample["arguments"][i][0])
        expected = truth(lm.model, lm.tokenizer, prompt, row["response"], ("4",), first=FIRST)
        assert record["tokens"][:FIRST] == expected.tokens
        assert_near(record["sums"]["4"][:FIRST], expected.sums["4"], 1e-3)
        assert math.isfinite(record["totals"]["global"]) or "global" in record["undefined"]


def test_rows_that_could_not_be_used_are_in_the_results(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    own = [*rows(), {**rows()[0], "prompt_id": "x", "response": None}]
    write_set(tmp_path, own)
    path = save(evaluate(tmp_path, hf(model, tokenizer), limit=2), tmp_path / "out")
    reason = "column 'response': the value is null"
    place = {reason: "my_teachers.jsonl row 7, column 'response'"}
    expected = {"QwQ": UnusableRows(4, {reason: 1}, place), "R1": UnusableRows(3)}
    assert read_scored_set([path]).unusable == expected
