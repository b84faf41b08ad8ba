"""How much is read at once, by device and by what is free."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lnat_plugins.engine.engine import SMALLEST_BUDGET, bytes_per_token, default_budget
from tests.engine.students import student


def test_a_cpu_is_busy_with_a_few_hundred_tokens() -> None:
    assert default_budget(torch.device("cpu"), student("qwen2")) == 512


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (80 * 2**30, 16384),
        (2 * 1000 * (8 * 32 + 3 * 64) * 4, 1000),
        (1000, SMALLEST_BUDGET),
    ],
)
def test_a_gpu_reads_what_half_of_its_free_memory_holds(
    free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda d: (asked.append(d), (free, 0))[1])
    assert default_budget(torch.device("cuda"), student("qwen2")) == expected
    assert asked == [torch.device("cuda")]


def test_half_precision_takes_half() -> None:
    full, half = student("qwen2"), student("qwen2").half()
    assert bytes_per_token(full) == 2 * bytes_per_token(half)


def test_a_student_without_an_inner_size_has_four_times_its_width() -> None:
    assert bytes_per_token(student("gpt2")) == (8 * 32 + 3 * 128) * 4
