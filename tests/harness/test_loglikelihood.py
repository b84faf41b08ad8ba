"""lm-eval's own requests where they fail: no memory, and tokens that the student does not have."""

from __future__ import annotations

import copy
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from lnat_plugins.engine.types import OUT_OF_MEMORY
from lnat_plugins.errors import StudentError
from tests.helpers_students import assert_near

from .lab import evaluate, hf, records, rows, write_set


class Scarce(HFLM):
    """An `hf` of its own that runs out of memory where a pass reads more tokens than it may.

    Args:
        most: tokens a pass.
        fails: which of the passes raise whatever they read, counted from 1.
    """

    most: float = math.inf
    fails: frozenset[int] = frozenset()
    passes = refused = 0
    made: weakref.ref[Any] | None = None

    def _model_call(self, inps: Any, *args: Any, **kwargs: Any) -> Any:
        self.passes += 1
        assert self.made is None or self.made() is None, "what the last pass made is still there"
        activations = torch.zeros(1)
        self.made = weakref.ref(activations)
        if inps.numel() > self.most or self.passes in self.fails:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super()._model_call(inps, *args, **kwargs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = rows(("QwQ", "R1", "s1"), prompts=2)
    found[1]["response"] = "Seven."
    write_set(tmp_path, found, block={"windows": [1, "global"], "sensitivity": "none"})
    return tmp_path


def scarce(model: Any, tokenizer: Any, batch_size: int = 1, **limits: Any) -> Scarce:
    lm = hf(model, tokenizer, Scarce, batch_size=batch_size)
    for name, value in limits.items():
        setattr(lm, name, value)
    return lm


def test_what_does_not_fit_together_is_read_apart(folder: Path, model: Any, tokenizer: Any) -> None:
    known = records(evaluate(folder, scarce(model, tokenizer, 16)))
    longest = max(sum(record["tokens"]) + record["prompt_tokens"] for record in known.values())
    lm = scarce(model, tokenizer, 16, most=longest)
    found = records(evaluate(folder, lm))
    assert lm.refused > 0
    for key, record in found.items():
        assert record["path"] == "loglikelihood" and record["undefined"] == {}
        for window in ("1", "global"):
            assert_near(record["totals"][window], known[key]["totals"][window])


def test_what_does_not_fit_alone_is_undefined_and_not_kept(
    folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    cache = {"use_cache": str(tmp_path / "cache")}
    whole = scarce(model, tokenizer)
    known = records(evaluate(folder, whole))
    lengths = {k: sum(one["tokens"]) + one["prompt_tokens"] for k, one in known.items()}
    most = max(lengths.values()) - 2
    found = records(evaluate(folder, scarce(model, tokenizer, most=most), **cache))
    for key, record in found.items():
        if lengths[key] - 1 > most:
            assert record["undefined"]["global"].endswith(OUT_OF_MEMORY)
            assert record["totals"]["global"] is None
        else:
            assert record["undefined"] == {}
    assert 0 < sum(bool(record["undefined"]) for record in found.values()) < len(found)
    again = scarce(model, tokenizer)
    assert records(evaluate(folder, again, **cache)) == known
    assert 0 < again.passes < whole.passes / 2  # those alone that were undefined


@pytest.mark.parametrize("n", [1, 4, 9])
def test_memory_that_lacks_once_changes_no_number(
    n: int, folder: Path, model: Any, tokenizer: Any
) -> None:
    known = records(evaluate(folder, scarce(model, tokenizer)))
    lm = scarce(model, tokenizer, fails=frozenset({n}))
    found = records(evaluate(folder, lm))
    assert lm.refused == 1
    for key, record in found.items():
        assert record["undefined"] == {}
        assert_near(record["totals"]["1"], known[key]["totals"]["1"])


def test_another_error_is_the_back_end_s_own(folder: Path, model: Any, tokenizer: Any) -> None:
    class Broken(Scarce):
        def _model_call(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        evaluate(folder, hf(model, tokenizer, Broken))


def test_a_tokenizer_larger_than_the_student_ends_the_run_before_it_reads(
    folder: Path, model: Any, tokenizer: Any
) -> None:
    small = copy.deepcopy(model)
    small.resize_token_embeddings(20)
    lm = scarce(small, tokenizer)
    with pytest.raises(StudentError, match=r"gives token \d+, and the student's embedding has 20"):
        evaluate(folder, lm)
    assert lm.passes == 0
