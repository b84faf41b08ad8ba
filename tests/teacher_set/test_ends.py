"""What responses open and close with."""

from __future__ import annotations

from collections import Counter

import pytest

from lnat_plugins.teacher_set import Response
from lnat_plugins.teacher_set.ends import (
    FENCE,
    NOT_CLOSED,
    NOT_OPENED,
    NOTHING,
    ends_by_teacher,
    ends_of,
)

CASES = {
    "Seven.": (NOTHING, NOTHING),
    "": (NOTHING, NOTHING),
    "<think>\nhm\n</think>\n\nSeven.": ("<think>", NOTHING),
    "\n\n<think>hm</think>\n": ("<think>", "</think>"),
    "hm\n</think>\nSeven.": (NOT_OPENED, NOTHING),
    "think of it.\n</think>\nSeven.": (NOT_OPENED, NOTHING),
    "<think>\nhm, so": ("<think>", NOT_CLOSED),
    "think\nhm\nanswer\n7": ("think", NOTHING),
    "think of it.": (NOTHING, NOTHING),
    "Seven.\n\nanswer": (NOTHING, "answer"),
    "So is the answer": (NOTHING, NOTHING),
    "```python\nx\n```": (FENCE, FENCE),
    "Seven.<|im_end|>": (NOTHING, "<|im_end|>"),
    "<|im_start|>assistant\nSeven.\n</s>\n": ("<|im_start|>assistant", "</s>"),
    "[THINK]hm[/THINK]<answer>7</answer>": ("[THINK]", "</answer>"),
    "So 1. " * 200 + "\n<|im_end|>": (NOTHING, "<|im_end|>"),
    "<think>" + "So 1. " * 200 + "</think>Seven.": ("<think>", NOTHING),
}


@pytest.mark.parametrize(("text", "ends"), CASES.items(), ids=lambda one: repr(one)[:20])
def test_each_end(text: str, ends: tuple[str, str]) -> None:
    assert ends_of(text) == ends


def test_they_are_counted_by_teacher() -> None:
    found = ends_by_teacher(
        [Response("A", "<think>x</think>7"), Response("A", "7"), Response("B", "7</s>")]
    )
    assert [*found] == ["A", "B"]
    assert found["A"].opens == Counter({"<think>": 1, NOTHING: 1})
    assert found["A"].closes == Counter({NOTHING: 2})
    assert found["B"].closes == Counter({"</s>": 1})
