"""What `--log_samples` writes, and that our reader takes it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.scoring.samples import read_scored_set
from tests.helpers_students import assert_near

from .lab import evaluate, hf, records, rows, save, write_set

AWKWARD = "Line\u2028separator. Next\x85line.\x0bNUL \x00 here. 🎉 Done."


@pytest.fixture(scope="module")
def answered() -> list[dict[str, Any]]:
    """Rows with all that a row may carry."""
    found = [row | {"sample": "a", "correct": i % 2 == 0} for i, row in enumerate(rows())]
    found[1]["response"] = AWKWARD
    return [row | {"source": {"file": "x.json"}} for row in found]


@pytest.fixture(scope="module")
def run(
    model: Any,
    tokenizer: Any,
    answered: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[tuple[str, str, Any], Any], Path]:
    """The records as they were in memory, and the samples file."""
    folder = tmp_path_factory.mktemp("run")
    write_set(folder, answered, block={"windows": ["1", "4", "global"]})
    results = evaluate(folder, hf(model, tokenizer))
    return records(results), save(results, folder / "out")


def test_a_line_holds_the_rows_and_their_records_as_json_text(run: Any, answered: Any) -> None:
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
        row["response"] for row in answered[:2]
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
    assert found.windows == ("1", "4", "global")
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
