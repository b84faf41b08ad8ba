"""A teacher set as an SFT data set: one row a response, with what choosing needs beside it."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from lnat_plugins.teacher_set import TeacherSet


def sft_rows(teacher_set: TeacherSet, *, plain: bool) -> Dataset:
    """`prompt` and `completion`, `teacher`, `prompt_id`, `sample`, `correct` and `steps`.

    Args:
        teacher_set: the rows.
        plain: for a student without a chat template: the prompt as text, followed by the set's
            `target_delimiter`. Else conversations.
    """
    rows: list[dict[str, Any]] = []
    numbered = all(isinstance(r.sample, int) for p in teacher_set.prompts for r in p.responses)
    for prompt in teacher_set.prompts:
        turns = [dict(turn) for turn in prompt.messages]
        for own in prompt.responses:
            answer = [{"role": "assistant", "content": own.text}]
            rows.append(
                {
                    "prompt": prompt.text + teacher_set.settings.target_delimiter
                    if plain
                    else turns,
                    "completion": own.text if plain else answer,
                    "teacher": own.teacher,
                    "prompt_id": prompt.prompt_id,
                    "sample": own.sample if numbered else str(own.sample),
                    "correct": own.correct,
                    "steps": None if own.steps is None else list(own.steps),
                }
            )
    return Dataset.from_list(rows)
