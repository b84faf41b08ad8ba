"""The engine: the definition on many architectures, the choice of the pass, memory, failures."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins.engine import attention
from lnat_plugins.engine.attention import SharedCache, formula
from lnat_plugins.engine.engine import SMALLEST_BUDGET, Engine, bytes_per_token, default_budget
from lnat_plugins.engine.types import ACTIVATIONS, RunScores, TokenRun
from lnat_plugins.errors import ConfigError, StudentError
from lnat_plugins.scoring.backend import Job, PromptCalls
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.tokens import EncodedResponse
from lnat_plugins.steps.windows import parse_windows
from tests.engine.oracle import step_sums
from tests.engine.students import ARCHITECTURES, PROMPT, Scarce, run, student

WINDOWS = parse_windows(["0", "1", "4", "10%", "global"])
PATHS = pytest.mark.parametrize("path", ["packed", "batched"])

# The numbers, against the definition.


def random_steps(n_steps: int, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(3, 97) for _ in range(rng.randint(1, 7))] for _ in range(n_steps)]


def encoded(steps: list[list[int]]) -> EncodedResponse:
    bounds = np.cumsum([0, *map(len, steps)])
    spans = tuple((i, i + 1) for i in range(len(steps)))
    ids = np.concatenate(steps).astype(np.int64)
    return EncodedResponse(
        ids, tuple(bounds.tolist()), spans, np.ones(len(ids), bool), np.arange(len(ids)) + 1
    )


def by_engine(engine: Engine, prompt: list[int], responses: list[list[list[int]]]) -> list[Any]:
    """For each response, window -> step sums."""
    jobs = [
        Job(encoded(steps), frozenset(p for w in WINDOWS for p in w.pairs(len(steps))), False)
        for steps in responses
    ]
    answers = EngineBackend(engine).sums(np.array(prompt), jobs)
    return [
        {w.name: [answer.pairs[p].value for p in w.pairs(len(steps))] for w in WINDOWS}
        for steps, answer in zip(responses, answers, strict=True)
    ]


def assert_equals_oracle(engine: Engine, model: Any, prompt: list[int], *responses: Any) -> None:
    for steps, got in zip(responses, by_engine(engine, prompt, list(responses)), strict=True):
        for window in WINDOWS:
            expected = step_sums(model, prompt, steps, window.name)
            np.testing.assert_allclose(got[window.name], expected, atol=1e-4, rtol=0)


LONGER = np.arange(3, 43)
LONGER_PROMPT = random_steps(2, seed=9)[0] + [5, 6, 7]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_agrees_with_the_definition(name: str) -> None:
    model = student(name)
    engine = Engine(model)
    assert_equals_oracle(engine, model, LONGER_PROMPT, random_steps(12), random_steps(3, seed=1))
    assert engine.path == ARCHITECTURES[name][2], engine.reason


@pytest.mark.parametrize("name", ["qwen2", "granite"])
@PATHS
@pytest.mark.parametrize("budget", [1, 7, 33, 4096])
def test_the_budget_changes_no_number(name: str, path: str, budget: int) -> None:
    model = student(name)
    engine = Engine(model, token_budget=budget, path=path)
    assert_equals_oracle(engine, model, LONGER_PROMPT, random_steps(9))


def test_the_order_of_responses_and_prompts_changes_no_number() -> None:
    engine = Engine(student("qwen2"), token_budget=40)
    one, two = random_steps(6, seed=1), random_steps(8, seed=2)
    first, second = by_engine(engine, LONGER_PROMPT, [one, two])
    by_engine(engine, [3, 4], [two])
    again_second, again_first = by_engine(engine, LONGER_PROMPT, [two, one])
    for window in WINDOWS:
        np.testing.assert_allclose(first[window.name], again_first[window.name], atol=1e-4)
        np.testing.assert_allclose(second[window.name], again_second[window.name], atol=1e-4)


@pytest.mark.parametrize("attention_name", ["eager", "sdpa"])
def test_both_attentions_that_take_a_mask_are_packed(attention_name: str) -> None:
    model = student("llama", attention_name)
    engine = Engine(model)
    assert_equals_oracle(engine, model, LONGER_PROMPT, random_steps(7))
    assert engine.path == "packed"


def test_windows_of_a_long_response_differ() -> None:
    """Else the comparisons above could not see a window ignored."""
    (got,) = by_engine(Engine(student("qwen2")), LONGER_PROMPT, [random_steps(12)])
    for a, b in [("0", "1"), ("1", "4"), ("4", "global")]:
        assert max(abs(x - y) for x, y in zip(got[a], got[b], strict=True)) > 0.05


def test_a_one_token_prompt_and_one_token_steps() -> None:
    model = student("qwen2")
    assert_equals_oracle(Engine(model), model, [5], [[7]], [[8], [9]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_packs_and_stays_near(dtype: torch.dtype) -> None:
    exact, half = student("llama"), student("llama").to(dtype)
    engine = Engine(half)
    (near,) = by_engine(engine, LONGER_PROMPT, [random_steps(12)])
    (right,) = by_engine(Engine(exact), LONGER_PROMPT, [random_steps(12)])
    assert engine.path == "packed", engine.reason
    for window in WINDOWS:
        np.testing.assert_allclose(near[window.name], right[window.name], atol=0.5)


def test_unscored_tokens_are_nan() -> None:
    (score,) = Engine(student("qwen2")).score(PROMPT, [run(6, slice(2, 4))])
    assert np.isnan(score.logprobs).tolist() == [True, True, False, False, True, True]
    assert score.failure == ""


def test_no_runs_no_scores() -> None:
    assert Engine(student("qwen2")).score(PROMPT, []) == []


def test_nan_from_the_student_is_a_failure_with_a_reason() -> None:
    model = student("qwen2")
    engine = Engine(model, path="batched")
    with torch.no_grad():
        model.lm_head.weight[:] = float("nan")
    (score,) = engine.score(PROMPT, [run(5)])
    assert "NaN" in score.failure
    assert np.isnan(score.logprobs).all()


def test_another_error_of_the_model_is_raised() -> None:
    model = student("qwen2")
    engine = Engine(model)
    engine.score(PROMPT, [run(5)])

    def fail(*_: Any) -> None:
        raise RuntimeError("broken layer")

    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken layer"):
        engine.score(PROMPT, [run(6)])


def test_the_model_is_left_as_it_was() -> None:
    model = student("qwen2")
    model.train()
    model.model.layers[0].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    Engine(model).score(PROMPT, [run(5)])
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.lm_head._forward_pre_hooks


# The choice of the pass, and its trial.


@pytest.fixture
def warnings_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="lnat_plugins")
    return caplog


def test_a_wrong_attention_is_found_and_the_plain_pass_taken(
    monkeypatch: pytest.MonkeyPatch, warnings_logged: pytest.LogCaptureFixture
) -> None:
    """Runs that see their own later tokens: 0.05 nats and more."""

    def unmasked(query: Any, key: Any, value: Any, *, causal: bool, scale: Any) -> Any:
        return formula(query, key, value, causal=False, scale=scale)

    monkeypatch.setattr(attention, "attention_with_lse", unmasked)
    engine = Engine(student("llama"))
    engine.score(PROMPT, [run(40)])
    assert engine.path == "batched"
    assert "off by" in engine.reason
    assert [engine.reason in text for text in warnings_logged.messages] == [True]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such mask"),
        # What a deprecated keyword raises where warnings are errors.
        FutureWarning("`past_key_values` is deprecated"),
    ],
)
def test_a_trial_that_raises_is_shown_and_the_plain_pass_taken(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    warnings_logged: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(SharedCache, "update", fail)
    engine = Engine(student("qwen2"))
    for _ in range(2):
        (found,) = engine.score(PROMPT, [run(40)])
        assert found.failure == ""
    assert engine.path == "batched"
    assert f"{type(error).__name__}: {error}" in engine.reason
    (message,) = warnings_logged.messages  # once, although two prompts were scored
    assert message == f"Runs are read by the slower batched pass: {engine.reason}"


def test_a_good_trial_warns_of_nothing(warnings_logged: pytest.LogCaptureFixture) -> None:
    engine = Engine(student("qwen2"))
    engine.score(PROMPT, [run(40)])
    assert (engine.path, engine.reason, warnings_logged.messages) == ("packed", "", [])


def test_a_trial_reads_a_piece_of_what_is_long() -> None:
    def trial(n_prompt: int, n_run: int) -> int:
        """Tokens of the first score that the second, without a trial, does not read."""
        model, read = student("qwen2"), [0]

        def count(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
            read[-1] += kwargs["input_ids"].numel()

        model.register_forward_pre_hook(count, with_kwargs=True)
        engine = Engine(model)
        for _ in range(2):
            engine.score(run(n_prompt).ids, [run(n_run)])
            read.append(0)
        return read[0] - read[1]

    whole = trial(256, 96)
    assert whole == trial(900, 96) == trial(256, 400) > trial(200, 96)
    assert whole > trial(256, 60)


def test_packed_by_name_is_refused_where_it_is_not_supported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="cannot take the packed pass.*sliding"):
        Engine(student("mistral_sliding"), path="packed")
    with pytest.raises(ConfigError, match="unknown engine path.*auto, packed, batched"):
        Engine(student("qwen2"), path="fast")
    monkeypatch.setattr(SharedCache, "update", None)
    with pytest.raises(ConfigError, match="cannot take the packed pass.*TypeError"):
        Engine(student("qwen2"), path="packed").score(PROMPT, [run(5)])


def test_a_batched_pass_by_name_gives_its_reason() -> None:
    engine = Engine(student("qwen2"), path="batched")
    assert (engine.path, engine.reason) == ("batched", "requested")


# Memory.


def assert_same(found: list[RunScores], expected: list[RunScores]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.failure == ""
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


def test_a_trial_out_of_memory_is_repeated_smaller_with_a_smaller_budget(
    warnings_logged: pytest.LogCaptureFixture,
) -> None:
    runs = [run(150), *(run(16, seed=k) for k in range(1, 13))]
    expected = Engine(student("qwen2")).score(PROMPT, runs)
    model = student("qwen2")
    engine = Engine(model, token_budget=4096)
    scarce = Scarce(model, tokens=100)
    assert_same(engine.score(PROMPT, runs), expected)
    assert (engine.path, engine.reason, warnings_logged.messages) == ("packed", "", [])
    # The trial with 192 tokens a row, and the first pass with a budget of 192; 96 fit.
    assert scarce.refused == 2


def test_a_trial_that_never_fits_gives_up(warnings_logged: pytest.LogCaptureFixture) -> None:
    model = student("qwen2")
    engine = Engine(model)
    Scarce(model, tokens=1)
    (found,) = engine.score(PROMPT, [run(40)])
    assert engine.path == "batched"
    assert "OutOfMemoryError" in engine.reason
    assert len(warnings_logged.messages) == 1
    assert found.failure == "the pass ran out of memory"


@PATHS
def test_a_pass_that_does_not_fit_is_split(path: str) -> None:
    runs = [run(20 + k, seed=k) for k in range(12)]
    expected = Engine(student("qwen2"), path=path).score(PROMPT, runs)
    model = student("qwen2")
    engine = Engine(model, path=path, token_budget=500)
    engine.score(PROMPT, [run(5)])
    scarce = Scarce(model, tokens=90)
    assert_same(engine.score(PROMPT, runs), expected)
    assert scarce.refused > 0


@pytest.mark.parametrize("budget", [33, 60])
def test_memory_that_is_short_once_within_a_pass_changes_no_number(budget: int) -> None:
    """The layers before it have put their keys and values into a cache that is held by then."""
    runs = [run(50, seed=1), run(7, seed=2), run(45, seed=3)]
    expected = Engine(student("qwen2"), path="packed").score(LONGER, runs)
    model = student("qwen2")
    left = 0  # calls until one fails

    def check(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.model.layers[1].self_attn.register_forward_hook(check)
    for at in range(1, 99):
        engine = Engine(model, path="packed", token_budget=budget)
        left = at
        assert_same(engine.score(LONGER, runs), expected)
        assert engine.path == "packed"
        if left > 0:
            break
    assert 5 < at < 98


@PATHS
def test_two_runs_out_of_memory_together_are_retried_alone(path: str) -> None:
    """At the smallest budget, which cannot be halved."""
    runs = [run(11, seed=1), run(11, seed=2)]
    expected = Engine(student("qwen2"), path=path).score(PROMPT, runs)
    model = student("qwen2")
    engine = Engine(model, path=path, token_budget=SMALLEST_BUDGET)
    engine.score(PROMPT, [run(5)])
    scarce = Scarce(model, tokens=15)
    assert_same(engine.score(PROMPT, runs), expected)
    assert scarce.refused == 1


@PATHS
def test_a_run_that_never_fits_has_no_number(path: str) -> None:
    model = student("qwen2")
    engine = Engine(model, path=path, token_budget=256)
    engine.score(PROMPT, [run(5)])
    Scarce(model, tokens=20)
    long, short = engine.score(PROMPT, [run(200), run(5)])
    assert "out of memory" in long.failure
    assert np.isnan(long.logprobs).all()
    assert short.failure == "" and np.isfinite(short.logprobs).all()


@PATHS
def test_a_run_that_never_fits_leaves_the_budget_to_the_others(path: str) -> None:
    """Its context is too long, whatever is read at once."""
    runs = [run(21, seed=k) for k in range(12)]
    passes = []
    for giant in ([], [run(200)]):
        model = student("qwen2")
        engine = Engine(model, path=path, token_budget=256)
        engine.score(PROMPT, [run(5)])
        scarce = Scarce(model, context=100)
        found = engine.score(PROMPT, [*giant, *runs])
        assert [bool(one.failure) for one in found] == [bool(giant)] * len(giant) + [False] * 12
        engine.score(PROMPT[:2], [run(5)])
        before = engine.counts.forwards
        engine.score(PROMPT, runs)
        passes.append(engine.counts.forwards - before)
    assert passes[0] == passes[1] <= 2
    # Only the packed pass can cut a run, so only there a smaller budget is worth a try.
    assert scarce.refused == {"packed": 4, "batched": 1}[path]


def test_the_budget_goes_back_to_the_last_that_fitted() -> None:
    model = student("qwen2")
    engine = Engine(model, token_budget=190, path="packed")
    engine.score(PROMPT, [run(5)])
    scarce = Scarce(model, tokens=100, context=100)
    # Those that want activations are read first.
    first = [run(10, seed=k, wanted=frozenset({ACTIVATIONS})) for k in range(19)]
    *_, giant = engine.score(PROMPT, [*first, run(150)])
    assert "out of memory" in giant.failure
    refused = scarce.refused
    engine.score(PROMPT, [run(11, seed=k) for k in range(19)])
    assert scarce.refused == refused > 1


def test_one_shortage_does_not_shrink_every_pass_after_it() -> None:
    model = student("qwen2")
    engine = Engine(model, token_budget=190)
    engine.score(PROMPT, [run(5)])
    Scarce(model, tokens=100)
    scores = engine.score(PROMPT, [run(10, seed=k) for k in range(60)])
    assert all(not score.failure for score in scores)
    assert engine.counts.forwards < 15  # one halving to 95 tokens, and 7 rows of 10 runs


def test_a_cpu_is_busy_with_a_few_hundred_tokens() -> None:
    assert default_budget(torch.device("cpu"), student("qwen2")) == 512


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (80 * 2**30, 16384),
        (2 * 1000 * (8 * 32 + 3 * 64) * 4, 1000),
        (1000, SMALLEST_BUDGET),
    ],
)
def test_a_gpu_reads_what_half_of_its_free_memory_holds(
    free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[Any] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda d: (devices.append(d), (free, 0))[1])
    assert default_budget(torch.device("cuda"), student("qwen2")) == expected
    assert devices == [torch.device("cuda")]


def test_half_precision_takes_half() -> None:
    full, half = student("qwen2"), student("qwen2").half()
    assert bytes_per_token(full) == 2 * bytes_per_token(half)


def test_a_student_without_an_inner_size_has_four_times_its_width() -> None:
    assert bytes_per_token(student("gpt2")) == (8 * 32 + 3 * 128) * 4


# What cannot be read at all.


def of_ids(ids: list[int]) -> TokenRun:
    return TokenRun(np.array(ids), np.ones(len(ids), bool))


@PATHS
def test_a_token_that_the_embedding_lacks_is_refused_before_anything_is_read(path: str) -> None:
    model = student("llama")
    engine = Engine(model, path=path)
    size = model.get_input_embeddings().num_embeddings
    assert engine.vocabulary == size
    message = f"^the tokenizer gives token {size}, and the student's embedding has {size}. Give the"
    for prompt, body in (([1, size], [2]), ([1], [2, size])):
        with pytest.raises(StudentError, match=message):
            engine.score(np.array(prompt), [of_ids(body)])
        job = Job(encoded([body]), frozenset(WINDOWS[0].pairs(1)), whole=False)
        with pytest.raises(StudentError, match=message):
            EngineBackend(engine).to_read(PromptCalls(np.array(prompt), [[job]]))
    assert engine.counts.forwards == 0
    (found,) = engine.score(np.array([1]), [of_ids([2, size - 1])])
    assert not found.failure


def test_an_embedding_padded_beyond_the_tokenizer_is_read_as_any_other() -> None:
    model = student("llama")
    before = Engine(model).score(np.array([1, 5]), [of_ids([2, 7])])[0].logprobs
    model.resize_token_embeddings(model.get_input_embeddings().num_embeddings + 64)
    with torch.no_grad():
        model.get_output_embeddings().weight[-64:] = 0
    assert np.isfinite(Engine(model).score(np.array([1, 5]), [of_ids([2, 7])])[0].logprobs).all()
    assert len(before) == 2


def test_no_memory_for_the_first_forward_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = student("llama")

    def forward(*arguments: Any, **more: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(StudentError) as caught:
        Engine(model)
    assert str(caught.value) == (
        "the student ran out of memory on its first two tokens (found 'cpu'). Free memory on the "
        "device, or load the student with a smaller dtype or on another device."
    )


@pytest.mark.parametrize("first", range(2, 12))
def test_out_of_memory_from_the_nth_forward_on_is_a_failure_of_runs(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = student("llama"), 0
    whole = model.forward

    def forward(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= first:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(*arguments, **more)

    monkeypatch.setattr(model, "forward", forward)
    engine = Engine(model, token_budget=64)
    found = engine.score(np.array([1, 5]), [of_ids([2, 7, 9]), of_ids([3, 8])])
    assert [bool(one.failure) == bool(np.isnan(one.logprobs).all()) for one in found] == [True] * 2
