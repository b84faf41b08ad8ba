"""A part of a response: the steps that are read have the sums of a full reading, others none."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins.metrics import get_metric
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.prepared import Prepared
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.tokens import EncodedResponse
from lnat_plugins.teacher_set import Response
from tests.helpers_students import assert_near, student
from tests.scoring.builders import LONG, scorer_of

QUESTION = "What is 3 + 4?\n\n"


def prepared(scorer: Scorer, tokenizer: Any, *texts: str) -> Prepared:
    responses = [Response(f"t{i}", text) for i, text in enumerate(texts)]
    return scorer.prepare(tokenizer.encode(QUESTION), responses)


def always(*steps: int, whole: bool) -> Any:
    return lambda response: Part(steps, whole)


@pytest.mark.parametrize("name", ["llama", "mistral_sliding"])
@pytest.mark.parametrize("window", ["2", "10%"])
def test_steps_that_are_read_have_their_exact_sums(name: str, window: str, tokenizer: Any) -> None:
    scorer = scorer_of(student(name), tokenizer, (window, "4", "global"))
    ready = prepared(scorer, tokenizer, LONG)
    (full,) = scorer.score_prepared(ready)
    (one,) = scorer.score_prepared(ready, always(5, 9, whole=True))
    known = [i for i, (start, _) in enumerate(scorer.windows[0].pairs(full.n_steps)) if not start]
    assert len(known) == (3 if window == "2" else 2)
    expected = [
        value if i in {*known, 5, 9} else math.nan
        for i, value in enumerate(full.sums[window] or ())
    ]
    np.testing.assert_allclose(one.sums[window], expected, atol=1e-4)
    assert_near(one.sums["global"], full.sums["global"])
    assert_near(one.totals["global"], full.totals["global"])
    assert set(one.sums) == {window, "global"}
    assert math.isnan(one.totals[window])
    assert one.undefined == {window: f"{len(known) + 2} of {full.n_steps} steps were read"}
    assert one.part == {"steps": [5, 9], "whole": True}
    assert one.tokens == full.tokens


def test_without_the_whole_only_the_drawn_steps_are_read(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    ready = prepared(scorer, tokenizer, LONG)
    (full,) = scorer.score_prepared(ready)
    (one,) = scorer.score_prepared(ready, always(0, 7, whole=False))
    found = np.array(one.sums["4"])
    assert np.flatnonzero(~np.isnan(found)).tolist() == [0, 7]
    assert_near(found[[0, 7]], np.array(full.sums["4"])[[0, 7]])
    assert set(one.sums) == {"4"} and "global" not in one.undefined


@pytest.mark.parametrize("whole", [True, False])
def test_the_tokens_read_are_those_planned(llama: Any, tokenizer: Any, whole: bool) -> None:
    scorer = scorer_of(llama, tokenizer)
    ready = prepared(scorer, tokenizer, LONG, "First step. Wait.")
    part_of = lambda response: Part((response.n_steps - 1,), whole)  # noqa: E731
    scorer.score_prepared(ready, part_of)  # the path is checked once, with tokens of its own
    planned = scorer.backend.to_read(scorer.calls(ready, part_of))
    before = scorer.backend.tokens_read
    scorer.score_prepared(ready, part_of)
    assert scorer.backend.tokens_read - before == planned.tokens
    bounds = [one.bounds for one in ready.encoded.values()]
    last = sum(b[-1] - b[max(0, len(b) - 6)] - 1 for b in bounds)
    long, short = (b[-1] - 1 for b in bounds)
    # Of the short response the last step sees all before it: one run serves both.
    assert planned.body_tokens == (long + short + last - short if whole else last)


def test_equal_responses_are_read_alike(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    asked: list[EncodedResponse] = []

    def part_of(response: EncodedResponse) -> Part:
        asked.append(response)
        return Part((8,), whole=True)

    one, other = scorer.score_prepared(prepared(scorer, tokenizer, LONG, LONG), part_of)
    assert one.sums["global"] == other.sums["global"]
    assert len({id(each) for each in asked}) == 1


def test_no_metric_takes_a_part_for_the_whole(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    ready = prepared(scorer, tokenizer, LONG)
    (record,) = scorer.score_prepared(ready, always(8, whole=True))
    metric = get_metric("local_naturalness")
    found = metric.rate([SimpleNamespace(prompt_id="p", teacher="t", record=record)], "4")
    assert math.isnan(found.values[0]) and "6 of 13 steps were read" in found.reasons[0]


def test_what_does_not_fit_or_fails_says_so(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, max_length=30)
    (record,) = scorer.score_prepared(prepared(scorer, tokenizer, LONG), always(8, whole=True))
    assert record.undefined["global"].startswith("the prompt and the whole trace have")
    assert "steps were read" in record.undefined["4"] or "have no score" in record.undefined["4"]


def test_a_response_of_tags_alone_has_no_part(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    (record,) = scorer.score_prepared(
        prepared(scorer, tokenizer, "<think>\n</think>"), always(0, whole=True)
    )
    assert record.part == {} and "nothing but tags" in record.undefined["4"]


def test_a_part_survives_json(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    (record,) = scorer.score_prepared(prepared(scorer, tokenizer, LONG), always(8, whole=True))
    read = StepSums.from_json(record.to_json())
    assert read.part == record.part and read.undefined == record.undefined
    assert read.to_json() == record.to_json()


@pytest.mark.parametrize("name", ["llama", "mistral_sliding"])
def test_stride_sums_are_those_of_the_definition(name: str, tokenizer: Any) -> None:
    scorer = scorer_of(student(name), tokenizer, ("2", "global"))
    ready = prepared(scorer, tokenizer, LONG)
    (one,) = scorer.score_prepared(ready, lambda response: Part((), False, "2/3"))
    (encoded,) = ready.encoded.values()
    prompt = [*map(int, ready.prompt)]
    expected = []
    for i in range(encoded.n_steps):
        start = encoded.bounds[i - min(i, 2 + i % 3)]
        begin, end = encoded.bounds[i], encoded.bounds[i + 1]
        read = torch.tensor([prompt + encoded.ids[start:end].tolist()])
        with torch.no_grad():
            logprobs = scorer.backend.engine._model(read).logits[0].log_softmax(-1)
        places = len(prompt) + np.arange(begin - start, end - start)
        values = logprobs[places - 1, read[0, places]].numpy()
        expected.append(values[encoded.scored[begin:end]].sum())
    assert_near(np.array(one.sums["2/3"]), np.array(expected))
    assert np.isnan(one.sums["2"]).all() and math.isfinite(one.totals["2/3"])
    assert one.part == {"steps": [], "whole": False, "stride": "2/3"}
    assert one.undefined == {"2": f"0 of {one.n_steps} steps were read"}
    every = tuple(range(one.n_steps))
    (both,) = scorer.score_prepared(ready, lambda response: Part(every, False, "2/3"))
    (exact,) = scorer.score_prepared(ready, lambda response: Part(every, False))
    assert_near(np.array(both.sums["2/3"]), np.array(expected))
    assert_near(np.array(both.sums["2"]), np.array(exact.sums["2"]))
    assert both.undefined == {}
