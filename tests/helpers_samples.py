"""Builds scored records and lm-eval samples files by hand, in the format the harness writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set import UnusableRows

SETTINGS: dict[str, Any] = {
    "steps": "sentence",
    "markers": "skip",
    "windows": ["4", "global"],
    "target_delimiter": "\n\n",
}
DATE = "2025-10-03T12-00-00.000001"


def make_record(
    teacher: str = "QwQ",
    sums: Mapping[str, Sequence[float] | None] | None = None,
    tokens: Sequence[int] = (2, 18),
    *,
    sample: int | str = 0,
    totals: Mapping[str, float] | None = None,
    undefined: Mapping[str, str] | None = None,
    settings_hash: str = "0123456789ab",
    splitter: str = "sentence@1",
    windows: Sequence[str] = ("4", "global"),
) -> StepSums:
    """A record of `len(tokens)` steps of ten characters; totals follow from the sums."""
    by_window = {"4": [-0.4, -18.0], "global": [-0.4, -18.0]} if sums is None else sums
    known = {window: math.fsum(values) for window, values in by_window.items() if values}
    return StepSums(
        teacher=teacher,
        sample=sample,
        spans=tuple((10 * i, 10 * i + 10) for i in range(len(tokens))),
        tokens=tuple(tokens),
        sums={w: None if values is None else tuple(values) for w, values in by_window.items()},
        totals=dict.fromkeys(by_window, math.nan) | known | dict(totals or {}),
        undefined=dict(undefined or {}),
        path="packed",
        settings={**SETTINGS, "windows": list(windows)},
        settings_hash=settings_hash,
        splitter=splitter,
        versions={"lnat_plugins": "0.1.0", "torch": "2.13"},
    )


def record_of(
    teacher: str, value: float, *, tokens: int = 10, sample: int | str = 0, **more: Any
) -> StepSums:
    """A one-step record whose local and global naturalness are `value` (NaN: undefined)."""
    reasons = {"4": "too long", "global": "too long"} if math.isnan(value) else {}
    sums = {"4": [value * tokens], "global": [value * tokens]}
    return make_record(teacher, sums, [tokens], sample=sample, undefined=reasons, **more)


def samples_line(
    prompt_id: str, records: Sequence[StepSums], correct: bool | None = True
) -> dict[str, Any]:
    """One line of a samples file: a prompt with all its responses."""
    responses = [
        {
            "teacher": record.teacher,
            "sample": record.sample,
            "response": "x" * record.spans[-1][1],
            "correct": correct,
        }
        for record in records
    ]
    texts = [record.to_json() for record in records]
    return {
        "doc_id": 0,
        "doc": {"prompt_id": prompt_id, "prompt": "What?", "responses": responses},
        "target": "",
        "arguments": {"gen_args_0": {"arg_0": "What?\n\n", "arg_1": {"teacher": "QwQ"}}},
        "resps": [[text] for text in texts],
        "filtered_resps": texts,
        "filter": "none",
    }


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """The lines as JSONL at `path`; makes the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_run(
    folder: Path,
    table: Mapping[str, Sequence[StepSums]],
    *,
    task: str = "local_naturalness",
    student: str | None = "org/student",
    date: str = DATE,
    in_set: int | None = None,
    unusable: Mapping[str, UnusableRows] | None = None,
    data: str = "0123456789ab",
    way: Mapping[str, Any] | None = None,
) -> Path:
    """One lm-eval run: `samples_*.jsonl` and, unless `student` is None, `results_*.json`.

    `in_set`: how many prompts the task has, as lm-eval says it of a run with `--limit`.
    `unusable`, `data`, `way`: what the task says of its teacher set and of how it was scored.
    """
    lines = [samples_line(prompt_id, records) for prompt_id, records in table.items()]
    path = write_lines(folder / f"samples_{task}_{date}.jsonl", lines)
    if student is not None:
        results: dict[str, Any] = {
            "results": {task: {}},
            "config": {"model": "hf", "model_args": {"pretrained": student, "dtype": "float32"}},
            "model_name": student,
        }
        if in_set is not None:
            results["n-samples"] = {task: {"original": in_set, "effective": len(lines)}}
        about: dict[str, Any] = {} if in_set is None else {"steps": "sentence", "windows": ["4"]}
        if unusable is not None:
            counts = {teacher: one.as_dict() for teacher, one in unusable.items()}
            about |= {"unusable": counts, "data_fingerprint": data}
        if about:
            results["configs"] = {task: {"metadata": {"naturalness": about | (way or {})}}}
        (folder / f"results_{date}.json").write_text(json.dumps(results), encoding="utf-8")
    return path


def teacher_table(scores: Mapping[str, Sequence[float]]) -> dict[str, list[StepSums]]:
    """teacher -> one value per prompt, turned into prompt -> records (prompts p0, p1, ...)."""
    n_prompts = len(next(iter(scores.values())))
    return {
        f"p{i}": [record_of(teacher, values[i]) for teacher, values in scores.items()]
        for i in range(n_prompts)
    }
