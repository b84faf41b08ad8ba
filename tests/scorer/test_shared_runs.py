"""What several responses have in common is read once, and scored as if it were not."""

from __future__ import annotations

from typing import Any

from lnat_plugins.teacher_set import Response
from tests.helpers_students import assert_near

from .scoring import scorer_of

PROMPT = [5, 6, 7]
OPENING = "First step. Second step. Third one: done. "
TEXTS = [f"{OPENING}So 3 + 4 = 7.", f"{OPENING}Wait.", OPENING.strip()]


def test_common_openings_are_read_once(llama: Any, tokenizer: Any) -> None:
    windows = ["0"]
    together = scorer_of(llama, tokenizer, windows=windows)
    found = together.score(PROMPT, [Response(str(i), text) for i, text in enumerate(TEXTS)])
    read = together.backend.engine.counts.body_tokens
    apart = 0
    for text, record in zip(TEXTS, found, strict=True):
        scorer = scorer_of(llama, tokenizer, windows=windows)
        (alone,) = scorer.score(PROMPT, [Response("alone", text)])
        assert_near(record.sums["0"], alone.sums["0"])
        apart += scorer.backend.engine.counts.body_tokens
    # Under window 0 a run is a step: the three of the opening are common to two responses,
    # and two of them to all three, whose last step ends without a blank.
    tokens = found[0].tokens
    assert apart - read == sum(n - 1 for n in tokens[:3]) + sum(n - 1 for n in tokens[:2])
