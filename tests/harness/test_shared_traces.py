"""Real traces of four teachers, scored by a real small student through lm-eval."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from lm_eval.models.huggingface import HFLM

from tests.helpers_students import assert_near, truth

from .lab import TASK, evaluate, figures, records, write_set

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
    results = evaluate(tmp_path, lm, limit=5)
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
