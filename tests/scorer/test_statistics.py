"""Statistics of steps and of a response: of the right tokens, or with a reason."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL, STEP
from lnat_plugins.scoring.backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set import Response
from tests.helpers_students import student
from tests.scorer.scoring import LONG, scorer_of
from tests.scorer.test_limits import BrokenOnLongRuns, OnlyTotals

PROMPT = [5, 6, 7]
OF_BACKEND = ALL - {"reward"}


def record_of(model: Any, tokenizer: Any, text: str = LONG, **options: Any) -> StepSums:
    scorer = scorer_of(model, tokenizer, **{"statistics": ALL, **options})
    (record,) = scorer.score(PROMPT, [Response("t", text, extra={"reward": 0.5})])
    return record


@torch.no_grad()
def logprobs(model: Any, before: list[int], ids: list[int]) -> list[float]:
    logits = model(torch.tensor([before + ids])).logits[0, len(before) - 1 : -1]
    return [float(row.log_softmax(-1)[t]) for row, t in zip(logits, ids, strict=True)]


def test_steps_get_the_sums_of_their_own_tokens(llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer)
    each = logprobs(llama, PROMPT, tokenizer.encode(LONG))
    bounds = np.cumsum([0, *record.tokens])
    for i, (begin, end) in enumerate(itertools.pairwise(bounds)):
        assert record.step_statistics["first_token"][i] == pytest.approx(each[begin], abs=1e-4)
        two = sum(each[begin : min(begin + 2, end)])
        assert record.step_statistics["first_two_tokens"][i] == pytest.approx(two, abs=1e-4)
    assert set(record.step_statistics) == set(STEP)
    assert all(len(values) == len(record.tokens) for values in record.step_statistics.values())
    assert record.undefined == {}


def test_statistics_are_of_the_whole_trace_whatever_the_windows(llama: Any, tokenizer: Any) -> None:
    local = record_of(llama, tokenizer, windows=("0",))
    both = record_of(llama, tokenizer, windows=("global", "0", "4"))
    assert set(local.sums) == {"0"}
    for name, values in both.step_statistics.items():
        np.testing.assert_allclose(local.step_statistics[name], values, rtol=1e-4, atol=1e-4)


def test_without_a_prompt_from_the_opening_token(llama: Any, tokenizer: Any) -> None:
    ids = tokenizer.encode(LONG)
    for opening, before, scored in [(1, [1], ids), (None, ids[:1], ids[1:])]:
        tokenizer.bos_token = None if opening is None else tokenizer.convert_ids_to_tokens(1)
        found = record_of(llama, tokenizer).statistics
        tokenizer.bos_token = None
        assert found["unprompted_tokens"] == len(scored)
        alone = sum(logprobs(llama, before, scored))
        assert found["unprompted"] == pytest.approx(alone, abs=1e-3)
        with_prompt = logprobs(llama, PROMPT, ids)[-len(scored) :]
        assert found["prompted"] == pytest.approx(sum(with_prompt), abs=1e-3)


def test_one_token_alone_has_no_context(llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, "7")
    assert record.n_tokens == 1
    assert record.undefined["unprompted"] == "one token has no context without a prompt"
    assert "unprompted" not in record.statistics


def test_equal_responses_have_their_own_rewards(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, statistics={"reward", "entropy"})
    both = [Response("t", "Yes.", extra={"reward": 2.0}), Response("u", "Yes.")]
    one, other = scorer.score(PROMPT, both)
    assert one.statistics["reward"] == 2.0
    assert other.undefined == {"reward": "the row has no `reward`"}
    assert one.step_statistics == other.step_statistics


def test_only_what_is_wanted_is_gathered(llama: Any, tokenizer: Any) -> None:
    engine = Engine(llama)
    backend = EngineBackend(engine)
    plain = record_of(llama, tokenizer, backend=backend, statistics=())
    before = engine.counts.body_tokens
    assert (plain.step_statistics, plain.statistics) == ({}, {})
    cheap = record_of(llama, tokenizer, backend=backend, statistics={"entropy"})
    assert set(cheap.step_statistics) == {"entropy"}
    assert engine.counts.body_tokens == 2 * before


def test_too_long_a_trace_has_none_and_says_why(llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, max_length=60)
    assert record.statistics == {"reward": 0.5}
    assert record.step_statistics == {}
    for name in OF_BACKEND:
        assert "the student reads at most 60" in record.undefined[name]


def test_the_last_activation_needs_a_place_of_its_own(llama: Any, tokenizer: Any) -> None:
    limit = len(PROMPT) + len(tokenizer.encode(LONG)) - 1
    record = record_of(llama, tokenizer, max_length=limit)
    assert set(record.undefined) == {"activation_self", "activation_prompt"}
    assert record_of(llama, tokenizer, max_length=limit + 1).undefined == {}


def test_a_failed_pass_is_told_for_each_statistic(llama: Any, tokenizer: Any) -> None:
    backend = EngineBackend(BrokenOnLongRuns(Engine(llama)))  # type: ignore[arg-type]
    record = record_of(llama, tokenizer, backend=backend)
    assert record.step_statistics == {}
    assert {record.undefined[name] for name in OF_BACKEND} == {"the pass ran out of memory"}
    again = StepSums.from_json(record.to_json())
    assert again.undefined == record.undefined


def test_a_back_end_tells_what_it_lacks(llama: Any, tokenizer: Any) -> None:
    from lnat_plugins.scoring.backend import Sum

    backend = OnlyTotals(Sum(-9.0))
    record = record_of(llama, tokenizer, backend=backend, statistics={"entropy", "reward"})
    assert record.undefined == {"entropy": "log-probabilities only"}
    assert record.statistics == {"reward": 0.5}


@pytest.mark.parametrize("name", ["gpt2", "phi3"])
def test_a_student_without_the_projection_lacks_activations(name: str, tokenizer: Any) -> None:
    record = record_of(student(name), tokenizer)
    reason = "the last layer of this student has no `mlp.up_proj`"
    assert record.undefined == {"activation_self": reason, "activation_prompt": reason}
    assert math.isfinite(record.statistics["unprompted"])
