"""Back ends other than plain `hf`: the same numbers through `_loglikelihood_tokens`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.model import LM, TemplateLM
from lm_eval.models.huggingface import HFLM

from lnat_plugins.errors import StudentError
from tests.helpers_students import assert_near

from .lab import evaluate, figures, hf, records, rows, write_set


class Delegate(TemplateLM):
    """A back end that is not `hf` but asks it."""

    def __init__(self, inner: HFLM, max_length: int | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.tokenizer = inner.tokenizer
        self.max_length = max_length or inner.max_length
        self.longest = 0

    @property
    def eot_token_id(self) -> int:
        return self.inner.eot_token_id

    def tok_encode(self, string: str, add_special_tokens: Any = None, **options: Any) -> list[int]:
        return self.inner.tok_encode(string, add_special_tokens=add_special_tokens, **options)

    def _loglikelihood_tokens(self, requests: Any, **options: Any) -> list[tuple[float, bool]]:
        self.longest = max(self.longest, *(len(seen) + len(new) for _, seen, new in requests))
        return self.inner._loglikelihood_tokens(requests, **options)

    def loglikelihood(self, requests: Any) -> Any:
        raise AssertionError("pairs of strings lose tokens")

    loglikelihood_rolling = generate_until = loglikelihood


class OwnCall(HFLM):
    """An `hf` that runs its model in a way of its own."""

    def _model_call(self, *args: Any, **kwargs: Any) -> Any:
        return super()._model_call(*args, **kwargs)


WINDOWS = {"windows": [0, 1, 4, "50%", "global"]}


@pytest.fixture(scope="module")
def answered() -> list[dict[str, Any]]:
    """With short responses, and one whose steps repeat each other."""
    found = rows(("QwQ", "R1", "s1"))
    found[2]["response"] = "Done. Wait."
    found[5]["response"] = "Wait. Wait. Wait. Done. Wait. Wait."
    found[8]["response"] = "Seven"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, answered: Any) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, answered, block=WINDOWS)
    return folder


@pytest.fixture(scope="module")
def by_engine(folder: Path, model: Any, tokenizer: Any) -> dict[str, Any]:
    return evaluate(folder, hf(model, tokenizer))


def assert_same_scores(by_engine: Any, other: Any) -> None:
    ours, theirs = records(by_engine), records(other)
    assert ours.keys() == theirs.keys()
    for key, record in theirs.items():
        assert record["path"] == "loglikelihood"
        assert record["sums"]["global"] is None
        assert record["undefined"] == {}
        assert (record["spans"], record["tokens"]) == (ours[key]["spans"], ours[key]["tokens"])
        assert record["settings_hash"] == ours[key]["settings_hash"]
        for window in ("0", "1", "4", "50%"):
            assert_near(record["sums"][window], ours[key]["sums"][window])
        assert_near(record["totals"]["global"], ours[key]["totals"]["global"])
    for name, value in figures(other).items():
        assert_near(value, figures(by_engine)[name])


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("kind", ["other", "own call"])
def test_another_back_end_gives_the_same_numbers(
    kind: str, batch_size: int, folder: Path, model: Any, tokenizer: Any, by_engine: Any
) -> None:
    cls = OwnCall if kind == "own call" else HFLM
    inner = hf(model, tokenizer, cls, batch_size=batch_size)
    lm = inner if kind == "own call" else Delegate(inner)
    assert_same_scores(by_engine, evaluate(folder, lm))


@pytest.mark.parametrize("batch_size", [2, 64, "auto"])
def test_the_batch_size_is_only_a_hint(
    batch_size: Any, folder: Path, model: Any, tokenizer: Any, by_engine: Any
) -> None:
    lm = hf(model, tokenizer, batch_size=batch_size)
    found, expected = records(evaluate(folder, lm)), records(by_engine)
    for key, record in found.items():
        assert record["path"] == "packed"
        for window in ("4", "global"):
            assert_near(record["sums"][window], expected[key]["sums"][window])


def test_mixed_precision_is_left_to_the_harness(folder: Path, model: Any, tokenizer: Any) -> None:
    """Our engine runs the model as it is; only the harness wraps it in autocast."""
    lm = hf(model, tokenizer, mixed_precision_dtype="bfloat16")
    found = records(evaluate(folder, lm, limit=1))
    assert {record["path"] for record in found.values()} == {"loglikelihood"}


def test_no_request_is_longer_than_every_back_end_reads_uncut(
    folder: Path, model: Any, tokenizer: Any, by_engine: Any
) -> None:
    """vLLM reads max_length - 1 tokens and cuts a longer request on its left, unasked."""
    lengths = [sum(record["tokens"]) for record in records(by_engine).values()]
    prompt = len(tokenizer.encode("What is 0 + 4?\n\n"))
    limit = prompt + max(lengths)
    for max_length, undefined in [(limit + 1, 0), (limit, 1)]:
        lm = Delegate(hf(model, tokenizer), max_length)
        found = records(evaluate(folder, lm))
        cut = [key for key, record in found.items() if "global" in record["undefined"]]
        assert (len(cut) > 0) == bool(undefined)
        assert lm.longest <= max_length - 1


class NoTokens(LM):
    """A back end that answers with text only."""

    def loglikelihood(self, requests: Any) -> Any:
        raise AssertionError

    loglikelihood_rolling = generate_until = loglikelihood


def test_a_back_end_without_token_ids_is_refused(folder: Path) -> None:
    with pytest.raises(StudentError, match="no log-probabilities of token ids.*'NoTokens'.*vllm"):
        evaluate(folder, NoTokens())


def test_a_back_end_without_a_tokenizer_is_refused(
    folder: Path, model: Any, tokenizer: Any
) -> None:
    lm = Delegate(hf(model, tokenizer))
    lm.tokenizer = None
    with pytest.raises(StudentError, match="no log-probabilities of token ids.*'Delegate'"):
        evaluate(folder, lm)


def test_a_tokenizer_without_offsets_is_refused(folder: Path, model: Any, tokenizer: Any) -> None:
    class Slow:
        is_fast = False

    lm = Delegate(hf(model, tokenizer))
    lm.tokenizer = Slow()
    with pytest.raises(StudentError, match="no character offsets.*fast tokenizer"):
        evaluate(folder, lm)
