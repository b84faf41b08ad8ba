"""A teacher set on disk, a student, and lm-eval run on them in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import PromptRuns, RunScores
from tests.conftest import describe_once
from tests.helpers_students import Truth, truth

describe_once()

CLASS = "class: !function lnat_plugins.harness.NaturalnessTask\n"
TASK = "my_teachers"

TEXTS = (
    "First step. Second step. So 3 + 4 = 7. Wait. Done. Now the next one.",
    "Second step.\n\nThird one: done.",
    "\n\nSo three and four are seven. Wait, is that so? Yes.",
    "首先计算三加四。结果是七！",
    "<think>\nFirst step. Wait.\n</think>\n\nDone. Seven.",
    "Seven",
)


def rows(
    teachers: Sequence[str] = ("QwQ", "R1"), prompts: int = 3, shift: int = 1
) -> list[dict[str, Any]]:
    """A row for each prompt and teacher, in the long layout."""
    return [
        {
            "prompt_id": f"p{i}",
            "prompt": f"What is {i} + 4?",
            "teacher": teacher,
            "response": TEXTS[(shift * i + 3 * j) % len(TEXTS)],
        }
        for i in range(prompts)
        for j, teacher in enumerate(teachers)
    ]


def write_set(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    name: str = TASK,
    block: Mapping[str, Any] | None = None,
    **keys: Any,
) -> Path:
    """`<name>.yaml` and `<name>.jsonl` in the folder; the YAML's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")
    config = {"task": name, "dataset_path": f"{name}.jsonl", "naturalness": dict(block or {})}
    path = folder / f"{name}.yaml"
    path.write_text(CLASS + yaml.safe_dump(config | keys), encoding="utf-8")
    return path


def hf(model: Any, tokenizer: Any, cls: type[HFLM] = HFLM, **options: Any) -> HFLM:
    """The model as lm-eval's `hf` back end."""
    return cls(pretrained=model, tokenizer=tokenizer, **options)


def load(folder: Path, task: str = TASK) -> Any:
    """The task object that lm-eval makes of the YAML."""
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    return manager.load([task])["tasks"][task]


def evaluate(
    folder: Path,
    lm: Any,
    task: str = TASK,
    expected: bool = True,
    metadata: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What `simple_evaluate` gives for one task in the folder; nothing on any rank but 0."""
    manager = TaskManager(include_defaults=False, include_path=str(folder), metadata=metadata)
    options = {"bootstrap_iters": 10, "random_seed": None, "torch_random_seed": None} | options
    found = simple_evaluate(model=lm, tasks=[task], task_manager=manager, **options)
    assert (found is not None) is expected
    return dict(found or {})


def figures(results: Mapping[str, Any], task: str = TASK) -> dict[str, Any]:
    """metric/teacher -> value, and metric/teacher_stderr -> value."""
    found = results["results"][task]
    return {key.removesuffix(",none"): value for key, value in found.items() if "/" in key}


def records(results: Mapping[str, Any], task: str = TASK) -> dict[tuple[str, str, Any], Any]:
    """(prompt, teacher, sample) -> the scored record as JSON."""
    found = {}
    for sample in results["samples"][task]:
        for row, replies in zip(sample["doc"]["responses"], sample["resps"], strict=True):
            key = (sample["doc"]["prompt_id"], row["teacher"], row["sample"])
            found[key] = json.loads(replies[0].record.to_json())
    return found


def save(results: dict[str, Any], folder: Path, task: str = TASK) -> Path:
    """Writes results and samples as the `lm_eval` command does; the samples file's path."""
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = "student"
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name=task, samples=samples[task])
    (path,) = folder.glob("student/samples_*.jsonl")
    return path


def truths(
    model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]], context: str = "{}\n\n"
) -> dict[tuple[str, str], Truth]:
    """(prompt, teacher) -> what the definition gives, for prompts rendered as `context`."""
    return {
        (row["prompt_id"], row["teacher"]): truth(
            model, tokenizer, tokenizer.encode(context.format(row["prompt"])), row["response"]
        )
        for row in rows
    }


def prompts_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Token counts of the prompts that engines read from now on, in order."""
    found: list[int] = []
    original = Engine.score_all

    def watched(engine: Engine, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        found.extend(len(one.prompt) for one in reads)
        return original(engine, reads)

    monkeypatch.setattr(Engine, "score_all", watched)
    return found
