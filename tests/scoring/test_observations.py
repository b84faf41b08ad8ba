"""What a window shows of the turns of users and tools, against conversations of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lnat_plugins import score
from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Response
from tests.engine.oracle import preceding
from tests.harness.lab import evaluate, hf, records
from tests.harness.test_requests import OwnCall
from tests.helpers_students import assert_near, student
from tests.scoring.test_whole_conversations import (
    MARKED,
    PLAIN,
    TOOLS,
    WINDOWS,
    WITH_TOOLS,
    by_definition,
    conversations,
    marked,
    masked,
    teacher_set,
)

Turns = Sequence[Mapping[str, Any]]

EMPTY = {"role": "assistant", "content": ""}


def shown(turns: Turns, window: str, step: int, observations: str) -> list[Mapping[str, Any]]:
    """The conversation behind which the turn of that step is read, and that turn."""
    own = [i for i, turn in enumerate(turns) if turn["role"] == "assistant" and turn["content"]]
    first, begin, last = own[0], own[step - preceding(window, step)], own[step]
    if observations == "all":
        between = [EMPTY if i in own else turn for i, turn in enumerate(turns)][first:begin]
    else:
        between = []
    inside = list(turns[begin : last + 1])
    if observations == "none":
        inside = [t if t["role"] == "assistant" else {**t, "content": ""} for t in inside]
    return [*turns[:first], *between, *inside]


@torch.no_grad()
def by_rendering(model: Any, tok: Any, turns: Turns, window: str, observations: str) -> list[float]:
    """Each turn in a conversation that holds nothing but what its window shows."""
    sums = []
    n_steps = sum(turn["role"] == "assistant" and bool(turn["content"]) for turn in turns)
    for step in range(n_steps):
        ids, mask = masked(tok, shown(turns, window, step, observations))
        marks = np.flatnonzero(mask)
        gaps = np.flatnonzero(np.diff(marks) > 1)
        begin = marks[gaps[-1] + 1] if len(gaps) else marks[0]
        own = [int(i) for i in marks if i >= begin and ids[i] != tok.eos_token_id]
        logprobs = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        sums.append(sum(float(logprobs[i - 1, ids[i]]) for i in own))
    return sums


@pytest.mark.parametrize("observations", ["window", "all", "none"])
@pytest.mark.parametrize("name", ["llama", "qwen3", "phi3", "gpt_neox", "mistral_sliding"])
def test_a_turn_is_read_behind_the_conversation_of_its_window(
    name: str, observations: str, tmp_path: Path
) -> None:
    model, tok = student(name), marked()
    own = teacher_set(tmp_path, conversations(WITH_TOOLS, PLAIN), observations=observations)
    found = score(model, tok, own, sensitivity="none")
    for row, turns in zip(found.scored.rows, (WITH_TOOLS, PLAIN), strict=True):
        for window in WINDOWS:
            known = by_rendering(model, tok, turns, window, observations)
            assert_near(row.record.sums[window], known)


@pytest.mark.parametrize("observations", ["all", "none"])
@pytest.mark.parametrize("name", ["llama", "qwen3", "phi3", "gpt_neox", "mistral_sliding"])
def test_sentences_of_turns(name: str, observations: str, tmp_path: Path) -> None:
    model, tok = student(name), marked()
    rows = conversations(WITH_TOOLS, PLAIN)
    own = teacher_set(tmp_path, rows, observations=observations, steps="sentence")
    found = score(model, tok, own, sensitivity="none")
    for row, turns in zip(found.scored.rows, (WITH_TOOLS, PLAIN), strict=True):
        for window in WINDOWS:
            known = by_definition(model, tok, turns, "sentence", window, observations=observations)
            assert_near(row.record.sums[window], known)


@pytest.mark.parametrize("observations", ["all", "none"])
def test_lm_eval_has_the_same_numbers(observations: str, tmp_path: Path) -> None:
    rows = conversations(WITH_TOOLS, PLAIN, tools=TOOLS)
    own = teacher_set(tmp_path, rows, observations=observations)
    known = score(student("llama"), marked(), own)
    found = records(evaluate(tmp_path, hf(student("llama"), marked()), apply_chat_template=True))
    for row in known.scored.rows:
        other = found["p", row.candidate.teacher, 0]
        assert other["settings"]["observations"] == observations
        for window in WINDOWS:
            assert_near(other["sums"][window], row.record.sums[window], 1e-5)


def test_requests_of_another_back_end(tmp_path: Path) -> None:
    """lm-eval's own requests hold what a window shows of the turns before it, too."""
    own = conversations(WITH_TOOLS, PLAIN)
    teacher_set(tmp_path, own, observations="all", windows=["0", "1"])
    plain = hf(student("llama"), marked(), OwnCall)
    found = records(evaluate(tmp_path, plain, apply_chat_template=True))
    for row, turns in (("t0", WITH_TOOLS), ("t1", PLAIN)):
        assert found["p", row, 0]["path"] == "loglikelihood"
        for window in ("0", "1"):
            known = by_rendering(student("llama"), marked(), turns, window, "all")
            assert_near(found["p", row, 0]["sums"][window], known, 1e-4)


def test_the_whole_context_is_one_for_window_and_all(tmp_path: Path) -> None:
    model, tok = student("llama"), marked()
    rows = conversations(WITH_TOOLS, PLAIN)
    sums = {}
    for observations in ("window", "all", "none"):
        own = teacher_set(tmp_path, rows, observations=observations, windows=["1", "global"])
        sums[observations] = score(model, tok, own).scored.rows[0].record.sums
    assert sums["window"]["global"] == sums["all"]["global"]
    assert sums["window"]["global"] != sums["none"]["global"]
    assert sums["window"]["1"] != sums["all"]["1"]


def test_a_template_that_drops_an_empty_turn_is_refused_for_none() -> None:
    tok = marked()
    tok.chat_template = MARKED.replace(
        "{% generation %}{{ m['content'] }}",
        "{% generation %}{{ '' if loop.previtem.content else '(nothing) ' }}{{ m['content'] }}",
    )
    renderer = Renderer(tok, plain=False, observations="none")
    response = renderer.own(Response("t", "", turns=tuple(PLAIN)))
    with pytest.raises(
        DataError, match="otherwise where those of tools and users are empty.*Leave"
    ):
        renderer.response((), response)


def test_the_key_needs_conversations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only responses of several turns have this.*observ"):
        teacher_set(tmp_path, conversations(PLAIN), turns="last", observations="none")


def test_results_name_what_windows_show(tmp_path: Path) -> None:
    model, tok = student("llama"), marked()
    own = teacher_set(tmp_path, conversations(WITH_TOOLS, PLAIN), observations="none")
    scores = score(model, tok, own)
    assert scores.scored.steps == "turn (turn@1), markers: skip, observations: none"


def test_a_window_that_shows_all_is_longer_than_the_context(tmp_path: Path) -> None:
    """What lies before a window counts for the context, too."""
    tok = marked()
    ids, _ = masked(tok, shown(WITH_TOOLS, "0", 2, "all"))
    whole, _ = masked(tok, WITH_TOOLS[:-1])
    model = student("llama", max_position_embeddings=len(ids) - 4)
    assert len(whole) > len(ids)
    rows = conversations(WITH_TOOLS, PLAIN)
    own = teacher_set(tmp_path, rows, observations="all", windows=["0"])
    record = score(model, tok, own).scored.rows[0].record
    assert "the student reads at most" in record.undefined["0"]
    sums = record.sums["0"]
    assert sums is not None
    assert np.isfinite(sums).tolist() == [True, True, False]


def test_what_a_tool_says_after_a_step_is_not_read_with_it(tmp_path: Path) -> None:
    """Nor does it count for the context: a long output makes later steps undefined alone."""
    tok = marked()
    turns = [*WITH_TOOLS[:4], *PLAIN[2:]]
    turns[2] = {**turns[2], "content": "7 " * 400}
    model = student("llama", max_position_embeddings=300)
    own = teacher_set(tmp_path, conversations(turns, PLAIN), windows=["0", "1"])
    record = score(model, tok, own, sensitivity="none").scored.rows[0].record
    assert np.isfinite(record.sums["0"] or ()).tolist() == [True, True, True]
    assert np.isfinite(record.sums["1"] or ()).tolist() == [True, False, True]
    assert "step 2" in record.undefined["1"]


def test_tokens_read_of_a_window(tmp_path: Path) -> None:
    model, tok = student("llama"), marked()
    own = teacher_set(tmp_path, conversations(WITH_TOOLS, WITH_TOOLS), windows=["0"])
    engine = Engine(model)
    row = Renderer(tok, plain=False)
    responses = [row.own(one) for one in own.prompts[0].responses]
    scorer = Scorer(tok, EngineBackend(engine), parse_steps("turn"), parse_windows(["0"]), {})
    prepared = scorer.prepare_rows([row.response((), one) for one in responses], responses)
    prepared.score(scorer.score_prepared)
    parts = [by_rendering_tokens(tok, step) for step in range(3)]
    # Of each turn all tokens but the last are read, behind the prompt.
    assert engine.counts.body_tokens == sum(parts) - 3


def by_rendering_tokens(tok: Any, step: int) -> int:
    """How many tokens a turn has, behind the prompt alone."""
    ids, mask = masked(tok, shown(WITH_TOOLS, "0", step, "window"))
    return sum(ids[i] != tok.eos_token_id for i in np.flatnonzero(mask))


def test_a_prefix_does_not_read_what_a_tool_says_behind_it(tmp_path: Path) -> None:
    turns = [*WITH_TOOLS[:4], *PLAIN[2:]]
    turns[2] = {**turns[2], "content": "7 " * 400}
    model, tok = student("llama", max_position_embeddings=300), marked()
    own = teacher_set(
        tmp_path, conversations(turns, PLAIN), windows=["0", "global"], prefix="1 steps"
    )
    record = score(model, tok, own, sensitivity="none").scored.rows[0].record
    assert record.undefined == {}
    assert_near(record.sums["global"], record.sums["0"])


def test_a_budget_does_not_know_what_all_reads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="budget does not know what `observations: all`"):
        teacher_set(
            tmp_path, conversations(PLAIN, PLAIN), observations="all", windows=["1"], budget={}
        )
