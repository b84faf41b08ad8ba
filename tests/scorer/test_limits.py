"""What does not fit is undefined, with the reason; all the rest stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import RunScores, TokenRun
from lnat_plugins.metrics import get_metric
from lnat_plugins.scoring.backend import EngineBackend, Job, JobSums, Sum
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set import Response
from tests.helpers_students import assert_near, student, truth

from .scoring import LONG, scorer_of

PROMPT = list(range(40, 60))


def score(model: Any, tokenizer: Any, text: str, **options: Any) -> StepSums:
    scorer = scorer_of(model, tokenizer, ("1", "global"), **options)
    (record,) = scorer.score(PROMPT, [Response("t", text)])
    return record


def test_a_trace_longer_than_the_context_has_a_local_score_only(llama: Any, tokenizer: Any) -> None:
    record = score(llama, tokenizer, LONG, max_length=80)
    whole = len(PROMPT) + record.n_tokens
    assert whole > 81
    assert record.undefined == {
        "global": f"the prompt and the whole trace have {whole} tokens; "
        "the student reads at most 80"
    }
    assert record.sums["global"] is None and math.isnan(record.totals["global"])
    assert_near(record.sums["1"], truth(llama, tokenizer, PROMPT, LONG, ("1",)).sums["1"])
    assert math.isnan(get_metric("global_naturalness").of(record, "1"))
    assert math.isfinite(get_metric("local_naturalness").of(record, "1"))


def test_the_last_token_needs_no_place_in_the_context(tokenizer: Any) -> None:
    """It is predicted, not read; a student with no more positions than that proves it."""
    ids = tokenizer.encode(LONG)
    limit = len(PROMPT) + len(ids) - 1
    model = student("gpt2", n_positions=limit)
    fits = score(model, tokenizer, LONG, max_length=limit)
    assert fits.undefined == {}
    with torch.no_grad():
        logits = model(torch.tensor([PROMPT + ids[:-1]])).logits[0, len(PROMPT) - 1 :]
    expected = logits.log_softmax(-1)[range(len(ids)), ids].sum()
    assert_near(fits.totals["global"], float(expected), 1e-3)
    assert set(score(model, tokenizer, LONG, max_length=limit - 1).undefined) == {"global"}


@pytest.mark.parametrize("windows", [("0",), ("1",), ("global",)])
def test_the_boundary_of_a_single_step(llama: Any, tokenizer: Any, windows: Any) -> None:
    text = "So three and four are seven"
    limit = len(PROMPT) + len(tokenizer.encode(text)) - 1
    for max_length, defined in [(limit, True), (limit - 1, False)]:
        scorer = scorer_of(llama, tokenizer, windows, max_length=max_length)
        (record,) = scorer.score(PROMPT, [Response("t", text)])
        assert (record.undefined == {}) is defined
        assert math.isnan(record.totals[windows[0]]) is not defined


def test_a_giant_step_leaves_the_local_score_undefined(llama: Any, tokenizer: Any) -> None:
    giant = " and".join(["First"] * 30) + "."
    text = f"First step. {giant} Third one. So 3 + 4 = 7. Done."
    record = score(llama, tokenizer, text, max_length=60)
    assert set(record.undefined) == {"1", "global"}
    lengths = record.tokens
    needed = len(PROMPT) + lengths[0] + lengths[1]
    assert record.undefined["1"] == (
        "2 of 5 steps have no score; step 2: the prompt and the step with its window have "
        f"{needed} tokens; the student reads at most 60"
    )
    found = record.sums["1"]
    assert found is not None
    assert [math.isnan(value) for value in found] == [False, True, True, False, False]
    assert math.isnan(record.totals["1"])
    expected = truth(llama, tokenizer, PROMPT, text, ("1",)).sums["1"]
    for i in (0, 3, 4):
        assert_near(found[i], expected[i])


def test_a_window_that_fits_stands_beside_one_that_does_not(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, ("0", "4", "global"), max_length=60)
    (record,) = scorer.score(PROMPT, [Response("t", LONG)])
    assert set(record.undefined) == {"4", "global"}
    assert_near(record.sums["0"], truth(llama, tokenizer, PROMPT, LONG, ("0",)).sums["0"])


def test_one_response_that_does_not_fit_harms_no_other(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, max_length=60)
    long, short = scorer.score(PROMPT, [Response("t", LONG), Response("u", "Seven.")])
    assert long.undefined and not short.undefined
    assert_near(short.sums["4"], truth(llama, tokenizer, PROMPT, "Seven.").sums["4"])


def test_a_prompt_that_fills_the_context_leaves_all_undefined(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, max_length=len(PROMPT) - 1)
    (record,) = scorer.score(PROMPT, [Response("t", LONG)])
    assert set(record.undefined) == {"4", "global"}
    assert StepSums.from_json(record.to_json()).undefined == record.undefined


class BrokenOnLongRuns:
    """An engine that fails on runs of more than eight tokens."""

    path = "batched"
    has_activations = True

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def score(self, prompt: Any, runs: Sequence[TokenRun]) -> list[RunScores]:
        return [
            RunScores(np.full(len(run.ids), np.nan), "the pass ran out of memory")
            if len(run.ids) > 8
            else self.engine.score(prompt, [run])[0]
            for run in runs
        ]


@pytest.mark.parametrize(
    ("window", "failed", "reason"),
    [
        ("0", [False, True, False, False], "1 of 4 steps have no score; step 2"),
        ("global", [True] * 4, "4 of 4 steps have no score; step 1"),
    ],
)
def test_a_failure_of_the_engine_is_nan_with_its_reason(
    llama: Any, tokenizer: Any, window: str, failed: list[bool], reason: str
) -> None:
    text = "Done. First step and second step and third one. Done. Wait."
    backend = EngineBackend(BrokenOnLongRuns(Engine(llama)))  # type: ignore[arg-type]
    scorer = scorer_of(llama, tokenizer, (window,), backend=backend)
    (record,) = scorer.score(PROMPT, [Response("t", text)])
    assert record.undefined == {window: f"{reason}: the pass ran out of memory"}
    found = record.sums[window]
    assert found is not None
    assert [math.isnan(value) for value in found] == failed
    assert math.isnan(record.totals[window])
    back = StepSums.from_json(record.to_json())
    assert back.undefined == record.undefined and back.sums[window] is not None


def test_a_student_of_nans_is_undefined_and_never_zero(tokenizer: Any) -> None:
    model = student("llama")
    model.lm_head.weight.data.fill_(math.nan)
    record = score(model, tokenizer, "First step. Second step.")
    assert set(record.undefined) == {"1", "global"}
    assert "NaN or infinity" in record.undefined["1"]
    assert math.isnan(record.totals["1"]) and math.isnan(record.totals["global"])


class OnlyTotals:
    """A back end that gives the global score as one number."""

    global_by_step = False
    path = "loglikelihood"
    unavailable: ClassVar[dict[str, str]] = {"entropy": "log-probabilities only"}

    def __init__(self, whole: Sum) -> None:
        self.whole = whole

    def sums(self, prompt: Any, jobs: Sequence[Job]) -> list[JobSums]:
        return [
            JobSums(dict.fromkeys(job.pairs, Sum(-1.0)), self.whole if job.whole else None)
            for job in jobs
        ]


@pytest.mark.parametrize(
    ("whole", "undefined"),
    [(Sum(-12.5), {}), (Sum(math.nan, "no answer"), {"global": "no answer"})],
)
def test_a_back_end_without_steps_gives_a_total(
    tokenizer: Any, whole: Sum, undefined: dict[str, str]
) -> None:
    scorer = scorer_of(None, tokenizer, backend=OnlyTotals(whole))
    (record,) = scorer.score(PROMPT, [Response("t", "Yes. Well.")])
    assert (record.sums["4"], record.sums["global"]) == ((-1.0, -1.0), None)
    assert record.undefined == undefined
    assert record.totals["4"] == -2.0
    np.testing.assert_equal(record.totals["global"], whole.value)
    assert record.path == "loglikelihood"


def test_a_back_end_without_steps_is_not_asked_for_what_does_not_fit(tokenizer: Any) -> None:
    scorer = scorer_of(None, tokenizer, max_length=30, backend=OnlyTotals(Sum(-12.5)))
    (record,) = scorer.score(PROMPT, [Response("t", LONG)])
    assert math.isnan(record.totals["global"])
    assert "reads at most 30" in record.undefined["global"]
