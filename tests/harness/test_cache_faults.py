"""`--use_cache` with a back end that raises at one of its requests: what is kept is right.

Where memory runs out is in test_cache.py, what a faulty forward does to the numbers in
tests/scoring/test_faults.py.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM

from lnat_plugins.scoring.engine_backend import EngineBackend
from tests.helpers_students import student

from .lab import evaluate, figures, hf, records, rows, write_set
from .test_cache import assert_same


class LostError(RuntimeError):
    """Of a device that is lost."""


class OwnCall(HFLM):  # type: ignore[misc]
    """Not read by our engine, but through lm-eval's requests."""

    def _model_call(self, *given: Any, **options: Any) -> Any:
        return super()._model_call(*given, **options)


def failing(fails: Callable[[int], bool]) -> tuple[Any, list[int]]:
    """A student whose forward of a number, counted from 1, raises; the list counts them."""
    model, seen = student("llama"), []

    def hook(*_: Any) -> None:
        seen.append(len(seen) + 1)
        if fails(seen[-1]):
            raise LostError

    model.model.layers[0].register_forward_pre_hook(hook)
    return model, seen


def kept_in(cache: Path) -> list[Any]:
    """The records in it."""
    if not cache.exists():  # the student is looked at before
        return []
    with closing(sqlite3.connect(cache)) as opened:
        return [json.loads(one) for (one,) in opened.execute("SELECT record FROM records")]


@pytest.mark.parametrize("later", ["once", "from then on"])
@pytest.mark.parametrize("kind", [HFLM, OwnCall], ids=["engine", "loglikelihood"])
def test_a_back_end_that_raises_leaves_a_cache_that_is_right(
    kind: type[HFLM], later: str, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first, a middle and its last request: the error as it is, or all numbers."""
    monkeypatch.setattr(EngineBackend, "at_once", 0)  # else the prompts are one group
    write_set(tmp_path, rows(prompts=8))

    def run(cache: Path, fails: Callable[[int], bool]) -> tuple[Any, list[int]]:
        model, seen = failing(fails)
        lm = hf(model, tokenizer, kind)
        found = None
        with suppress(LostError):
            found = evaluate(tmp_path, lm, use_cache=str(cache))
        lm.cache_hook.dbdict.close()
        return found, seen

    whole, forwards = run(tmp_path / "whole", lambda _: False)
    expected, ended_with = records(whole), []
    # The engine's third forward is in the trial of the packed pass, which gives way if it fails.
    for n in (1, 3, 3 * len(forwards) // 4, len(forwards)):
        cache = tmp_path / f"cache{n}"
        found, _ = run(cache, lambda i, n=n: i == n or (i > n and later != "once"))
        kept = kept_in(Path(f"{cache}.lnat.sqlite"))
        assert all(record["undefined"] == {} for record in kept)
        again, _ = run(cache, lambda _: False)
        if found is None:
            ended_with.append(len(kept))
            assert all(record in expected.values() for record in kept)
            assert records(again) == expected and figures(again) == figures(whole)
        else:  # equal but for the rounding of the other pass
            assert_same(records(found), expected)
            assert records(again) == records(found) and len(kept) == len(expected)
    first, *_, middle, last = ended_with
    assert first == 0 < middle < last < len(expected)
    assert len(ended_with) == (3 if kind is HFLM and later == "once" else 4)
