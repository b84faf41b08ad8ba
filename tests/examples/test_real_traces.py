"""The study on real traces: how prompts are parted, and that the held-out loss is the exact one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins import load_teacher_set, run_study
from lnat_plugins.errors import ConfigError
from lnat_plugins.harness.evaluation import evaluate_documents
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.spec import read_study
from lnat_plugins.study.units import Unit
from tests.helpers_students import student, tokenizer

from .scripts import run

TEACHERS = {
    "short": "It is {}.",
    "long": "\nFirst, count. So\n\nit is {}.",
    "tag/s": "<think>{}</think> ok",
}
PROMPTS = 14
LONG = (3, 5)
"""Prompts with a text above the limit."""
LIMIT = 250
TESTED = 4
BUDGET = 300


def write_students(folder: Path, **changes: Any) -> None:
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    reader.save_pretrained(folder)
    student("llama", **changes).save_pretrained(folder)


def arguments(folder: Path) -> list[object]:
    return [
        "--data", folder / "data.jsonl", "--students", folder / "student", "--max_tokens", LIMIT,
        "--test_prompts", TESTED, "--budget", BUDGET, "--seeds", 1, "--window", 1,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    write_students(folder / "student")
    rows = [
        {"prompt_id": f"p{i}", "prompt": f"{i} + 1?", "teacher": teacher, "gold": i + 1,
         "response": text.format(i + 1) + " more" * (100 if i in LONG and teacher == "long" else 0)}
        for i in range(PROMPTS) for teacher, text in TEACHERS.items()
    ]  # fmt: skip
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def written(source: Path) -> Path:
    run("study/real_traces.py", source / "out", *arguments(source))
    return source / "out"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_prompts_are_apart_and_long_ones_left_out(
    source: Path, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("study/real_traces.py", written, *arguments(source))
    trained = {row["prompt_id"] for row in lines(written / "teachers.jsonl")}
    tested = [
        {row["prompt_id"] for row in lines(path)}
        for path in sorted(written.glob("held_out_*.jsonl"))
    ]
    assert len(tested) == len(TEACHERS) and all(one == tested[0] for one in tested)
    assert len(tested[0]) == TESTED and not trained & tested[0]
    assert not {f"p{i}" for i in LONG} & (trained | tested[0])
    printed = capsys.readouterr().out
    assert f"{PROMPTS} prompts: 0 lack a text, 2 have one above {LIMIT} tokens" in printed
    assert "no reference solutions" in printed


def test_every_arm_can_fill_the_budget(written: Path) -> None:
    study = StudyRun.of(written / "study.yaml")
    assert study.teacher_set.teachers == tuple(TEACHERS)
    assert study.spec.evaluation.metric == "global_naturalness/text"
    reader = AutoTokenizer.from_pretrained(written.parent / "student")
    shortest: dict[str, int] = {}
    for row in lines(written / "teachers.jsonl"):
        size = len(reader(row["prompt"] + row["response"])["input_ids"])
        shortest[row["prompt_id"]] = min(size, shortest.get(row["prompt_id"], size))
    # A template writes as much around every text.
    turns = [{"role": role, "content": ""} for role in ("user", "assistant")]
    around = len(reader(reader.apply_chat_template(turns, tokenize=False))["input_ids"])
    assert sum(shortest.values()) + around * len(shortest) >= BUDGET
    assert len(shortest) <= PROMPTS - len(LONG) - TESTED


def test_the_study_runs_and_measures_the_loss_of_a_plain_forward(
    written: Path, tmp_path: Path
) -> None:
    result = run_study(written / "study.yaml", tmp_path, bootstrap_iters=50)
    assert result.missing == ()
    (one,) = result.students
    tasks = ["held_out_short", "held_out_long", "held_out_tag_s"]
    assert sorted(one.arms.tasks) == sorted(tasks)
    assert not any(arm.floor or arm.ceiling for arm in one.arms.arms)
    text = result.to_markdown()
    assert "measured: global_naturalness/text" in text
    assert all(task in text for task in tasks) and "ccuracy" not in text

    study = StudyRun.of(written / "study.yaml", tmp_path)
    values = (study.done(Unit("none", "student")) or {})["values"]
    folder = written.parent / "student"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reader = AutoTokenizer.from_pretrained(folder)
    for task in tasks:
        rows = lines(written / f"{task}.jsonl")
        assert len(values[task]) == len(rows) == TESTED
        for number, row in enumerate(rows):
            asked = [{"role": "user", "content": row["prompt"]}]
            prompt = reader.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
            before, after = (reader(each)["input_ids"] for each in (prompt, row["response"]))
            with torch.no_grad():
                logits = model(torch.tensor([before + after])).logits[0].log_softmax(-1)
            found = [logits[len(before) + i - 1, token].item() for i, token in enumerate(after)]
            assert values[task][str(number)] == pytest.approx(sum(found) / len(found), abs=1e-4)


def test_reference_solutions_are_one_more_task(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = tmp_path / "gsm8k.jsonl"
    rows = [{"prompt_id": f"p{i}", "response": f"{i}+1={i + 1}"} for i in range(1, PROMPTS + 9)]
    reference.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    run("study/real_traces.py", tmp_path / "out", *arguments(source), "--reference", reference)
    printed = capsys.readouterr().out
    assert "1 lack a text" in printed and "no reference" not in printed
    assert (
        read_study(tmp_path / "out" / "study.yaml")
        .evaluation.tasks[-1]
        .endswith("held_out_reference.yaml")
    )
    assert {row["response"][-1] for row in lines(tmp_path / "out" / "held_out_reference.jsonl")}
    assert "reference" not in load_teacher_set(tmp_path / "out" / "teachers.yaml").teachers


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--budget", 5000], "too few for 4 to test on and 5000 tokens"),
        (["--max_tokens", 5], "0 prompts fit"),
    ],
)
def test_what_is_refused(source: Path, tmp_path: Path, changed: list[object], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        run("study/real_traces.py", tmp_path, *arguments(source), *changed)


def test_a_text_beyond_the_model_is_refused_and_not_cut(written: Path, tmp_path: Path) -> None:
    write_students(tmp_path, max_position_embeddings=16)
    with pytest.raises(ConfigError, match="not one number a document"):
        evaluate_documents(
            str(tmp_path), (str(written / "held_out_long.yaml"),), "global_naturalness/text",
            device="cpu", apply_chat_template=True, model_args={"dtype": "float32"},
        )  # fmt: skip
