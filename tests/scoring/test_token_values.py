"""The numbers of every token: exact through text and back, and they add up to the step sums."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL, TOKEN
from lnat_plugins.errors import DataError
from lnat_plugins.scoring.backend import Sum
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.token_values import TokenValues
from lnat_plugins.teacher_set import Response
from tests.helpers_samples import make_record
from tests.helpers_students import assert_near
from tests.scoring.builders import LONG, BrokenOnLongRuns, OnlyTotals, scorer_of

PROMPT = [5, 6, 7]
WINDOWS = ("1", "4", "10%", "global")
TAGGED = (
    "<think>\nFirst step. Second step.\n</think>\n\nThe sum: <answer>7</answer>. Done it is. 🎉"
)


def record_of(model: Any, tokenizer: Any, text: str = TAGGED, **options: Any) -> StepSums:
    scorer = scorer_of(model, tokenizer, **{"windows": WINDOWS, "tokens": True, **options})
    (record,) = scorer.score(PROMPT, [Response("t", text)])
    return record


def values_of(record: StepSums) -> dict[str, npt.NDArray[Any]]:
    assert record.token_values is not None
    return record.token_values.arrays("here")


@given(
    numbers=arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32)),
    ids=st.integers(0, 2**31 - 1),
)
def test_numbers_come_back_to_the_last_bit(numbers: npt.NDArray[np.float32], ids: int) -> None:
    n = len(numbers)
    packed = TokenValues.of_arrays(
        np.full(n, ids), np.arange(n), [0, n], np.arange(n) % 2 == 0, {"4": numbers},
        {"entropy": numbers[::-1]},
    )  # fmt: skip
    assert TokenValues.of_json(json.loads(json.dumps(packed.as_dict()))) == packed
    found = packed.arrays()
    assert found["logprob[4]"].tobytes() == numbers.tobytes()
    assert found["entropy"].tobytes() == numbers[::-1].tobytes()
    assert found["ids"].tolist() == [ids] * n
    assert found["ends"].tolist() == list(range(n)) and found["bounds"].tolist() == [0, n]
    assert found["scored"].tolist() == [i % 2 == 0 for i in range(n)]


@pytest.mark.parametrize("path", ["packed", "batched"])
@pytest.mark.parametrize("markers", ["skip", "keep"])
@pytest.mark.parametrize("text", [LONG, TAGGED], ids=["plain", "tagged"])
def test_they_add_up_to_the_step_sums(
    text: str, markers: Any, path: str, llama: Any, tokenizer: Any
) -> None:
    backend = EngineBackend(Engine(llama, path=path))
    record = record_of(llama, tokenizer, text, markers=markers, backend=backend, statistics=ALL)
    values = values_of(StepSums.from_json(record.to_json()))
    encoding = tokenizer(text, return_offsets_mapping=True)
    assert values["ids"].tolist() == encoding["input_ids"]
    assert values["ends"].tolist() == [end for _, end in encoding["offset_mapping"]]
    assert values["scored"].all() == (markers == "keep" or text == LONG)
    steps = [slice(*pair) for pair in itertools.pairwise(values["bounds"])]
    assert len(steps) == record.n_steps
    assert [values["scored"][step].sum() for step in steps] == list(record.tokens)
    assert {*values} - {"ids", "ends", "bounds", "scored"} == {
        *(f"logprob[{window}]" for window in WINDOWS), *TOKEN,
    }  # fmt: skip
    for window in WINDOWS:
        scores = values[f"logprob[{window}]"]
        assert scores.dtype == np.float32
        counted = [scores[step][values["scored"][step]].sum() for step in steps]
        assert_near(counted, record.sums[window])
        if record.tag_tokens:
            left_out = [scores[step][~values["scored"][step]].sum() for step in steps]
            assert_near(left_out, record.tag_sums[window])


def test_only_the_windows_asked_for_and_what_was_gathered_are_kept(
    llama: Any, tokenizer: Any
) -> None:
    record = record_of(llama, tokenizer, LONG, windows=("2",))
    assert {*record.sums} == {"0", "1", "2"}
    assert record.token_values is not None
    assert ({*record.token_values.logprobs}, record.token_values.statistics) == ({"2"}, {})


def test_tokens_that_are_not_wanted_are_left_out(llama: Any, tokenizer: Any) -> None:
    bare = record_of(llama, tokenizer, tokens=False)
    full = record_of(llama, tokenizer)
    assert bare.token_values is None
    assert dataclasses.replace(full, token_values=None) == bare
    assert json.loads(bare.to_json())["token_values"] is None
    # Base64 of 32 bits a number, four windows, ids and ends; most of them do not compress.
    assert len(full.to_json()) - len(bare.to_json()) < 8 * len(WINDOWS) * full.n_tokens + 1000


def test_a_back_end_of_sums_has_no_tokens(tokenizer: Any) -> None:
    backend = OnlyTotals(Sum(-12.5))
    assert record_of(None, tokenizer, LONG, backend=backend).token_values is None


def test_a_step_that_does_not_fit_has_tokens_without_numbers(llama: Any, tokenizer: Any) -> None:
    record = record_of(llama, tokenizer, LONG, windows=("0", "4", "global"), max_length=60)
    values = values_of(record)
    assert np.isfinite(values["logprob[0]"]).all()
    # The steps at the start that are read for a narrower window all the same have true numbers.
    whole = values_of(record_of(llama, tokenizer, LONG, windows=("global",)))["logprob[global]"]
    known = np.isfinite(values["logprob[global]"])
    assert 0 < known.sum() < 60 - len(PROMPT)
    assert_near(values["logprob[global]"][known], whole[known])
    sums = record.sums["4"]
    assert sums is not None and 0 < np.isnan(sums).sum() < len(sums)
    per_token = np.repeat(np.isnan(sums), np.diff(values["bounds"]))
    np.testing.assert_equal(np.isnan(values["logprob[4]"]), per_token)


def test_a_failed_pass_leaves_tokens_without_numbers(llama: Any, tokenizer: Any) -> None:
    backend = EngineBackend(BrokenOnLongRuns(Engine(llama)))  # type: ignore[arg-type]
    record = record_of(llama, tokenizer, LONG, windows=("global",), backend=backend, statistics=ALL)
    values = values_of(record)
    assert np.isnan(values["logprob[global]"]).all()
    assert not {*values} & {*TOKEN}


GOOD = TokenValues.of_arrays([7, 8, 9], [1, 2, 4], [0, 2, 3], [1, 1, 0], {"4": [-1, -2, -3]}, {})


def packed(numbers: Any, kind: str = "<i4") -> str:
    return base64.b64encode(zlib.compress(np.array(numbers, kind).tobytes())).decode()


REMEDY = "Score the responses again; the file was cut or edited."
BROKEN: dict[str, dict[str, Any]] = {
    "no base64": {"ids": "???"},
    "base64 cut short": {"ids": GOOD.ids[:-3]},
    "not ASCII": {"ids": "é" * 4},
    "empty": {"ends": ""},
    "not compressed": {"bounds": base64.b64encode(b"abcd").decode()},
    "compressed, cut short": {"scored": base64.b64encode(zlib.compress(b"abcd")[:-4]).decode()},
    "half a number": {"ids": base64.b64encode(zlib.compress(b"abcde")).decode()},
    "a window of half a number": {"logprobs": {"4": packed([1, 2, 3], "<i2")}},
    "a statistic that is none": {"statistics": {"entropy": "x"}},
}  # fmt: skip
UNEQUAL: dict[str, dict[str, Any]] = {
    "fewer ids": {"ids": packed([7, 8])},
    "more ends": {"ends": packed([1, 2, 3, 4])},
    "fewer flags": {"scored": packed([1])},
    "a shorter window": {"logprobs": {"4": packed([-1.0, -2.0], "<f4")}},
    "a longer statistic": {"statistics": {"entropy": packed([1.0] * 4, "<f4")}},
    "bounds that end early": {"bounds": packed([0, 2])},
    "bounds that begin late": {"bounds": packed([1, 3])},
    "bounds that do not ascend": {"bounds": packed([0, 2, 2, 3])},
    "one bound": {"bounds": packed([0])},
    "no bounds": {"bounds": packed([])},
}


@pytest.mark.parametrize("change", [*BROKEN.values(), *UNEQUAL.values()], ids=[*BROKEN, *UNEQUAL])
def test_broken_tokens_are_one_line(change: dict[str, Any]) -> None:
    stored = GOOD.as_dict() | change
    with pytest.raises(DataError) as caught:
        TokenValues.of_json(stored, "out.jsonl line 3").arrays("out.jsonl line 3")
    line = str(caught.value)
    problem = "cannot be unpacked" if change in BROKEN.values() else "do not fit each other"
    assert line.startswith(f"out.jsonl line 3: the record's tokens {problem} (found ")
    assert line.endswith(REMEDY) and "\n" not in line


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ids": None}, "record: tokens: ids: this must be text (found None)"),
        ({"logprobs": {"4": 1.5}}, "record: tokens: logprobs: 4: this must be text (found 1.5)"),
        ({"logprobs": []}, "record: tokens: logprobs: this must be a mapping of names to values"),
    ],
)
def test_a_record_with_other_tokens_is_refused(change: dict[str, Any], problem: str) -> None:
    raw = json.loads(make_record().to_json()) | {"token_values": GOOD.as_dict() | change}
    with pytest.raises(DataError) as caught:
        StepSums.from_json(raw, "out.jsonl line 3")
    assert str(caught.value).startswith(f"out.jsonl line 3: {problem}")
    assert str(caught.value).endswith(REMEDY)


@pytest.mark.parametrize("name", ["ids", "ends", "bounds", "scored"])
def test_a_missing_field_is_named(name: str) -> None:
    stored = GOOD.as_dict()
    del stored[name]
    with pytest.raises(DataError, match=f"field of the record's tokens `{name}` is missing"):
        TokenValues.of_json(stored)
