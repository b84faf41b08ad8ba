"""Rows of every layout, and what its block needs beside its name."""

from __future__ import annotations

from typing import Any, Final

USER: Final = {"role": "user", "content": "What is 2 + 3?"}
ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "long": [
        {"prompt": "p", "teacher": t, "response": "One. Two.", "sample": 0, "correct": True,
         "prompt_id": "p0", "reasoning_content": "Hm.", "system": "s", "steps": ["One. ", "Two."]}
        for t in ("QwQ", "R1")
    ],
    "prompt_completion": [{"prompt": [USER], "teacher": t, "completion": "5."} for t in "AB"],
    "messages": [
        {"teacher": t, "messages": [USER, {"role": "assistant", "content": "5."}]} for t in "AB"
    ],
    "nested": [
        {"prompt": "p", "responses": [{"teacher": "A", "response": "5."}, "Five."],
         "teacher": ["A", "B"], "correct": [True, None]}
    ],
    "wide": [{"prompt": "p", "a": "5.", "b": ["Five.", "5!"], "ok": [True, False]}],
    "batch": [
        {"custom_id": "q", "teacher": t,
         "response": {"body": {"choices": [{"message": {"content": "5."}, "index": 0}]}}}
        for t in "AB"
    ],
}  # fmt: skip
BLOCKS: Final[dict[str, dict[str, Any]]] = {
    "wide": {"columns": {"responses": {"A": "a", "B": "b"}, "correct": {"B": "ok"}}},
    "batch": {"prompts": "p.jsonl"},
}
