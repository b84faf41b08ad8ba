"""What data known by its lengths alone would cost: as counted for rows of these lengths."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import check_teacher_set, estimate_cost
from lnat_plugins.engine.cost import Shape
from lnat_plugins.errors import ConfigError, StudentError
from lnat_plugins.files import bundled_student
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.scoring.check import AS_SET
from tests.harness.lab import write_set

SHAPE = Shape(weights=10, layers=2, attention=8, width=4, vocabulary=50)
LENGTHS: dict[str, Any] = {
    "prompts": 6, "responses": 3, "prompt_tokens": 20, "response_tokens": 300, "step_tokens": 20,
}  # fmt: skip


def rows_of(words: list[int]) -> list[dict[str, Any]]:
    """Responses of whole steps, the same to every prompt; no two runs of them are alike."""
    rng = random.Random(1)
    tokenizer = load_tokenizer(str(bundled_student()))
    texts = []
    for t, n in enumerate(words):
        text = "abc"[t] + "".join(f" {rng.randrange(10)}" for _ in range(n))
        ids = tokenizer(text).input_ids
        texts.append(tokenizer.decode(ids[: len(ids) // 10 * 10]))
    return [
        {"prompt": f"What is {p} + 3?", "teacher": f"T{t}", "response": text}
        for p in range(3)
        for t, text in enumerate(texts)
    ]


WORDS = ([600, 600, 600], [400, 900, 650], [10, 10, 10])
WINDOWS = (["4", "global"], ["2"], ["10%", "global"], ["4/8"])
CASES = [(words, windows, "none") for words in WORDS for windows in WINDOWS]
# Else windows below the widest are recorded on a sample, which is not counted.
CASES += [(words, windows, "basic") for words in WORDS[:2] for windows in WINDOWS[:3]]


@pytest.mark.parametrize("metrics", [(), ("all",)])
@pytest.mark.parametrize(("words", "windows", "sensitivity"), CASES)
def test_it_is_what_the_check_counts_of_rows(
    tmp_path: Path, words: list[int], windows: list[str], metrics: tuple[str, ...],
    sensitivity: Any,
) -> None:  # fmt: skip
    """Steps of ten tokens, so that lengths tell all."""
    block = {
        "steps": "tokens:10", "windows": windows, "sensitivity": sensitivity,
        **({"metrics": [*metrics]} if metrics else {}),
    }  # fmt: skip
    path = write_set(tmp_path, rows_of(words), block=block)
    found = check_teacher_set(path, "bundled", trial=False)
    assert found.student is not None
    counted = found.student.planned[AS_SET]
    tokenizer = load_tokenizer(str(bundled_student()))
    lengths = [len(tokenizer(row["response"]).input_ids) for row in rows_of(words)[:3]]
    prompt = len(tokenizer("What is 0 + 3?\n\n").input_ids)
    estimate = estimate_cost(
        SHAPE, prompts=3, responses=3, prompt_tokens=prompt, response_tokens=lengths,
        step_tokens=10, windows=windows, metrics=metrics, sensitivity=sensitivity,
    )  # fmt: skip
    assert estimate.planned == counted


def test_lengths_that_are_alike_are_one_length() -> None:
    alike = estimate_cost(SHAPE, **{**LENGTHS, "response_tokens": [300] * 6})
    assert estimate_cost(SHAPE, **LENGTHS).planned == alike.planned
    more = estimate_cost(SHAPE, **{**LENGTHS, "prompts": 60})
    assert more.flop == 10 * alike.flop


def test_students(tmp_path: Path) -> None:
    by_name = estimate_cost("bundled", **LENGTHS)
    assert by_name.flop == estimate_cost(str(bundled_student()), **LENGTHS).flop > 0
    with pytest.raises(StudentError, match="estimate_cost: student"):
        estimate_cost(str(tmp_path / "nowhere"), **LENGTHS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prompts", 0), ("responses", -1), ("prompt_tokens", 0), ("response_tokens", []),
     ("response_tokens", [3, 0]), ("step_tokens", float("nan")), ("step_tokens", float("inf"))],
)  # fmt: skip
def test_numbers_that_make_no_sense(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"estimate_cost: {name}: this must be 1 or more"):
        estimate_cost(SHAPE, **{**LENGTHS, name: value})


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="estimate_cost: windows: unknown window"):
        estimate_cost(SHAPE, **LENGTHS, windows=["x"])
    with pytest.raises(ConfigError, match="estimate_cost: metrics: unknown metric"):
        estimate_cost(SHAPE, **LENGTHS, metrics="naturalnes")
