"""The prefix setting: its grammar."""

from __future__ import annotations

from typing import Any

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.steps.prefix import Prefix, in_words, parse_prefix


@pytest.mark.parametrize(
    ("written", "expected", "text"),
    [
        (512, Prefix(512, "tokens"), "512 tokens"),
        ("512", Prefix(512, "tokens"), "512 tokens"),
        (" 1 token ", Prefix(1, "tokens"), "1 token"),
        ("8 steps", Prefix(8, "steps"), "8 steps"),
        ("8steps", Prefix(8, "steps"), "8 steps"),
        ("1 step", Prefix(1, "steps"), "1 step"),
    ],
)
def test_a_prefix_is_tokens_or_steps(written: Any, expected: Prefix, text: str) -> None:
    assert parse_prefix(written) == expected == parse_prefix(text)
    assert str(expected) == text
    assert in_words(text) == f"the first {text} of each response"


@pytest.mark.parametrize("written", [0, -1, True, 1.5, None, "", "x", "8 pages", "10%", [8], "08"])
def test_anything_else_is_refused_with_what_to_write(written: Any) -> None:
    with pytest.raises(ConfigError, match="a number of tokens or of steps, 1 or more.*'8 steps'"):
        parse_prefix(written, "t.yaml")


def test_whole_responses_have_no_words() -> None:
    assert in_words("") == ""
