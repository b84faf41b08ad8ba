"""A student in vLLM has the same scores as in this process, or none with a reason."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lnat_plugins import load_teacher_set, score
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import PromptRuns, TokenRun
from lnat_plugins.errors import StudentError
from lnat_plugins.scores import Scores
from lnat_plugins.scoring.vllm_backend import (
    PROMPT_LOGPROBS,
    TOKEN_IDS,
    ServedByVllm,
    VllmReader,
    vllm_backend,
)
from lnat_plugins.teacher_set import Response
from tests.harness.lab import rows, write_set
from tests.helpers_students import assert_near, student, tokenizer
from tests.helpers_vllm import FakeLLM, Kind, install
from tests.scoring.builders import LONG, scorer_of

KINDS: list[tuple[Kind, int, str]] = [
    ("token ids", 4, TOKEN_IDS),
    ("token ids", 0, TOKEN_IDS),
    ("older runner", 4, PROMPT_LOGPROBS),
    ("older", 4, PROMPT_LOGPROBS),
]
WINDOWS = ["0", "1", "4", "10%", "global", "4/8"]
PROMPT = np.array([5, 6, 7, 8, 9, 10])
EXACT = 1e-5
"""Nats on a step, float32."""


def run(*ids: int, unscored: int = 0) -> TokenRun:
    return TokenRun(np.array(ids), np.arange(len(ids)) >= unscored)


def by_vllm(
    monkeypatch: pytest.MonkeyPatch, kind: Kind = "token ids", name: str = "llama", **options: Any
) -> FakeLLM:
    install(monkeypatch, kind)
    return FakeLLM(student(name), tokenizer(), kind, **options)


def teacher_set(folder: Path, windows: list[str]) -> Any:
    return load_teacher_set(write_set(folder, rows(), block={"windows": windows}))


@pytest.mark.parametrize(("kind", "block", "path"), KINDS)
def test_scores_are_those_of_this_process(
    kind: Kind, block: int, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = teacher_set(tmp_path, WINDOWS)
    depth: Any = "full" if block == 0 else "none"
    known = score(student("llama"), tokenizer(), own, sensitivity=depth)
    found = score(by_vllm(monkeypatch, kind, block=block), None, own, sensitivity=depth)
    n_sums = 0
    for one, other in zip(found.scored.rows, known.scored.rows, strict=True):
        assert (one.record.path, one.record.tokens) == (path, other.record.tokens)
        assert one.record.undefined == other.record.undefined
        assert one.record.variants.keys() == other.record.variants.keys()
        assert bool(one.record.variants) == (depth == "full")
        assert {*WINDOWS} <= one.record.sums.keys() == other.record.sums.keys()
        for window, sums in one.record.sums.items():
            assert_near(sums, other.record.sums[window], EXACT)
            n_sums += len(sums)
    assert n_sums > 100
    assert found.scored.student == "a/student"


def test_the_ranking_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = teacher_set(tmp_path, ["1"])
    known = score(student("llama"), tokenizer(), own)
    found = score(by_vllm(monkeypatch), tokenizer(), own)

    def means(scores: Scores) -> list[float]:
        return [one.mean for one in scores.rank().teachers]

    assert_near(means(found), means(known), EXACT)


@pytest.mark.parametrize("kind", ["token ids", "older runner"])
def test_tokens_and_statistics_of_log_probabilities(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = teacher_set(tmp_path, ["1", "global"])
    options: dict[str, Any] = {"metrics": ["perplexity", "ifd"], "tokens": True}
    known = score(student("llama"), tokenizer(), own, **options)
    found = score(by_vllm(monkeypatch, kind), None, own, **options)
    for one, other in zip(found.scored.rows, known.scored.rows, strict=True):
        assert one.record.statistics.keys() == other.record.statistics.keys() >= {"unprompted"}
        for name, value in one.record.statistics.items():
            assert value == pytest.approx(other.record.statistics[name], abs=1e-4)
    for window in ("1", "global"):
        name = f"logprob[{window}]"
        assert_near(found.tokens()[name], known.tokens()[name], EXACT)


def test_what_needs_the_whole_distribution_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = teacher_set(tmp_path, ["1", "global"])
    with pytest.raises(StudentError, match="'rsr' is not supported.*log-probabilities only"):
        score(by_vllm(monkeypatch), None, own, metrics="rsr")
    found = score(by_vllm(monkeypatch), None, own, metrics="all").scored.rows[0].record
    assert found.undefined["entropy"] == "vLLM gives log-probabilities only"


def test_a_prompt_is_read_once_for_all_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = by_vllm(monkeypatch)
    reader = VllmReader(llm)
    asked = len(llm.sent)
    runs = [run(11, 12, 13), run(14, 15, 16, unscored=1), run(17)]
    read: list[int] = []
    reader.on_read = lambda: read.append(reader.requests)
    found = reader.score_all([PromptRuns(PROMPT, runs)])[0]
    known = Engine(llm.model).score(PROMPT, runs)
    for one, other in zip(found, known, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=EXACT, rtol=0)
    assert llm.cached[asked:] == [0, 4, 4] and read[-1] == 3
    assert (reader.requests, reader.counts.forwards) == (3, 1)
    assert (reader.counts.prompt_tokens, reader.counts.body_tokens) == (6 + 2 + 2, 7)


def test_each_prompt_of_a_call_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = by_vllm(monkeypatch)
    reader = VllmReader(llm)
    asked = len(llm.sent)
    reads = [PromptRuns(before, [run(11), run(12)]) for before in (PROMPT, PROMPT[::-1])]
    found = reader.score_all(reads)
    assert llm.cached[asked:] == [0, 4, 0, 4]
    assert reader.counts.forwards == 1
    for one, own in zip(reads, found, strict=True):
        for each, known in zip(own, Engine(llm.model).score(*one), strict=True):
            assert_near(each.logprobs, known.logprobs, EXACT)


def test_what_the_cache_holds_beyond_the_prompt_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llm = by_vllm(monkeypatch)
    reader = VllmReader(llm)
    asked = len(llm.sent)
    runs = [run(11, 12, 13, 14, 15), run(11, 12, 19), run(20, 21)]
    found = reader.score_all([PromptRuns(PROMPT, runs)])[0]
    for one, other in zip(found, Engine(llm.model).score(PROMPT, runs), strict=True):
        assert_near(one.logprobs, other.logprobs, EXACT)
    # The second shares a block that ends behind its first token.
    assert llm.cached[asked:] == [0, 8, 4, 0]
    assert reader.requests == 4
    assert (reader.counts.prompt_tokens, reader.counts.body_tokens) == (
        6 + 0 + 2 + 6,
        5 + 1 + 2 + 3,
    )


def test_a_prompt_that_ends_with_a_block_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first score is of the last output of the prompt, which the cache does not hold."""
    llm = by_vllm(monkeypatch)
    reader = VllmReader(llm)
    asked = len(llm.sent)
    runs = [run(11, 12), run(13, 14), run(15, 16, unscored=1)]
    reader.score_all([PromptRuns(PROMPT[:4], runs)])
    assert llm.cached[asked:] == [0, 0, 4]
    assert reader.requests == 3


@pytest.mark.parametrize(("kind", "block", "path"), KINDS)
def test_as_much_is_read_as_was_planned(
    kind: Kind, block: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = by_vllm(monkeypatch, kind, block=block)
    backend = vllm_backend(llm)
    assert (backend.path, backend.tokens_read) == (path, 0)
    scorer = scorer_of(None, tokenizer(), backend=backend)
    # No two runs begin with the same tokens: the cache then holds nothing but the prompt.
    texts = ["First. Second, then. Third: 3 + 4.", "So it is. Seven, of course. Done."]
    prepared = scorer.prepare(PROMPT, [Response("t", text) for text in texts])
    planned = backend.to_read(scorer.calls(prepared))
    scorer.score_prepared(prepared)
    assert backend.tokens_read == planned.tokens > 0


def _nothing(output: Any) -> Any:
    output.prompt_logprobs = output.prompt_token_id_logprobs = None
    return output


def _cut(output: Any) -> Any:
    for name in ("prompt_logprobs", "prompt_token_id_logprobs"):
        if getattr(output, name) is not None:
            setattr(output, name, getattr(output, name)[:-1])
    return output


def _other_token(output: Any) -> Any:
    if output.prompt_logprobs is not None:
        output.prompt_logprobs[-1] = {0: SimpleNamespace(logprob=-1.0)}
    return output


def _infinite(output: Any) -> Any:
    if output.prompt_logprobs is not None:
        output.prompt_logprobs[-1] = {
            token: SimpleNamespace(logprob=-math.inf) for token in output.prompt_logprobs[-1]
        }
    if output.prompt_token_id_logprobs is not None:
        output.prompt_token_id_logprobs[-1] = math.nan
    return output


@pytest.mark.parametrize(
    ("kind", "garble", "failure"),
    [
        ("token ids", _nothing, "vLLM returned no log-probabilities of the tokens"),
        ("token ids", _cut, "vLLM returned no log-probabilities of the tokens"),
        ("token ids", _infinite, "the student gave a log-probability of NaN or infinity"),
        ("older runner", _nothing, "vLLM returned no log-probabilities of the tokens"),
        ("older runner", _cut, "vLLM returned no log-probabilities of the tokens"),
        ("older runner", _other_token, "vLLM returned no log-probabilities of the tokens"),
        ("older runner", _infinite, "the student gave a log-probability of NaN or infinity"),
    ],
)
def test_a_failure_is_no_number(
    kind: Kind, garble: Any, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = by_vllm(monkeypatch, kind)
    backend = vllm_backend(llm)
    llm.garble = garble
    scorer = scorer_of(None, tokenizer(), backend=backend)
    (record,) = scorer.score(PROMPT, [Response("t", LONG)])
    assert all(math.isnan(total) for total in record.totals.values())
    assert all(reason.endswith(failure) for reason in record.undefined.values())
    assert {"4", "global"} <= record.undefined.keys()


@pytest.mark.parametrize("shift", [0.1, math.nan])
def test_token_ids_are_left_alone_where_their_numbers_differ(
    shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = by_vllm(monkeypatch)

    def shifted(output: Any) -> Any:
        if output.prompt_token_id_logprobs is not None:
            output.prompt_token_id_logprobs += shift
        return output

    llm.garble = shifted
    assert vllm_backend(llm).path == PROMPT_LOGPROBS


def test_too_long_is_said_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = teacher_set(tmp_path, ["0", "global"])
    llm = by_vllm(monkeypatch)
    score(llm, None, own)
    longest = max(map(len, llm.sent))
    for limit, undefined in [(longest + 1, 0), (longest, 1)]:
        llm = by_vllm(monkeypatch, max_model_len=limit)
        assert ServedByVllm(llm).context == limit - 2
        found = score(llm, None, own)
        cut = [row.record for row in found.scored.rows if "global" in row.record.undefined]
        assert bool(cut) == bool(undefined)
        assert all("reads at most" in record.undefined["global"] for record in cut)
        assert max(map(len, llm.sent)) < limit


def test_vllm_that_stops_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = by_vllm(monkeypatch)

    def stops(*_: Any, **__: Any) -> Any:
        raise RuntimeError("EngineCore encountered an issue")

    backend = vllm_backend(llm)
    monkeypatch.setattr(llm, "generate", stops)
    with pytest.raises(StudentError, match="vLLM failed while it read.*EngineCore encountered"):
        backend.engine.score_all([PromptRuns(PROMPT, [run(11)])])


def test_logits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = by_vllm(monkeypatch, logprobs_mode="raw_logits")
    with pytest.raises(StudentError, match="logits, not log-probabilities.*'raw_logits'"):
        vllm_backend(llm)


def test_a_token_that_the_student_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = VllmReader(by_vllm(monkeypatch))
    with pytest.raises(StudentError, match="token 400, and the student's embedding has 400"):
        reader.score_all([PromptRuns(PROMPT, [run(400)])])


def test_an_adapter_is_sent_along(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = by_vllm(monkeypatch)
    vllm_backend(llm, "adapter")
    assert llm.lora == "adapter"


def test_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = by_vllm(monkeypatch)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(StudentError, match=r"vLLM is not installed\. Install it: pip install vllm"):
        vllm_backend(llm)
