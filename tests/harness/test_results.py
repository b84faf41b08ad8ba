"""The figures that lm-eval prints, against the definition."""

from __future__ import annotations

import logging
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from lm_eval.utils import make_table

from tests.helpers_students import Truth, assert_near

from .lab import TEXTS, evaluate, figures, hf, records, rows, truths, write_set

Truths = dict[tuple[str, str], Truth]


@pytest.fixture(scope="module")
def results(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, rows())
    return evaluate(folder, hf(model, tokenizer))


@pytest.fixture(scope="module")
def truth_of(model: Any, tokenizer: Any) -> Truths:
    return truths(model, tokenizer, rows())


def test_scores_are_means_over_prompts_with_their_errors(results: Any, truth_of: Truths) -> None:
    found = figures(results)
    for teacher in ("QwQ", "R1"):
        own = [one for (_, name), one in truth_of.items() if name == teacher]
        scores = {
            "local_naturalness": [one.local("4") for one in own],
            "global_naturalness": [one.global_() for one in own],
        }
        for metric, values in scores.items():
            assert_near(found[f"{metric}/{teacher}"], statistics.fmean(values))
            error = statistics.stdev(values) / math.sqrt(len(values))
            assert_near(found[f"{metric}/{teacher}_stderr"], error)


def test_the_win_goes_to_the_better_local_score(results: Any, truth_of: Truths) -> None:
    found = figures(results)
    wins = [
        truth_of[prompt, "QwQ"].local("4") > truth_of[prompt, "R1"].local("4")
        for prompt in ("p0", "p1", "p2")
    ]
    assert 0 < sum(wins) < 3  # else a constant would pass
    assert_near(found["win_rate/QwQ"], statistics.fmean(wins))
    assert_near(found["win_rate/R1"], 1 - statistics.fmean(wins))
    for sample, win in zip(results["samples"]["my_teachers"], wins, strict=True):
        assert (sample["win_rate/QwQ"], sample["win_rate/R1"]) == (float(win), float(not win))


def test_every_response_is_covered(results: Any) -> None:
    found = figures(results)
    assert (found["coverage/QwQ"], found["coverage/R1"]) == (1.0, 1.0)
    assert results["n-samples"]["my_teachers"] == {"original": 3, "effective": 3}


def test_the_records_hold_the_sums_of_the_definition(results: Any, truth_of: Truths) -> None:
    found = records(results)
    assert len(found) == 6
    for (prompt, teacher, _), record in found.items():
        expected = truth_of[prompt, teacher]
        assert record["tokens"] == expected.tokens
        assert record["path"] == "packed"
        assert set(record["versions"]) >= {"lnat_plugins", "torch", "transformers", "lm_eval"}
        for window in ("4", "global"):
            assert_near(record["sums"][window], expected.sums[window])


def test_the_table_has_an_arrow_for_each_score(results: Any) -> None:
    directions = results["higher_is_better"]["my_teachers"]
    assert directions["local_naturalness/QwQ"] is True
    assert directions["global_naturalness/R1"] is True
    assert directions["win_rate/R1"] is True
    assert directions["coverage/R1"] is None
    table = make_table(results)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    arrows = {line[4]: line[5] for line in lines}
    assert arrows == {
        f"{metric}/{teacher}": "" if metric == "coverage" else "↑"
        for metric in ("local_naturalness", "global_naturalness", "win_rate", "coverage")
        for teacher in ("QwQ", "R1")
    }
    assert [line[4] for line in lines] == sorted(arrows)


def test_the_configuration_says_what_was_scored(results: Any) -> None:
    config = results["configs"]["my_teachers"]
    assert (
        config["metadata"]["naturalness"].items()
        >= {
            "steps": "sentence",
            "windows": ["4", "global"],
            "teachers": ["QwQ", "R1"],
            "prompts": 3,
            "responses": 6,
            "dropped": {},
        }.items()
    )
    assert results["n-shot"]["my_teachers"] == 0


def test_the_first_window_is_the_local_score(
    model: Any, tokenizer: Any, tmp_path: Path, truth_of: Truths
) -> None:
    write_set(tmp_path, rows(), block={"windows": ["global", 4]})
    found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    own = [one.local("global") for (_, name), one in truth_of.items() if name == "QwQ"]
    assert_near(found["local_naturalness/QwQ"], statistics.fmean(own))


def test_a_set_without_the_global_window_has_no_global_figure(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), block={"windows": [4]})
    found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    assert {name.partition("/")[0] for name in found} == {
        "local_naturalness",
        "win_rate",
        "coverage",
    }


def test_a_comma_in_a_teachers_name(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    """lm-eval cuts figures' names at the comma; the record keeps the name as it is."""
    write_set(tmp_path, rows(("QwQ, 32B", "R1")))
    results = evaluate(tmp_path, hf(model, tokenizer))
    found = figures(results)
    assert math.isfinite(found["local_naturalness/QwQ; 32B"])
    assert math.isfinite(found["local_naturalness/QwQ; 32B_stderr"])
    assert {teacher for _, teacher, _ in records(results)} == {"QwQ, 32B", "R1"}
    assert "local_naturalness/QwQ; 32B" in make_table(results)
    assert results["higher_is_better"]["my_teachers"]["local_naturalness/QwQ; 32B"] is True


def test_a_teacher_missing_for_a_prompt(
    model: Any, tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [
        row
        for row in rows(("QwQ", "R1", "s1"))
        if (row["prompt_id"], row["teacher"]) != ("p1", "s1")
    ]
    write_set(tmp_path, kept)
    with caplog.at_level(logging.WARNING):
        found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    expected = truths(model, tokenizer, kept)
    own = [one.local("4") for (_, name), one in expected.items() if name == "s1"]
    assert len(own) == 2
    assert_near(found["local_naturalness/s1"], statistics.fmean(own))
    assert_near(found["coverage/s1"], 2 / 3)
    assert found["coverage/QwQ"] == 1.0
    assert "not scored on the same number of documents" in caplog.text


def test_a_trace_that_does_not_fit_has_no_global_score(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), block={"windows": [0, "global"]})
    whole = evaluate(tmp_path, hf(model, tokenizer))
    results = evaluate(tmp_path, hf(model, tokenizer, max_length=60))
    cut = {key for key, record in records(results).items() if record["undefined"]}
    assert cut and all("global" in records(results)[key]["undefined"] for key in cut)
    assert figures(results)["coverage/QwQ"] == 1.0
    for name in ("local_naturalness/QwQ", "local_naturalness/R1", "win_rate/R1"):
        assert_near(figures(results)[name], figures(whole)[name])
    for sample in results["samples"]["my_teachers"]:
        for teacher in ("QwQ", "R1"):
            defined = (sample["doc"]["prompt_id"], teacher, 0) not in cut
            assert (sample[f"global_naturalness/{teacher}"] is not None) is defined


def test_a_figure_without_any_value_is_nan_and_never_zero(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows())
    results = evaluate(tmp_path, hf(model, tokenizer, max_length=8))
    found = figures(results)
    for name in ("local_naturalness/QwQ", "global_naturalness/R1", "win_rate/R1"):
        assert math.isnan(found[name]) and found[f"{name}_stderr"] == "N/A"
    assert (found["coverage/QwQ"], found["coverage/R1"]) == (0.0, 0.0)
    assert "NaN" in make_table(results)


def test_a_teachers_samples_are_averaged_within_the_prompt(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    twice = [row | {"sample": 0} for row in rows()]
    twice += [
        {**row, "sample": 1, "response": TEXTS[2]} for row in rows() if row["teacher"] == "QwQ"
    ]
    write_set(tmp_path, twice)
    results = evaluate(tmp_path, hf(model, tokenizer))
    for sample in results["samples"]["my_teachers"]:
        rows_of = [row for row in twice if row["prompt_id"] == sample["doc"]["prompt_id"]]
        own = [
            truths(model, tokenizer, [row])[row["prompt_id"], "QwQ"].local("4")
            for row in rows_of
            if row["teacher"] == "QwQ"
        ]
        assert len(own) == 2
        assert_near(sample["local_naturalness/QwQ"], statistics.fmean(own))


def test_a_tie_goes_to_the_first_row(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    same = [{**row, "response": TEXTS[0]} for row in rows()]
    write_set(tmp_path, same)
    found = figures(evaluate(tmp_path, hf(model, tokenizer)))
    assert (found["win_rate/QwQ"], found["win_rate/R1"]) == (1.0, 0.0)
