"""Tags are read and not scored: against the definition, token by token, and where there is nothing
else.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL, TOKEN
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps.markers import find_tags
from lnat_plugins.teacher_set import Response
from tests.helpers_students import assert_near, truth
from tests.scoring.builders import LONG, scorer_of

PROMPT = [5, 6, 7]
WINDOWS = ("0", "1", "4", "50%", "global")
PATHS = pytest.mark.parametrize("path", ["packed", "batched"])

TEXTS = {
    "none": LONG,
    "at the start": "<think>\nFirst step. Second step. So 3 + 4 = 7.",
    "at the end": "First step. Second step. So 3 + 4 = 7.\n</think>",
    "in the middle": "First step. The sum of them is <answer>7</answer>. So 3 + 4 = 7. Wait.",
    "in the middle of a line": "First </think> step\nSecond <|end|> step. Wait.",
    "several": "<think>\nFirst step. Wait.\n</think>\n\n<answer>\nSo 3 + 4 = 7. Done.\n</answer>\n",
    "several in a row": "First step.</think><answer>\n\n[INST]Second step. Third one: done.</s>",
    "bare words": "think\nFirst step. Second step.\nanswer\nSo 3 + 4 = 7.",
    "with a role": "<|im_start|>assistant\nFirst step. Second step.<|im_end|>\n<|end|>",
    "cjk": "<think>首先计算三加四。结果是七！</think>所以答案是七。",
}
ONLY_TAGS = ["</think>", "<think>\n\n</think>\n\n", "think\n\nanswer\n", "<|end|><|im_end|>"]
EVERY = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def record_of(model: Any, tokenizer: Any, text: str, path: str = "auto", **options: Any) -> Any:
    scorer = scorer_of(
        model, tokenizer, backend=EngineBackend(Engine(model, path=path)),
        **{"windows": WINDOWS, **options},
    )  # fmt: skip
    (record,) = scorer.score(PROMPT, [Response("t", text, extra={"reward": 0.5})])
    return record


def test_most_of_the_texts_hold_tags() -> None:
    """Else the comparisons below could not see a tag that is scored."""
    assert [name for name, text in TEXTS.items() if not find_tags(text)] == ["none"]
    assert all(find_tags(text) for text in ONLY_TAGS)


@PATHS
@EVERY
@pytest.mark.parametrize("markers", ["skip", "keep"])
def test_the_sums_are_those_of_the_definition(
    markers: Any, text: str, path: str, llama: Any, tokenizer: Any
) -> None:
    record = record_of(llama, tokenizer, text, path, markers=markers)
    expected = truth(llama, tokenizer, PROMPT, text, WINDOWS, markers=markers)
    assert record.path == path
    assert [*record.tokens] == expected.tokens
    assert [*record.tag_tokens] == (expected.tag_tokens if any(expected.tag_tokens) else [])
    assert bool(record.tag_tokens) is (markers == "skip" and text != LONG)
    assert record.undefined == {}
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])
        assert_near(record.totals[window], math.fsum(expected.sums[window]))


@EVERY
@pytest.mark.parametrize("steps", ["line", "paragraph", "turn", "tokens:3", "tokens:7"])
def test_other_steps(steps: str, text: str, llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, text, steps=steps)
    cut = [text[a:b] for a, b in record.spans]
    assert "".join(cut) == text
    expected = truth(llama, tokenizer, PROMPT, text, WINDOWS, cut)
    assert [*record.tokens] == expected.tokens and min(record.tokens) > 0
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])


def test_supplied_steps_of_tags_alone_join_the_step_after(llama: Any, tokenizer: Any) -> None:
    steps = ["<think>\n", "First step.", " Second step.\n", "</think>", "\n", "Done.", "</answer>"]
    text, joined = "".join(steps), ["<think>\nFirst step.", " Second step.\n", "</think>\nDone."]
    joined[-1] += "</answer>"
    scorer = scorer_of(llama, tokenizer, WINDOWS, "supplied")
    (record,) = scorer.score(PROMPT, [Response("t", text, steps=steps)])
    assert [text[a:b] for a, b in record.spans] == joined
    expected = truth(llama, tokenizer, PROMPT, text, WINDOWS, joined)
    for window in WINDOWS:
        assert_near(record.sums[window], expected.sums[window])


@PATHS
@EVERY
def test_what_is_left_out_and_what_is_scored_are_the_whole(
    text: str, path: str, llama: Any, tokenizer: Any
) -> None:
    skip = record_of(llama, tokenizer, text, path)
    keep = record_of(llama, tokenizer, text, path, markers="keep")
    assert skip.spans == keep.spans
    assert keep.tag_tokens == () and keep.tag_sums == {}
    if text == LONG:
        assert (skip.tokens, skip.sums, skip.tag_sums) == (keep.tokens, keep.sums, {})
        return
    recorded = [*WINDOWS, "2", "3"]
    assert [*skip.tag_sums] == [*skip.sums] == [*keep.sums] == recorded
    np.testing.assert_equal(np.add(skip.tokens, skip.tag_tokens), keep.tokens)
    for window in recorded:
        assert_near(np.add(skip.sums[window], skip.tag_sums[window]), keep.sums[window])
    back = StepSums.from_json(skip.to_json())
    assert (back.tag_tokens, back.tag_sums) == (skip.tag_tokens, skip.tag_sums)


@EVERY
def test_statistics_are_of_the_scored_tokens(text: str, llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, text, statistics=ALL, tokens=True)
    values = record.token_values.arrays()
    steps = [slice(*pair) for pair in itertools.pairwise(values["bounds"])]
    for name in TOKEN:
        by_step = [values[name][step][values["scored"][step]].sum() for step in steps]
        np.testing.assert_allclose(record.step_statistics[name], by_step, rtol=1e-4, atol=1e-4)
    whole = values["logprob[global]"]
    for name, n in {"first_token": 1, "first_two_tokens": 2}.items():
        first = [whole[step][values["scored"][step]][:n].sum() for step in steps]
        assert_near(record.step_statistics[name], first)
    n = record.n_tokens - bool(values["scored"][0])  # the tokenizer has no token that opens a text
    assert record.statistics["unprompted_tokens"] == n
    prompted = whole[1:][values["scored"][1:]].sum()
    assert record.statistics["prompted"] == pytest.approx(prompted, abs=1e-3)


@pytest.mark.parametrize("text", ONLY_TAGS)
@pytest.mark.parametrize("steps", ["sentence", "line", "tokens:2"])
@pytest.mark.parametrize("max_length", [None, 3])
def test_a_response_of_tags_alone_has_no_score(
    max_length: int | None, steps: str, text: str, llama: Any, tokenizer: Any
) -> None:
    record = record_of(
        llama, tokenizer, text, steps=steps, statistics=ALL, tokens=True, max_length=max_length
    )
    n = len(tokenizer.encode(text))
    assert (record.spans, record.tokens, record.tag_tokens) == (((0, len(text)),), (n,), ())
    windows = {*WINDOWS, "2", "3"}
    assert {*record.sums} == windows
    only = "the response holds nothing but tags"
    assert {record.undefined[w] for w in windows} == {f"1 of 1 steps have no score; step 1: {only}"}
    assert {record.undefined[name] for name in ALL - {"reward"}} == {only}
    assert all(math.isnan(record.totals[w]) for w in windows)
    assert (record.statistics, record.step_statistics) == ({"reward": 0.5}, {})
    assert record.token_values is None
    back = StepSums.from_json(record.to_json())
    assert back.undefined == record.undefined
    assert math.isnan(back.totals["4"]) and back.n_tokens == n
    for name in ("local_naturalness", "global_naturalness", "rsr", "ifd", "aslec_drop"):
        assert math.isnan(METRICS[name].of(back, "4")), name


def test_tags_alone_are_not_read(llama: Any, tokenizer: Any) -> None:
    engine = Engine(llama)
    scorer = scorer_of(llama, tokenizer, WINDOWS, backend=EngineBackend(engine), statistics=ALL)
    alone, both = (
        [Response(f"t{i}", text) for i, text in enumerate(texts)]
        for texts in (["First step."], ["First step.", "</think>"])
    )
    (expected,) = scorer.score(PROMPT, alone)
    read = engine.counts.body_tokens
    found, undefined = scorer.score(PROMPT, both)
    assert engine.counts.body_tokens == 2 * read
    assert found == replace(expected, teacher="t0")
    assert undefined.undefined


# Every window up to the widest.


@PATHS
@EVERY
def test_narrower_windows_are_those_scored_alone(
    text: str, path: str, llama: Any, tokenizer: Any
) -> None:
    record = record_of(llama, tokenizer, text, path, windows=("3", "global"))
    assert [*record.sums] == ["3", "global", "0", "1", "2"]
    for window in ("0", "1", "2"):
        alone = record_of(llama, tokenizer, text, path, windows=(window,))
        assert_near(record.sums[window], alone.sums[window])
        assert_near(record.totals[window], alone.totals[window])


class AskedForOnly(EngineBackend):
    """Computes the windows asked for and no other."""

    shares_runs = False


@pytest.mark.parametrize("windows", [("4",), ("4", "global"), ("0", "3", "global"), ("30",)])
def test_narrower_windows_cost_the_runs_that_the_response_s_end_cuts_short(
    windows: tuple[str, ...], llama: Any, tokenizer: Any
) -> None:
    """Window K needs a run of K + 1 steps from each step that has K after it. The narrower windows
    need a run from each of the last K steps too, and nothing else.
    """
    read, found = [], []
    for kind in (EngineBackend, AskedForOnly):
        engine = Engine(llama)
        scorer = scorer_of(llama, tokenizer, windows, backend=kind(engine))
        found += scorer.score(PROMPT, [Response("t", LONG)])
        read.append(engine.counts.body_tokens)
    asked = [int(window) for window in windows if window.isdecimal()]
    widest, tokens = max(asked), found[0].tokens
    starts = range(len(tokens))
    with_all = {start: start + widest + 1 for start in starts}
    alone = {max(0, i - w): 0 for w in asked for i in starts}
    for w in asked:
        alone |= {max(0, i - w): max(alone[max(0, i - w)], i + 1) for i in starts}
    if "global" in windows:
        with_all[0] = alone[0] = len(tokens)
    # The last token of a run is predicted, not read.
    assert read == [
        sum(sum(tokens[start:stop]) - 1 for start, stop in runs.items())
        for runs in (with_all, alone)
    ]
    assert read[0] - read[1] < sum(sum(tokens[-i:]) for i in range(1, widest + 1))
    assert [*found[1].sums] == [*windows]
    assert {*found[0].sums} == {*windows, *map(str, range(widest))}


@pytest.mark.parametrize("windows", [("global",), ("10%",), ("0",), ("50%", "global")])
def test_windows_without_a_narrower_one_bring_none(
    windows: tuple[str, ...], llama: Any, tokenizer: Any
) -> None:
    assert [*record_of(llama, tokenizer, LONG, windows=windows).sums] == [*windows]


def test_a_window_that_is_asked_for_is_scored_once(llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, LONG, windows=("1", "3", "0"))
    assert [*record.sums] == ["1", "3", "0", "2"]
