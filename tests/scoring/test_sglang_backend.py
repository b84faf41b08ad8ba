"""A student in an SGLang server has the same scores as in this process, or none with a reason."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from lnat_plugins import SglangServer, load_teacher_set, score
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import PromptRuns, TokenRun
from lnat_plugins.errors import StudentError
from lnat_plugins.files import bundled_student
from lnat_plugins.scoring.sglang_backend import SGLANG, SglangReader
from lnat_plugins.teacher_set import Response
from tests.harness.lab import rows, write_set
from tests.helpers_sglang import FakeSglang, serving
from tests.helpers_students import assert_near, student, tokenizer
from tests.scoring.builders import LONG, scorer_of

WINDOWS = ["0", "1", "4", "10%", "global", "4/8"]
PROMPT = np.array([5, 6, 7, 8, 9, 10])
EXACT = 1e-5
"""Nats on a step, float32."""


def run(*ids: int, unscored: int = 0) -> TokenRun:
    return TokenRun(np.array(ids), np.arange(len(ids)) >= unscored)


@pytest.fixture
def started() -> Iterator[Any]:
    """Makes a stand-in and the server that asks it."""
    with ExitStack() as stack:

        def start(**options: Any) -> tuple[FakeSglang, SglangServer]:
            fake = FakeSglang(student("llama"), **options)
            key = {"api_key": fake.key} if fake.key else {}
            return fake, SglangServer(stack.enter_context(serving(fake)), timeout=60, **key)

        yield start


def teacher_set(folder: Path, windows: list[str]) -> Any:
    return load_teacher_set(write_set(folder, rows(), block={"windows": windows}))


@pytest.mark.parametrize("page", [1, 4, 0])
def test_scores_are_those_of_this_process(page: int, tmp_path: Path, started: Any) -> None:
    own = teacher_set(tmp_path, WINDOWS)
    depth: Any = "full" if page == 1 else "none"
    known = score(student("llama"), tokenizer(), own, sensitivity=depth)
    fake, server = started(page=page)
    found = score(server, tokenizer(), own, sensitivity=depth)
    n_sums = 0
    for one, other in zip(found.scored.rows, known.scored.rows, strict=True):
        assert (one.record.path, one.record.tokens) == (SGLANG, other.record.tokens)
        assert one.record.undefined == other.record.undefined
        assert one.record.variants.keys() == other.record.variants.keys()
        assert bool(one.record.variants) == (depth == "full")
        assert {*WINDOWS} <= one.record.sums.keys() == other.record.sums.keys()
        for window, sums in one.record.sums.items():
            assert_near(sums, other.record.sums[window], EXACT)
            n_sums += len(sums)
    assert n_sums > 100
    assert found.scored.student == "a/student"
    assert any(fake.cached[3:]) == (page > 0)


def test_tokens_and_statistics_of_log_probabilities(tmp_path: Path, started: Any) -> None:
    own = teacher_set(tmp_path, ["1", "global"])
    options: dict[str, Any] = {"metrics": ["perplexity", "ifd"], "tokens": True}
    known = score(student("llama"), tokenizer(), own, **options)
    found = score(started()[1], tokenizer(), own, **options)
    for one, other in zip(found.scored.rows, known.scored.rows, strict=True):
        assert one.record.statistics.keys() == other.record.statistics.keys() >= {"unprompted"}
        for name, value in one.record.statistics.items():
            assert value == pytest.approx(other.record.statistics[name], abs=1e-4)
    for window in ("1", "global"):
        name = f"logprob[{window}]"
        assert_near(found.tokens()[name], known.tokens()[name], EXACT)


def test_what_needs_the_whole_distribution_is_refused(tmp_path: Path, started: Any) -> None:
    own = teacher_set(tmp_path, ["1", "global"])
    with pytest.raises(StudentError, match="'rsr' is not supported.*log-probabilities only"):
        score(started()[1], tokenizer(), own, metrics="rsr")


@pytest.mark.parametrize(("page", "cached"), [(1, [0, 5, 6]), (4, [0, 4, 4]), (0, [0, 0, 0])])
def test_a_prompt_is_read_once_but_for_the_token_before_the_first_score(
    page: int, cached: list[int], started: Any
) -> None:
    fake, server = started(page=page)
    reader = SglangReader(server)
    runs = [run(11, 12, 13), run(14, 15, 16), run(17, 18, unscored=1)]
    read: list[int] = []
    reader.on_read = lambda: read.append(reader.requests)
    found = reader.score_all([PromptRuns(PROMPT, runs)])[0]
    for one, other in zip(found, Engine(fake.model).score(PROMPT, runs), strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=EXACT, rtol=0)
    assert fake.cached[-3:] == cached and read == [3]
    assert (reader.requests, reader.counts.forwards) == (3, 1)
    assert (reader.counts.prompt_tokens, reader.counts.body_tokens) == (18 - sum(cached), 8)


@pytest.mark.parametrize("page", [1, 4, 0])
def test_as_much_is_read_as_was_planned(page: int, started: Any) -> None:
    backend = started(page=page)[1].backend()
    assert (backend.path, backend.tokens_read) == (SGLANG, 0)
    scorer = scorer_of(None, tokenizer(), backend=backend)
    # No two runs begin with the same tokens: the cache then holds nothing but the prompt.
    texts = ["First. Second, then. Third: 3 + 4.", "So it is. Seven, of course. Done."]
    prepared = scorer.prepare(PROMPT, [Response("t", text) for text in texts])
    planned = backend.to_read(scorer.calls(prepared))
    scorer.score_prepared(prepared)
    assert backend.tokens_read == planned.tokens > 0


def test_the_last_token_of_the_vocabulary_is_scored(started: Any) -> None:
    """SGLang writes 0 in its place."""
    fake, server = started()
    last = fake.model.config.vocab_size - 1
    runs = [run(11, last, 12)]
    (found,) = SglangReader(server).score_all([PromptRuns(PROMPT, runs)])[0]
    assert_near(found.logprobs, Engine(fake.model).score(PROMPT, runs)[0].logprobs, EXACT)


def test_a_token_that_the_student_does_not_have(started: Any) -> None:
    """The server itself takes it, and returns the number of its last token."""
    fake, server = started()
    reader = SglangReader(server)
    vocabulary = fake.model.config.vocab_size
    fake.padded = 8
    for token in (vocabulary, vocabulary + 5):
        with pytest.raises(StudentError, match=f"no such token \\(found {token}\\)"):
            reader.score_all([PromptRuns(PROMPT, [run(11, token, 12)])])
        with pytest.raises(StudentError, match=f"no such token \\(found {token}\\)"):
            reader.score_all([PromptRuns(np.array([5, token, 7]), [run(11, 12)])])


def test_older_names_and_a_key(started: Any) -> None:
    fake, server = started(older=True, key="secret")
    assert (server.name, server.context) == ("a/student", fake.longest - 2)
    with pytest.raises(StudentError, match="the server refused.*401 .*Unauthorized"):
        SglangServer(server.url)


def test_too_long_is_said_before_it_is_read(tmp_path: Path, started: Any) -> None:
    own = teacher_set(tmp_path, ["0", "global"])
    fake, server = started()
    score(server, tokenizer(), own)
    longest = max(map(len, fake.sent))
    for limit, undefined in [(longest + 1, False), (longest, True)]:
        fake, server = started(longest=limit)
        found = score(server, tokenizer(), own)
        cut = [row.record for row in found.scored.rows if "global" in row.record.undefined]
        assert bool(cut) == undefined
        assert all("reads at most" in record.undefined["global"] for record in cut)
        assert max(map(len, fake.sent)) < limit


def _entries(answers: Any) -> Any:
    answers = copy.deepcopy(answers)
    return answers, [one["meta_info"]["input_token_logprobs"] for one in answers]


def _nothing(answers: Any) -> Any:
    answers, _ = _entries(answers)
    for one in answers:
        del one["meta_info"]["input_token_logprobs"]
    return answers


def _cut(answers: Any) -> Any:
    answers, entries = _entries(answers)
    for own in entries:
        own.pop()
    return answers


def _other_token(answers: Any) -> Any:
    answers, entries = _entries(answers)
    for own in entries:
        own[-1][1] = 399
    return answers


def _null(answers: Any) -> Any:
    answers, entries = _entries(answers)
    for own in entries:
        own[-1][0] = None
    return answers


def _nan(answers: Any) -> Any:
    answers, entries = _entries(answers)
    for own in entries:
        own[-1][0] = math.nan
    return answers


NONE = "SGLang returned no log-probabilities of the tokens"


@pytest.mark.parametrize(
    ("garble", "failure"),
    [
        (_nothing, NONE),
        (_cut, NONE),
        (_other_token, NONE),
        (_null, NONE),
        (_nan, "the student gave a log-probability of NaN or infinity"),
    ],
)
def test_a_failure_is_no_number(garble: Any, failure: str, started: Any) -> None:
    fake, server = started()
    backend = server.backend()
    fake.garble = garble
    (record,) = scorer_of(None, tokenizer(), backend=backend).score(PROMPT, [Response("t", LONG)])
    assert all(math.isnan(total) for total in record.totals.values())
    assert all(reason.endswith(failure) for reason in record.undefined.values())
    assert {"4", "global"} <= record.undefined.keys()


def _next_place(answers: Any) -> Any:
    """As if an entry were of the token before it."""
    answers, entries = _entries(answers)
    for own in entries:
        values = [entry[0] for entry in own]
        for entry, value in zip(own[1:], [*values[2:], -1.0], strict=True):
            entry[0] = value
    return answers


def test_a_server_that_counts_otherwise_is_refused(started: Any) -> None:
    fake, server = started()
    fake.garble = lambda answers: (
        _next_place(answers) if len(answers[0]["meta_info"]["input_token_logprobs"]) < 16
        else answers
    )  # fmt: skip
    with pytest.raises(StudentError, match="the same tokens other log-probabilities"):
        server.backend()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model_info", {"model_path": "m", "is_generation": False}, "does not generate text"),
        ("model_info", ["m"], "is not one of /model_info"),
        ("server_info", {}, "does not say how much it reads at most"),
        ("server_info", b"<html>", "answer is not JSON.*<html>"),
    ],
)
def test_another_server(name: str, value: Any, message: str) -> None:
    fake = FakeSglang(None)
    fake.information[name] = value
    with serving(fake) as url, pytest.raises(StudentError, match=message):
        SglangServer(url)


def test_a_server_that_stops_is_one_line(started: Any) -> None:
    fake, server = started()
    backend = server.backend()
    fake.garble = lambda _: {"not": "a list"}
    with pytest.raises(StudentError, match="is not one of /generate"):
        backend.engine.score_all([PromptRuns(PROMPT, [run(11)])])
    fake.key = "changed"
    with pytest.raises(StudentError, match="the server refused.*401"):
        backend.engine.score_all([PromptRuns(PROMPT, [run(11)])])


def test_no_server() -> None:
    with serving(FakeSglang(None)) as url:
        pass
    with pytest.raises(StudentError, match="no server answers.*launch_server"):
        SglangServer(url)


def test_a_recorded_reply_of_the_real_server() -> None:
    """SGLang 0.5.23 on a CPU, the bundled student in float32; the second request met its cache."""
    recorded = json.loads((Path(__file__).parent / "recorded_sglang.json").read_text("utf-8"))
    sent, model = recorded["request"], AutoModelForCausalLM.from_pretrained(bundled_student())

    class Recorded(SglangServer):
        def __init__(self) -> None:
            self.url, self.page = "recorded", 1

        def generate(self, asked: Any) -> Any:
            if [one.ids for one in asked] == sent["input_ids"]:
                return recorded["reply"]
            return [fake._one(one.ids, one.first - 1) for one in asked]

    fake = FakeSglang(model)
    reads = [
        PromptRuns(np.array(ids[: start + 1]), [run(*ids[start + 1 :])])
        for ids, start in zip(sent["input_ids"], sent["logprob_start_len"], strict=True)
    ]
    reader = SglangReader(Recorded())
    for one, found in zip(reads, reader.score_all(reads), strict=True):
        (known,) = Engine(model).score(*one)
        np.testing.assert_allclose(found[0].logprobs, known.logprobs, atol=3e-5, rtol=0)
    cached = [answer["meta_info"]["cached_tokens"] for answer in recorded["reply"]]
    assert cached == [20, 0]
    assert reader.counts.prompt_tokens + reader.counts.body_tokens == 40 + 52 - 20
