"""The scorer against the definition, from text."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lnat_plugins.engine.engine import Engine
from lnat_plugins.metrics import get_metric
from lnat_plugins.scoring.backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.teacher_set import Response
from tests.helpers_students import assert_near, student, token_steps, truth

from .scoring import LONG, scorer_of

PROMPT = "What is 3 + 4?\n\n"
WINDOWS = ("0", "1", "4", "10%", "50%", "global")

AWKWARD = {
    "newline-initial": "\n\nFirst step. Second step.\n\nThird one.",
    "blank-initial": "  First step. Second step.",
    "crlf": "First step.\r\n\r\nSecond step.\r\nThird one.",
    "cjk": "首先计算三加四。结果是七！所以答案是七。",
    "emoji": "One 🎉🎉. Two 👩‍👩‍👧. Three 🎈!",
    "nul": "null\x00byte here. Next one.",
    "combining": "cafe\u0301 au lait. Next one.",
    "trailing newlines": "First step. Second step.\n\n\n",
    "a special token": "Done. <|end|> Next step. Last.",
    "think tags": "<think>\nFirst step. Second step.\n</think>\n\nThe answer: 7.",
    "one word": "Seven",
}


@pytest.mark.parametrize("name", ["llama", "qwen2", "mistral_sliding"])
def test_several_responses_under_every_window(name: str, tokenizer: Any) -> None:
    model = student(name)
    scorer = scorer_of(model, tokenizer, WINDOWS)
    prompt = tokenizer.encode(PROMPT)
    texts = [LONG, "First step. Wait. So 3 + 4 = 7.", "Seven"]
    records = scorer.score(prompt, [Response(f"t{i}", text) for i, text in enumerate(texts)])
    for text, record in zip(texts, records, strict=True):
        expected = truth(model, tokenizer, prompt, text, WINDOWS)
        assert record.tokens == tuple(expected.tokens)
        assert record.undefined == {}
        for window in WINDOWS:
            assert_near(record.sums[window], expected.sums[window])
            assert_near(record.totals[window], math.fsum(expected.sums[window]))


def test_the_windows_of_a_long_response_differ(llama: Any, tokenizer: Any) -> None:
    """Else the comparisons above could not see a window ignored."""
    (record,) = score(llama, tokenizer, LONG)
    for a, b in [("0", "1"), ("1", "4"), ("4", "global"), ("10%", "50%")]:
        assert max(abs(x - y) for x, y in zip(sums(record, a), sums(record, b), strict=True)) > 0.01


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_awkward_text_is_scored_as_it_stands(llama: Any, tokenizer: Any, text: str) -> None:
    (record,) = score(llama, tokenizer, text)
    expected = truth(llama, tokenizer, tokenizer.encode(PROMPT), text, WINDOWS)
    assert "".join(text[a:b] for a, b in record.spans) == text
    assert record.n_tokens == len(tokenizer.encode(text, add_special_tokens=False))
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])


@pytest.mark.parametrize("how", ["line", "paragraph", "tokens:3"])
def test_other_steps(llama: Any, tokenizer: Any, how: str) -> None:
    text = "First step. Second\nstep.\n\nThird one:\n done."
    prompt = tokenizer.encode(PROMPT)
    scorer = scorer_of(llama, tokenizer, WINDOWS, how)
    (record,) = scorer.score(prompt, [Response("t", text)])
    steps = [text[a:b] for a, b in record.spans]
    assert len(steps) > 1
    expected = truth(llama, tokenizer, prompt, text, WINDOWS, steps)
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])


def test_supplied_steps(llama: Any, tokenizer: Any) -> None:
    steps = ["First step. Second ", "step.\n\nThird", " one: done."]
    prompt = tokenizer.encode(PROMPT)
    scorer = scorer_of(llama, tokenizer, ("1", "global"), "supplied")
    (record,) = scorer.score(prompt, [Response("t", "".join(steps), steps=steps)])
    assert record.n_steps == 3
    expected = truth(llama, tokenizer, prompt, "".join(steps), ("1", "global"), steps)
    for window in ("1", "global"):
        assert_near(record.sums[window], expected.sums[window])


def test_local_and_global_agree_on_one_step(llama: Any, tokenizer: Any) -> None:
    (record,) = score(llama, tokenizer, "So three and four are seven")
    assert record.n_steps == 1
    whole = get_metric("global_naturalness").of(record, "global")
    for window in WINDOWS:
        assert_near(get_metric("local_naturalness").of(record, window), whole)


def test_a_window_as_long_as_the_trace_is_the_global_one(llama: Any, tokenizer: Any) -> None:
    """With k ≥ p, step means weighted by their tokens give the global score."""
    (record,) = score(llama, tokenizer, LONG, ("100", "100%", "global"))
    whole = get_metric("global_naturalness").of(record, "global")
    for window in ("100", "100%"):
        means = [s / n for s, n in zip(sums(record, window), record.tokens, strict=True)]
        weighted = sum(m * n for m, n in zip(means, record.tokens, strict=True))
        assert_near(weighted / record.n_tokens, whole)
        assert abs(sum(means) / len(means) - whole) > 1e-3  # equal weights are another number


def test_the_first_step_is_the_same_under_every_window(llama: Any, tokenizer: Any) -> None:
    (record,) = score(llama, tokenizer, LONG)
    for window in WINDOWS:
        assert_near(sums(record, window)[0], sums(record, "global")[0])


def test_the_response_is_not_tokenised_together_with_the_prompt(llama: Any, tokenizer: Any) -> None:
    """A reply that begins with newlines would lose them to the prompt's last token."""
    prompt, text = "Say the third one.", "\n\nFirst step."
    apart = tokenizer.encode(prompt) + tokenizer.encode(text)
    assert tokenizer.encode(prompt + text) != apart
    prompt_ids = tokenizer.encode(prompt)
    (record,) = scorer_of(llama, tokenizer).score(prompt_ids, [Response("t", text)])
    assert record.n_tokens == len(apart) - len(prompt_ids)
    expected = truth(llama, tokenizer, prompt_ids, text, ("global",))
    assert_near(record.totals["global"], sum(expected.sums["global"]))


def test_the_order_and_number_of_candidates_change_nothing(llama: Any, tokenizer: Any) -> None:
    texts = [LONG, "Seven.", "First step. Second step.", "首先。其次。"]
    candidates = [Response(f"t{i}", text, i) for i, text in enumerate(texts)]
    prompt = tokenizer.encode(PROMPT)
    model = llama
    together = scorer_of(model, tokenizer).score(prompt, candidates)
    backwards = scorer_of(model, tokenizer).score(prompt, candidates[::-1])[::-1]
    alone = [scorer_of(model, tokenizer).score(prompt, [one])[0] for one in candidates]
    tight = Scorer(
        **{
            **vars(scorer_of(model, tokenizer)),
            "backend": EngineBackend(Engine(model, token_budget=16)),
        }
    ).score(prompt, candidates)
    for other in (backwards, alone, tight):
        for a, b in zip(together, other, strict=True):
            assert (a.teacher, a.sample, a.spans, a.tokens) == (
                b.teacher,
                b.sample,
                b.spans,
                b.tokens,
            )
            for window in ("4", "global"):
                assert_near(a.sums[window], b.sums[window])


def test_two_equal_responses_have_equal_records(llama: Any, tokenizer: Any) -> None:
    prompt = tokenizer.encode(PROMPT)
    one, two = scorer_of(llama, tokenizer).score(
        prompt, [Response("a", LONG), Response("a", LONG, 1)]
    )
    assert (one.sample, two.sample) == (0, 1)
    assert one.sums == two.sums and one.totals == two.totals  # to the last bit: it is a tie


def test_no_candidate_gives_no_record(llama: Any, tokenizer: Any) -> None:
    assert scorer_of(llama, tokenizer).score(tokenizer.encode(PROMPT), []) == []


def test_the_oracle_cuts_tokens_as_the_definition_says(tokenizer: Any) -> None:
    """The blank before a word is not visible, so its token goes with the word."""
    ids = token_steps(tokenizer, "First step. Second step.", ["First step. ", "Second step."])
    assert [tokenizer.decode(step) for step in ids] == ["First step.", " Second step."]


def score(
    model: Any, tokenizer: Any, text: str, windows: tuple[str, ...] = WINDOWS
) -> list[StepSums]:
    prompt = tokenizer.encode(PROMPT)
    return scorer_of(model, tokenizer, windows).score(prompt, [Response("t", text)])


def sums(record: StepSums, window: str) -> tuple[float, ...]:
    found = record.sums[window]
    assert found is not None
    return found
