"""Families by name: what counts, and what only looks alike."""

from __future__ import annotations

import pytest

from lnat_plugins.ranking.confounds import FAMILIES, families


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", {"qwen"}),
        ("QwQ", {"qwen"}),
        ("student-qwq", {"qwen"}),
        ("qwen3_32b", {"qwen"}),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", {"deepseek", "qwen"}),
        ("meta-llama/Llama-3.1-8B", {"llama"}),
        ("mistralai/Mixtral-8x7B-v0.1", {"mistral"}),
        ("google/gemma-3-1b-it", {"gemma"}),
        ("microsoft/phi-4", {"phi"}),
        ("Phi4", {"phi"}),
        ("openai/gpt-oss-20b", {"gpt"}),
        ("gpt4o", {"gpt"}),
        ("claude-sonnet", {"claude"}),
        ("DSQ", set()),
        ("R1", set()),
        ("s1.1", set()),
        ("dolphin", set()),
        ("philosopher", set()),
        ("human", set()),
        ("", set()),
    ],
)
def test_names(name: str, expected: set[str]) -> None:
    assert families(name) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/claude/models/student-base", set()),
        ("/models/qwen/Llama-3-8B/", {"llama"}),
        ("../qwen", {"qwen"}),
        ("./Qwen3-4B", {"qwen"}),
        ("C:\\phi\\work\\gemma-2b", {"gemma"}),
    ],
)
def test_of_a_path_only_the_last_part_is_read(path: str, expected: set[str]) -> None:
    assert families(path) == expected


def test_no_word_stands_for_two_families() -> None:
    words = [word for each in FAMILIES.values() for word in each]
    assert len(words) == len(set(words))
    assert all(word.isalpha() and word.islower() for word in words)
