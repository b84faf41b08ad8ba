"""The scorer against the definition, from text; and what does not fit."""

from __future__ import annotations

import importlib.metadata
import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

import lnat_plugins
from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.metrics import get_metric
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.steps import parse_steps
from lnat_plugins.teacher_set import Response
from lnat_plugins.teacher_set.config import Settings, fingerprint
from tests.helpers_students import assert_near, student, token_steps, truth
from tests.scoring.builders import LONG, scorer_of

QUESTION = "What is 3 + 4?\n\n"
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
    prompt = tokenizer.encode(QUESTION)
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
    expected = truth(llama, tokenizer, tokenizer.encode(QUESTION), text, WINDOWS)
    assert "".join(text[a:b] for a, b in record.spans) == text
    n = len(tokenizer.encode(text, add_special_tokens=False))
    assert record.n_tokens + sum(record.tag_tokens) == n
    assert [*record.tag_tokens] == (expected.tag_tokens if any(expected.tag_tokens) else [])
    assert record.tokens == tuple(expected.tokens)
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])


@pytest.mark.parametrize("how", ["line", "paragraph", "tokens:3"])
def test_other_steps(llama: Any, tokenizer: Any, how: str) -> None:
    text = "First step. Second\nstep.\n\nThird one:\n done."
    prompt = tokenizer.encode(QUESTION)
    scorer = scorer_of(llama, tokenizer, WINDOWS, how)
    (record,) = scorer.score(prompt, [Response("t", text)])
    steps = [text[a:b] for a, b in record.spans]
    assert len(steps) > 1
    expected = truth(llama, tokenizer, prompt, text, WINDOWS, steps)
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])


def test_supplied_steps(llama: Any, tokenizer: Any) -> None:
    steps = ["First step. Second ", "step.\n\nThird", " one: done."]
    prompt = tokenizer.encode(QUESTION)
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
    prompt = tokenizer.encode(QUESTION)
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
    prompt = tokenizer.encode(QUESTION)
    one, two = scorer_of(llama, tokenizer).score(
        prompt, [Response("a", LONG), Response("a", LONG, 1)]
    )
    assert (one.sample, two.sample) == (0, 1)
    assert one.sums == two.sums and one.totals == two.totals  # to the last bit: it is a tie


def test_no_candidate_gives_no_record(llama: Any, tokenizer: Any) -> None:
    assert scorer_of(llama, tokenizer).score(tokenizer.encode(QUESTION), []) == []


def test_the_oracle_cuts_tokens_as_the_definition_says(tokenizer: Any) -> None:
    """The blank before a word is not visible, so its token goes with the word."""
    ids = token_steps(tokenizer, "First step. Second step.", ["First step. ", "Second step."])
    found = [tokenizer.decode([token for token, _ in step]) for step in ids]
    assert found == ["First step.", " Second step."]
    assert all(counts for step in ids for _, counts in step)


def score(
    model: Any, tokenizer: Any, text: str, windows: tuple[str, ...] = WINDOWS
) -> list[StepSums]:
    prompt = tokenizer.encode(QUESTION)
    return scorer_of(model, tokenizer, windows).score(prompt, [Response("t", text)])


def sums(record: StepSums, window: str) -> tuple[float, ...]:
    found = record.sums[window]
    assert found is not None
    return found


PROMPT = [5, 6, 7]


def test_an_empty_prompt_is_refused(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    candidate = Response("QwQ", "Yes.", where="set.jsonl row 3")
    with pytest.raises(StudentError, match="set.jsonl row 3: the prompt has no tokens.*prompt, or"):
        scorer.score([], [candidate])


def test_a_prompt_of_one_token_is_enough(llama: Any, tokenizer: Any) -> None:
    (record,) = scorer_of(llama, tokenizer).score([5], [Response("QwQ", "Yes.")])
    assert record.undefined == {}


def test_missing_steps_are_refused_with_the_row(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, steps="supplied")
    with pytest.raises(DataError, match="set.jsonl row 3: the row carries no steps"):
        scorer.score(PROMPT, [Response("QwQ", "Yes.", where="set.jsonl row 3")])


@pytest.mark.parametrize("steps", [["Yes."], ["Yes. ", "", "No."], ["Yes.", "No."], []])
def test_steps_that_do_not_join_to_the_response_are_refused(
    llama: Any, tokenizer: Any, steps: list[str]
) -> None:
    scorer = scorer_of(llama, tokenizer, steps="supplied")
    with pytest.raises(DataError, match="^set.jsonl row 3: "):
        scorer.score(PROMPT, [Response("QwQ", "Yes. No.", steps=steps, where="set.jsonl row 3")])


def test_a_slow_tokenizer_is_refused_before_anything_is_scored(llama: Any) -> None:
    with pytest.raises(StudentError, match="no character offsets"):
        scorer_of(llama, object())


def test_a_record_says_how_it_came_about(llama: Any, tokenizer: Any) -> None:
    scorer = replace(scorer_of(llama, tokenizer), host={"lm_eval": "0.4.13"})
    (record,) = scorer.score(PROMPT, [Response("QwQ, 32B", LONG, "b")])
    assert (record.teacher, record.sample) == ("QwQ, 32B", "b")
    assert record.path == "packed"
    assert record.settings == Settings().as_dict()
    assert record.settings_hash == Settings().fingerprint
    assert record.splitter == str(parse_steps("sentence"))
    assert record.versions == {
        "lnat_plugins": lnat_plugins.__version__,
        "torch": importlib.metadata.version("torch"),
        "transformers": importlib.metadata.version("transformers"),
        "lm_eval": "0.4.13",
    }


@pytest.mark.parametrize("max_length", [None, 40])
def test_a_record_survives_json(llama: Any, tokenizer: Any, max_length: int | None) -> None:
    scorer = scorer_of(llama, tokenizer, ("1", "4", "10%", "global"), max_length=max_length)
    (record,) = scorer.score(PROMPT, [Response("Ünï", LONG)])
    assert bool(record.undefined) is (max_length is not None)
    text = record.to_json()
    back = StepSums.from_json(text)
    assert back.to_json() == text
    assert "\n" not in text and json.loads(text)["teacher"] == "Ünï"
    assert (back.spans, back.tokens, back.undefined) == (
        record.spans,
        record.tokens,
        record.undefined,
    )


SETTINGS = Settings().as_dict() | {"chat_template": None, "system_instruction": None}


@pytest.mark.parametrize(
    "change",
    [
        {"steps": "line"},
        {"markers": "keep"},
        {"windows": ["4"]},
        {"windows": ["global", "4"]},
        {"windows": ["5", "global"]},
        {"target_delimiter": "\n"},
        {"target_delimiter": ""},
        {"chat_template": "0123456789ab"},
        {"system_instruction": "Be brief."},
        {"system_instruction": ""},
    ],
)
def test_every_setting_is_in_the_fingerprint(
    llama: Any, tokenizer: Any, change: dict[str, Any]
) -> None:
    first = replace(scorer_of(llama, tokenizer), settings=SETTINGS)
    second = replace(first, settings=SETTINGS | change)
    (one,) = first.score(PROMPT, [Response("t", "Yes.")])
    (two,) = second.score(PROMPT, [Response("t", "Yes.")])
    assert one.settings_hash == fingerprint(SETTINGS) != two.settings_hash
    assert two.settings == SETTINGS | change


def test_the_fingerprint_does_not_depend_on_the_order_of_the_settings() -> None:
    assert fingerprint(SETTINGS) == fingerprint(dict(reversed(SETTINGS.items())))


LONG_PROMPT = list(range(40, 60))
FREE = ("first_token", "first_two_tokens")  # statistics that the global window brings with it


def score_whole(model: Any, tokenizer: Any, text: str, **options: Any) -> StepSums:
    scorer = scorer_of(model, tokenizer, ("1", "global"), **options)
    (record,) = scorer.score(LONG_PROMPT, [Response("t", text)])
    return record


def test_a_trace_longer_than_the_context_has_a_local_score_only(llama: Any, tokenizer: Any) -> None:
    record = score_whole(llama, tokenizer, LONG, max_length=80)
    whole = len(LONG_PROMPT) + record.n_tokens
    assert whole > 81
    reason = f"the prompt and the whole trace have {whole} tokens; the student reads at most 80"
    assert record.undefined == dict.fromkeys(["global", *FREE], reason)
    assert record.sums["global"] is None and math.isnan(record.totals["global"])
    assert_near(record.sums["1"], truth(llama, tokenizer, LONG_PROMPT, LONG, ("1",)).sums["1"])
    assert math.isnan(get_metric("global_naturalness").of(record, "1"))
    assert math.isfinite(get_metric("local_naturalness").of(record, "1"))


def test_the_last_token_needs_no_place_in_the_context(tokenizer: Any) -> None:
    """It is predicted, not read; a student with no more positions than that proves it."""
    ids = tokenizer.encode(LONG)
    limit = len(LONG_PROMPT) + len(ids) - 1
    model = student("gpt2", n_positions=limit)
    fits = score_whole(model, tokenizer, LONG, max_length=limit)
    assert fits.undefined == {}
    with torch.no_grad():
        logits = model(torch.tensor([LONG_PROMPT + ids[:-1]])).logits[0, len(LONG_PROMPT) - 1 :]
    expected = logits.log_softmax(-1)[range(len(ids)), ids].sum()
    assert_near(fits.totals["global"], float(expected), 1e-3)
    cut = score_whole(model, tokenizer, LONG, max_length=limit - 1)
    assert cut.undefined.keys() == {"global", *FREE}


@pytest.mark.parametrize("windows", [("0",), ("1",), ("global",)])
def test_the_boundary_of_a_single_step(llama: Any, tokenizer: Any, windows: Any) -> None:
    text = "So three and four are seven"
    limit = len(LONG_PROMPT) + len(tokenizer.encode(text)) - 1
    for max_length, defined in [(limit, True), (limit - 1, False)]:
        scorer = scorer_of(llama, tokenizer, windows, max_length=max_length)
        (record,) = scorer.score(LONG_PROMPT, [Response("t", text)])
        assert (record.undefined == {}) is defined
        assert math.isnan(record.totals[windows[0]]) is not defined


def test_a_giant_step_leaves_the_local_score_undefined(llama: Any, tokenizer: Any) -> None:
    giant = " and".join(["First"] * 30) + "."
    text = f"First step. {giant} Third one. So 3 + 4 = 7. Done."
    record = score_whole(llama, tokenizer, text, max_length=60)
    assert set(record.undefined) == {"0", "1", "global", *FREE}  # "0" is read with "1"
    assert record.undefined["0"].startswith("1 of 5 steps have no score; step 2: ")
    lengths = record.tokens
    needed = len(LONG_PROMPT) + lengths[0] + lengths[1]
    assert record.undefined["1"] == (
        "2 of 5 steps have no score; step 2: the prompt and the step with its window have "
        f"{needed} tokens; the student reads at most 60"
    )
    found = record.sums["1"]
    assert found is not None
    assert [math.isnan(value) for value in found] == [False, True, True, False, False]
    assert math.isnan(record.totals["1"])
    expected = truth(llama, tokenizer, LONG_PROMPT, text, ("1",)).sums["1"]
    for i in (0, 3, 4):
        assert_near(found[i], expected[i])


def test_a_window_that_fits_stands_beside_one_that_does_not(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, ("0", "4", "global"), max_length=60)
    (record,) = scorer.score(LONG_PROMPT, [Response("t", LONG)])
    assert set(record.undefined) == {"2", "3", "4", "global", *FREE}
    assert {*record.sums} - {*record.undefined} == {"0", "1"}
    assert_near(record.sums["0"], truth(llama, tokenizer, LONG_PROMPT, LONG, ("0",)).sums["0"])


def test_one_response_that_does_not_fit_harms_no_other(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, max_length=60)
    long, short = scorer.score(LONG_PROMPT, [Response("t", LONG), Response("u", "Seven.")])
    assert long.undefined and not short.undefined
    assert_near(short.sums["4"], truth(llama, tokenizer, LONG_PROMPT, "Seven.").sums["4"])


def test_a_prompt_that_fills_the_context_leaves_all_undefined(llama: Any, tokenizer: Any) -> None:
    wanted = ["unprompted", "entropy", "cosine_self", "brier", "first_token"]
    limit = len(LONG_PROMPT) - 1
    scorer = scorer_of(llama, tokenizer, max_length=limit, statistics=wanted)
    (record,) = scorer.score(LONG_PROMPT, [Response("t", LONG)])
    # In the same order in every process, so that two runs write the same samples file.
    scored = ["4", "global", "0", "1", "2", "3"]
    assert [*record.undefined] == [*scored, *sorted({*wanted, *FREE})]
    assert StepSums.from_json(record.to_json()).undefined == record.undefined
