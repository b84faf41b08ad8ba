"""Runs to choose from, in the format the harness writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.helpers_samples import DATE, record_of, samples_line, write_lines

SCORES = {"QwQ": [-2.0, -2.5, -2.0], "R1": [-1.0, -1.5, -3.0], "DSQ": [-3.0, -3.5, -3.25]}
RENDERING = {"chat_template": None, "system_instruction": None, "target_delimiter": "\n\n"}


def write_run(
    folder: Path,
    scores: Mapping[str, Sequence[float]] = SCORES,
    task: str = "sums",
    student: str = "org/student",
    **rendering: Any,
) -> Path:
    """A run whose responses differ, and grow from prompt to prompt; DSQ is wrong throughout."""
    settings = {"steps": "sentence", "windows": ["4", "global"]} | RENDERING | rendering
    lines = []
    for i in range(len(next(iter(scores.values())))):
        texts = {teacher: f"{teacher} says " + "step " * (50 * i + 1) for teacher in scores}
        records = [
            dataclasses.replace(
                record_of(teacher, values[i]), settings=settings, spans=((0, len(texts[teacher])),)
            )
            for teacher, values in scores.items()
        ]
        line = samples_line(f"p{i}", records)
        line["doc"]["prompt"] = f"What is {i}?"
        for response in line["doc"]["responses"]:
            text = texts[response["teacher"]]
            response |= {"response": text, "correct": response["teacher"] != "DSQ", "year": i}
        lines.append(line)
    results = {"model_name": student}
    write_lines(folder / f"results_{DATE}.json", [results])
    return write_lines(folder / f"samples_{task}_{DATE}.jsonl", lines)
