"""Disagreement and reasoning strategies: from columns and from the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnat_plugins.metrics.natural_thoughts import LEXICON, reasoning_strategies
from tests.metrics.rows import Row, rate, record_with


def says(teacher: str, text: str, prompt: str = "p0", extra: Mapping[str, Any] = {}) -> Row:
    """A response with that text."""
    return Row(prompt, teacher, record_with(), text, None, extra)


def test_the_share_of_pairs_of_teachers_that_differ() -> None:
    rows = [
        says("a", "So 18."),
        says("b", r"\boxed{18}"),
        says("c", "#### 17"),
        says("d", "$18.00"),
    ]
    assert rate("disagreement", *rows).values == pytest.approx((0.5,) * 4)


def test_a_teacher_with_several_answers_counts_once() -> None:
    rows = [says("a", "1"), says("a", "2"), says("b", "1")]
    assert rate("disagreement", *rows).values == pytest.approx((0.5,) * 3)


def test_who_has_no_answer_takes_no_part() -> None:
    rows = [says("a", "1"), says("b", "1"), says("c", "I do not know.")]
    assert rate("disagreement", *rows).values == (0.0,) * 3


def test_fewer_than_two_answers_are_undefined() -> None:
    ratings = rate("disagreement", says("a", "1"), says("a", "2"), says("b", "No idea."))
    assert set(ratings.reasons) == {"fewer than two teachers give a final answer to the prompt"}


def test_the_column_wins() -> None:
    rows = [
        says("a", "1", extra={"final_answer": "x"}),
        says("b", "1", extra={"final_answer": "X "}),
    ]
    assert rate("disagreement", *rows).values == (0.0, 0.0)


WORDS = st.sampled_from(
    ["alternatively", "ALTERNATİVELY", "ſuppose", "aſſume", "imagıne that", "case 7", "cases",
     "both cases", "let's say", "Let\N{RIGHT SINGLE QUOTATION MARK}s try", "pattern", "patterns",
     "SYMMETRIC", "let \N{KELVIN SIGN} be", "let $x =", "wait", "await", "in other words",
     "i\u0307", "makes sense", "Step 2", "sub-goals", "verıfy", "reverse-engineer", "that's wrong"]
)  # fmt: skip


@given(st.lists(WORDS | st.sampled_from([" ", "", ". ", "_", "7", "\n", "é"]), max_size=8))
def test_the_quick_look_finds_what_the_lexicon_finds(parts: list[str]) -> None:
    text = "".join(parts)
    plain = {name for name, shown in LEXICON.items() if shown.search(text)}
    assert reasoning_strategies(text, {}) == plain


@pytest.mark.parametrize("name", LEXICON)
def test_whatever_shows_a_strategy_is_found(name: str) -> None:
    shown = re.compile(LEXICON[name].pattern, re.IGNORECASE)

    @settings(max_examples=60)
    @given(st.from_regex(shown, fullmatch=True))
    def check(text: str) -> None:
        assert name in reasoning_strategies(text, {})

    check()


@pytest.mark.parametrize("text", ["ALTERNATİVELY", "ſuppose", "imagıne that", "\u212aelvin, waıt"])
def test_letters_that_differ_in_case_alone_are_the_same(text: str) -> None:
    assert len(reasoning_strategies(text, {})) == 1


EXAMPLES = {
    "analogy": "This is analogous to a queue.",
    "another way": "Alternatively, add them first.",
    "assumption": "Suppose x is even.",
    "backtracking": "Hmm, that's wrong.",
    "backward": "Let us work backwards.",
    "cases": "Case 1: n is odd.",
    "contradiction": "That contradicts the premise.",
    "decomposition": "Let's break it down.",
    "definition": "Recall that a prime has two divisors.",
    "equation": "Let x be the price.",
    "estimation": "It is roughly 40.",
    "example": "For example, n = 3.",
    "pattern": "There is a pattern.",
    "restatement": "The question asks for a sum.",
    "verification": "Let me double-check.",
}


@pytest.mark.parametrize("name", LEXICON)
def test_each_strategy_shows_in_its_example_and_in_no_other(name: str) -> None:
    shown = {one for one, text in EXAMPLES.items() if name in reasoning_strategies(text, {})}
    assert shown == {name}


@pytest.mark.parametrize(
    "text", ["", "2 + 2 = 4", "The waiter checks in at the estate.", "She waits.", "彼女は待つ。"]
)
def test_no_strategy(text: str) -> None:
    assert not reasoning_strategies(text, {})


@pytest.mark.parametrize(
    ("given", "count"),
    [(["a", "b", "A "], 2), ("verify, backtrack , verify", 2), ([], 0), ("", 0), (None, 1), (3, 1)],
)
def test_the_rows_own_strategies(given: object, count: int) -> None:
    row = says("a", "Wait, what?", extra={"reasoning_strategies": given})
    assert rate("strategy_count", row).values == (float(count),)
    assert rate("strategy_density", row).values == (count * 1000 / 8,)
