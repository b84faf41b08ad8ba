"""The batched pass: what it reads together, and rows whose positions depend on their length."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lnat_plugins.engine.batched import length_dependent_rope
from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import StudentError
from tests.engine.students import PROMPT, run, student

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 24,
    "factor": 8.0,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}


def test_counts() -> None:
    engine = Engine(student("qwen2"), path="batched")
    engine.score(PROMPT, [run(10), run(9)])
    counts = engine.counts
    assert (counts.forwards, counts.prompt_tokens, counts.body_tokens) == (1, 8, 17)
    assert counts.padding_tokens == 1


@pytest.mark.parametrize(
    ("lengths", "budget", "forwards"),
    [
        ([10, 10, 10], 42, 1),  # 3 rows of 4 + 10
        ([10, 10, 10], 41, 2),
        ([10, 10, 10], 1, 3),
        ([16, 11], 512, 1),  # 15 of 20 is no more than a quarter of padding
        ([16, 10], 512, 2),
    ],
)
def test_batches_end_at_the_budget_and_at_a_quarter_of_padding(
    lengths: list[int], budget: int, forwards: int
) -> None:
    engine = Engine(student("qwen2"), path="batched", token_budget=budget)
    engine.score(PROMPT, [run(n) for n in lengths])
    assert engine.counts.forwards == forwards


def test_positions_that_depend_on_the_length_are_read_length_by_length() -> None:
    """Beyond the original context "longrope" reads a whole pass with other frequencies."""
    model = student("phi3", rope_parameters=LONGROPE, original_max_position_embeddings=24)
    engine = Engine(model)
    short, long = run(12), run(40, seed=1)
    together = engine.score(PROMPT, [short, long])
    assert engine.path == "batched"
    assert engine.reason == "rotary positions of type longrope"
    for one, score in zip([short, long], together, strict=True):
        (alone,) = Engine(model).score(PROMPT, [one])
        np.testing.assert_allclose(score.logprobs, alone.logprobs, atol=1e-5)


def test_positions_that_depend_on_what_was_read_before_are_refused() -> None:
    with pytest.raises(StudentError, match="depends on what was read before.*yarn"):
        Engine(student("llama", rope_parameters=DYNAMIC))


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        (None, ""),
        ({"rope_type": "yarn"}, ""),
        (LONGROPE, "longrope"),
        ({"full_attention": {"rope_type": "default"}, "sliding_attention": DYNAMIC}, "dynamic"),
        ({"full_attention": LONGROPE, "sliding_attention": DYNAMIC}, "dynamic"),
    ],
)
def test_rope_that_depends_on_the_length(parameters: Any, found: str) -> None:
    assert length_dependent_rope(SimpleNamespace(rope_parameters=parameters)) == found
