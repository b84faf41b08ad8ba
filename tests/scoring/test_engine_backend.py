"""Back ends: sums and statistics of the right tokens, or NaN with a reason."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL, STEP
from lnat_plugins.scoring.backend import Sum
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.tokens import special_ids
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Response
from tests import helpers_students
from tests.helpers_students import assert_near, student
from tests.scoring.builders import LONG, BrokenOnLongRuns, OnlyTotals, encode, scorer_of

PROMPT = [5, 6, 7]
OF_BACKEND = ALL - {"reward"}
FREE = {"first_token", "first_two_tokens"}  # they come with the global window


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


@pytest.mark.parametrize("windows", [("1",), ("4",), ("50%",), ("4", "50%"), ("1", "global")])
def test_only_tokens_of_the_steps_that_are_wanted_are_projected(
    windows: tuple[str, ...], llama: Any, tokenizer: Any
) -> None:
    """Each pair once, although runs hold the steps before them, and others between them."""
    engine = Engine(llama, path="batched")
    scorer = scorer_of(llama, tokenizer, windows=windows, backend=EngineBackend(engine))
    alone = dataclasses.replace(scorer, narrower=False)
    (record,) = alone.score(PROMPT, [Response("t", LONG)])
    tokens = record.tokens
    pairs = {pair for one in parse_windows(windows) for pair in one.pairs(len(tokens))}
    assert engine.counts.projected_tokens == sum(tokens[pair.step] for pair in pairs)


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


@torch.no_grad()
def content_by_definition(
    model: Any, prompt: list[int], ids: list[int], special: frozenset[int],
    tags: Collection[int] = (),
) -> dict[str, float]:  # fmt: skip
    """Mean cosines over all pairs and mean NLLs, of the tokens that are not special.

    tags: positions of those that are left out too.
    """
    held: list[torch.Tensor] = []
    module = model.model.layers[-1].mlp.up_proj
    handle = module.register_forward_hook(lambda *args: held.append(args[2]))
    model(torch.tensor([prompt + ids]))
    handle.remove()
    unit = torch.nn.functional.normalize(held[0][0].double(), dim=-1)
    nll = [math.nan, *(-value for value in logprobs(model, prompt[:1], prompt[1:] + ids))]
    kept = [i for i, token in enumerate(prompt + ids) if token not in special and i not in tags]
    answer = [i for i in kept if i >= len(prompt)]
    question = [i for i in kept if i < len(prompt)]
    return {
        "cosine_self": float((unit[answer] @ unit[answer].T).mean()),
        "cosine_prompt": float((unit[answer] @ unit[question].T).mean()),
        "content_nll": float(np.mean([nll[i] for i in answer])),
        "prompt_nll": float(np.mean([nll[i] for i in question if i])),
    }


@pytest.fixture
def own_tokenizer() -> Any:
    """One that a test may change."""
    return helpers_students.tokenizer()


@pytest.mark.parametrize("flagged", [(), (6,), (5, 7)])
def test_cosines_and_mean_nlls_leave_special_tokens_out(
    llama: Any, own_tokenizer: Any, flagged: tuple[int, ...]
) -> None:
    ids = own_tokenizer.encode(LONG)
    names = own_tokenizer.convert_ids_to_tokens([*flagged, ids[2]])
    own_tokenizer.add_special_tokens({"additional_special_tokens": names})
    special = special_ids(own_tokenizer)
    assert {*flagged, ids[2]} <= special
    found = record_of(llama, own_tokenizer)
    spelled = own_tokenizer.encode(LONG)  # a special token is cut out of the text before all others
    expected = content_by_definition(llama, PROMPT, spelled, special)
    assert {name: found.statistics[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("path", ["packed", "batched"])
def test_cosines_and_mean_nlls_leave_tags_out(path: str, llama: Any, own_tokenizer: Any) -> None:
    """The tags are context of what is scored; their own activations are in no mean."""
    text = "<think>\nFirst step. Second step.\n</think>\n\nThe sum: <answer>7</answer>. <|end|>"
    ids = own_tokenizer.encode(text)
    encoded = encode(own_tokenizer, text, parse_steps("sentence"))
    inside = {len(PROMPT) + i for i in np.flatnonzero(~encoded.scored)}
    backend = EngineBackend(Engine(llama, path=path))
    found = record_of(llama, own_tokenizer, text, backend=backend).statistics
    special = special_ids(own_tokenizer)
    expected = content_by_definition(llama, PROMPT, ids, special, inside)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    with_tags = content_by_definition(llama, PROMPT, ids, special)
    assert with_tags["cosine_self"] != pytest.approx(expected["cosine_self"], rel=1e-3)


def test_every_token_that_is_flagged_is_special(own_tokenizer: Any) -> None:
    """Llama's role markers have no role of their own among the tokenizer's special tokens."""
    before = special_ids(own_tokenizer)
    marker = AddedToken("<|role|>", special=True)
    own_tokenizer.add_tokens([marker, AddedToken("<think>", special=False)])
    added = own_tokenizer.convert_tokens_to_ids("<|role|>")
    assert added not in own_tokenizer.all_special_ids
    assert special_ids(own_tokenizer) == before | {added}


def test_a_prompt_of_special_tokens_has_no_content(llama: Any, own_tokenizer: Any) -> None:
    own_tokenizer.add_special_tokens(
        {"additional_special_tokens": own_tokenizer.convert_ids_to_tokens(PROMPT)}
    )
    record = record_of(llama, own_tokenizer)
    reason = "the prompt holds no tokens but special ones and its first"
    assert record.undefined == {"prompt_nll": reason, "cosine_prompt": reason}
    assert set(record.statistics) > {"cosine_self", "content_nll"}


def test_a_prompt_of_one_token_has_no_mean_nll(llama: Any, own_tokenizer: Any) -> None:
    scorer = scorer_of(llama, own_tokenizer, statistics=OF_BACKEND)
    (record,) = scorer.score(PROMPT[:1], [Response("t", LONG)])
    assert set(record.undefined) == {"prompt_nll"}


def test_a_response_of_special_tokens_has_no_content(llama: Any, own_tokenizer: Any) -> None:
    own_tokenizer.add_special_tokens({"additional_special_tokens": ["<|a|>", "<|b|>"]})
    llama = student("llama", vocab_size=len(own_tokenizer))
    record = record_of(llama, own_tokenizer, "<|a|><|b|>", markers="keep")
    reason = "the response holds only special tokens and tags"
    names = ("cosine_self", "cosine_prompt", "content_nll")
    assert record.undefined == dict.fromkeys(names, reason)
    assert math.isfinite(record.totals["4"])


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
    assert (set(plain.step_statistics), plain.statistics) == (FREE, {})
    cheap = record_of(llama, tokenizer, backend=backend, statistics={"entropy"})
    assert set(cheap.step_statistics) == {"entropy", *FREE}
    assert engine.counts.body_tokens == 2 * before
    local = record_of(llama, tokenizer, windows=("4",), backend=backend, statistics=())
    assert local.step_statistics == {}  # without the global window they would cost a reading


def test_too_long_a_trace_has_none_and_says_why(llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, max_length=60)
    assert record.statistics == {"reward": 0.5}
    assert record.step_statistics == {}
    for name in OF_BACKEND:
        assert "the student reads at most 60" in record.undefined[name]


def test_the_last_activation_needs_a_place_of_its_own(llama: Any, tokenizer: Any) -> None:
    limit = len(PROMPT) + len(tokenizer.encode(LONG)) - 1
    record = record_of(llama, tokenizer, max_length=limit)
    assert set(record.undefined) == {"cosine_self", "cosine_prompt"}
    assert record_of(llama, tokenizer, max_length=limit + 1).undefined == {}


def test_a_failed_pass_is_told_for_each_statistic(llama: Any, tokenizer: Any) -> None:
    backend = EngineBackend(BrokenOnLongRuns(Engine(llama)))  # type: ignore[arg-type]
    record = record_of(llama, tokenizer, backend=backend)
    assert record.step_statistics == {}
    of_response = OF_BACKEND - {"prompt_nll"}
    assert {record.undefined[name] for name in of_response} == {"the pass ran out of memory"}
    assert record.statistics.keys() == {"prompt_nll", "reward"}  # the prompt is a short run
    again = StepSums.from_json(record.to_json())
    assert again.undefined == record.undefined


def test_a_failed_pass_without_the_prompt_keeps_its_reason(llama: Any, tokenizer: Any) -> None:
    """Only the reading without the prompt fails: the other statistics stand."""
    engine = BrokenOnLongRuns(Engine(llama), only_after=[1])
    tokenizer.bos_token = tokenizer.convert_ids_to_tokens(1)
    record = record_of(llama, tokenizer, backend=EngineBackend(engine))  # type: ignore[arg-type]
    tokenizer.bos_token = None
    failed = ("unprompted", "prompted", "unprompted_tokens")
    assert record.undefined == dict.fromkeys(failed, "the pass ran out of memory")
    assert not record.statistics.keys() & set(failed)
    assert math.isfinite(record.statistics["cosine_self"])
    assert StepSums.from_json(record.to_json()).undefined == record.undefined


def test_a_back_end_says_what_is_unavailable(llama: Any, tokenizer: Any) -> None:
    backend = OnlyTotals(Sum(-9.0))
    record = record_of(llama, tokenizer, backend=backend, statistics={"entropy", "reward"})
    assert record.undefined == {"entropy": "log-probabilities only"}
    assert record.statistics == {"reward": 0.5}


@pytest.mark.parametrize("name", ["gpt2", "phi3"])
def test_a_student_without_the_projection_lacks_activations(name: str, tokenizer: Any) -> None:
    record = record_of(student(name), tokenizer)
    reason = "the last layer of this student has no `mlp.up_proj`"
    assert record.undefined == {"cosine_self": reason, "cosine_prompt": reason}
    assert math.isfinite(record.statistics["unprompted"])
    assert math.isfinite(record.statistics["content_nll"])


OPENING = "First step. Second step. Third one: done. "
TEXTS = [f"{OPENING}So 3 + 4 = 7.", f"{OPENING}Wait.", OPENING.strip()]


def test_common_openings_are_read_once(llama: Any, tokenizer: Any) -> None:
    windows = ["0"]
    together = scorer_of(llama, tokenizer, windows=windows)
    found = together.score(PROMPT, [Response(str(i), text) for i, text in enumerate(TEXTS)])
    read = together.backend.engine.counts.body_tokens
    apart = 0
    for text, record in zip(TEXTS, found, strict=True):
        scorer = scorer_of(llama, tokenizer, windows=windows)
        (alone,) = scorer.score(PROMPT, [Response("alone", text)])
        assert_near(record.sums["0"], alone.sums["0"])
        apart += scorer.backend.engine.counts.body_tokens
    # Under window 0 a run is a step: the three of the opening are common to two responses,
    # and two of them to all three, whose last step ends without a blank.
    tokens = found[0].tokens
    assert apart - read == sum(n - 1 for n in tokens[:3]) + sum(n - 1 for n in tokens[:2])


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
    free = dict.fromkeys(FREE if window == "global" else (), "the pass ran out of memory")
    assert record.undefined == {window: f"{reason}: the pass ran out of memory", **free}
    found = record.sums[window]
    assert found is not None
    assert [math.isnan(value) for value in found] == failed
    assert math.isnan(record.totals[window])
    back = StepSums.from_json(record.to_json())
    assert back.undefined == record.undefined and back.sums[window] is not None


def test_a_student_of_nans_is_undefined_and_never_zero(tokenizer: Any) -> None:
    model = student("llama")
    model.lm_head.weight.data.fill_(math.nan)
    scorer = scorer_of(model, tokenizer, ("1", "global"))
    (record,) = scorer.score(PROMPT, [Response("t", "First step. Second step.")])
    assert set(record.undefined) == {"0", "1", "global", *FREE}
    assert "NaN or infinity" in record.undefined["1"]
    assert math.isnan(record.totals["1"]) and math.isnan(record.totals["global"])


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


def test_a_back_end_without_steps_gets_no_request_that_does_not_fit(tokenizer: Any) -> None:
    scorer = scorer_of(None, tokenizer, max_length=30, backend=OnlyTotals(Sum(-12.5)))
    (record,) = scorer.score(PROMPT, [Response("t", LONG)])
    assert math.isnan(record.totals["global"])
    assert "reads at most 30" in record.undefined["global"]


BROKEN = BrokenOnLongRuns


@pytest.mark.parametrize(
    ("may_pass", "text", "options"),
    [
        (False, LONG, {}),
        (False, LONG, {"max_length": 60}),
        (False, LONG, {"max_length": 30, "statistics": ()}),
        (False, "<think></think>", {}),
        (False, "Seven", {}),
        (False, LONG, {"backend": OnlyTotals(Sum(-9.0))}),
        (True, LONG, {"backend": BROKEN}),
        (True, LONG, {"backend": BROKEN, "statistics": ()}),
        (True, LONG, {"backend": BROKEN, "statistics": (), "windows": ("1",), "max_length": 30}),
        (True, LONG, {"backend": BROKEN, "only_after": [1]}),
        (True, LONG, {"backend": BROKEN, "only_after": PROMPT[:1]}),
        (True, LONG, {"backend": OnlyTotals(Sum(math.nan, "no answer"))}),
    ],
    ids=[
        "whole", "long trace", "long windows", "tags", "one token", "unavailable", "all",
        "windows", "some windows", "unprompted", "prompt", "total",
    ],
)  # fmt: skip
def test_only_what_the_student_failed_to_read_may_pass(
    may_pass: bool, text: str, options: dict[str, Any], llama: Any, tokenizer: Any
) -> None:
    """What is too long, tags alone, or unavailable is so in every run."""
    only_after = options.get("only_after")
    others = {key: value for key, value in options.items() if key != "only_after"}
    if options.get("backend") is BROKEN:
        others["backend"] = EngineBackend(BROKEN(Engine(llama), only_after))  # type: ignore[arg-type]
    prompt = PROMPT
    if only_after == PROMPT[:1]:
        prompt = PROMPT * 4  # read for itself, after its first token
    elif only_after:
        tokenizer.bos_token = tokenizer.convert_ids_to_tokens(1)
    scorer = scorer_of(llama, tokenizer, **{"statistics": ALL, **others})
    (record,) = scorer.score(prompt, [Response("t", text, extra={"reward": 0.5})])
    tokenizer.bos_token = None
    assert record.may_pass is may_pass
    assert not may_pass or record.undefined


def test_a_student_of_nans_may_pass(tokenizer: Any) -> None:
    model = student("llama")
    model.lm_head.weight.data.fill_(math.nan)
    (record,) = scorer_of(model, tokenizer).score(PROMPT, [Response("t", LONG)])
    assert record.may_pass


def test_a_fact_of_the_student_that_failed_may_pass(llama: Any, tokenizer: Any) -> None:
    for value, may_pass in ((None, True), (-0.5, False)):
        facts = {"max_length": None, "template_logprob": value}
        scorer = dataclasses.replace(scorer_of(llama, tokenizer), student=facts)
        (record,) = scorer.score(PROMPT, [Response("t", LONG)])
        assert record.may_pass is may_pass


# Several prompts read together.


def test_prompts_that_are_read_together_are_only_added_up(llama: Any, tokenizer: Any) -> None:
    engine = Engine(llama)
    scorer = scorer_of(llama, tokenizer, backend=EngineBackend(engine), statistics=ALL)
    prompts = ([5, 6, 7], [9, 8], [5, 6, 7, 8, 9, 10])
    texts = (LONG, "First step. Second step.", LONG[:40])
    ready = [
        scorer.prepare(prompt, [Response("t", text, extra={"reward": 0.5})])
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    alone = [scorer.score_prepared(one) for one in ready]
    calls = [scorer.calls(one) for one in ready]
    planned = sum(scorer.backend.to_read(one).tokens for one in calls)
    before = scorer.backend.tokens_read
    with scorer.backend.reading(calls):
        read, forwards = scorer.backend.tokens_read, engine.counts.forwards
        together = [scorer.score_prepared(one) for one in ready]
        assert engine.counts.forwards == forwards
    assert read - before == planned
    for own, others in zip(together, alone, strict=True):
        for record, other in zip(own, others, strict=True):
            for window, sums in other.sums.items():
                assert_near(np.array(record.sums[window]), np.array(sums))
            for name, value in other.statistics.items():
                assert record.statistics[name] == pytest.approx(value, abs=1e-4), name
    scorer.score_prepared(ready[0])
    assert engine.counts.forwards > forwards
