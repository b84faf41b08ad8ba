"""`--use_cache`: a killed run is resumed, and no score of another run is taken for its own."""

from __future__ import annotations

import copy
import json
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlitedict import SqliteDict

from lnat_plugins.errors import ConfigError, StudentError
from lnat_plugins.harness.command import check_cache
from lnat_plugins.harness.prompt_scorer import PromptScorer
from lnat_plugins.scoring.engine_backend import EngineBackend
from tests import helpers_students
from tests.helpers_students import assert_near, student

from .lab import evaluate, figures, hf, prompts_read, records, rows, write_set


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prompts' token counts, in the order in which an engine scored them."""
    return prompts_read(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """One run of lm-eval with the same cache file as all the others of a test."""

    def run(lm: Any, folder: Path | None = None, **options: Any) -> dict[str, Any]:
        try:
            return evaluate(folder or tmp_path, lm, use_cache=str(tmp_path / "cache"), **options)
        finally:
            lm.cache_hook.dbdict.close()

    write_set(tmp_path, rows())
    return run


def test_a_second_run_scores_nothing(
    run: Any, model: Any, tokenizer: Any, scored: list[int]
) -> None:
    first = run(hf(model, tokenizer))
    assert len(scored) == 3
    second = run(hf(model, tokenizer))
    assert len(scored) == 3
    assert records(second) == records(first)
    assert figures(second) == figures(first)


def test_rewards_are_the_rows_own_not_the_kept_ones(
    run: Any, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    for reward in (1.0, 5.0):
        write_set(tmp_path, [row | {"reward": reward} for row in rows()], block={"metrics": "car"})
        found = records(run(hf(model, tokenizer)))
        assert {one["statistics"]["reward"] for one in found.values()} == {reward}


def test_what_was_not_gathered_before_is_gathered(
    run: Any, model: Any, tokenizer: Any, scored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(hf(model, tokenizer))
    wanted = property(lambda _: frozenset({"entropy"}))
    monkeypatch.setattr("lnat_plugins.scoring.record.RequestedMetrics.statistics", wanted)
    found = records(run(hf(model, tokenizer)))
    assert all("entropy" in one["step_statistics"] for one in found.values())
    assert len(scored) == 6
    run(hf(model, tokenizer))
    assert len(scored) == 6


def test_tokens_and_variants_that_were_not_kept_are_scored(
    run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    """They are no part of the settings, so the records of a run without them are found."""
    readings = []
    for block in (
        {"tokens": False},
        {"tokens": False},
        {"tokens": True},
        {"tokens": True},
        {"tokens": True, "sensitivity": "full"},
        {"tokens": True, "sensitivity": "full"},
        {"tokens": True},
    ):
        write_set(tmp_path, rows(), block=block)
        before = len(scored)
        found = records(run(hf(model, tokenizer)))
        readings.append(len(scored) - before)
        for record in found.values():
            assert record["token_values"] is not None or not block["tokens"]
            assert record["variants"] or block.get("sensitivity") != "full"
    assert readings == [3, 0, 3, 0, 3, 0, 0]


def test_a_back_end_without_tokens_is_served_all_the_same(
    run: Any, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OwnCall(type(hf(model, tokenizer))):  # type: ignore[misc]
        calls = 0

        def _model_call(self, *args: Any, **kwargs: Any) -> Any:
            OwnCall.calls += 1
            return super()._model_call(*args, **kwargs)

    first = records(run(hf(model, tokenizer, OwnCall)))
    calls = OwnCall.calls
    assert {record["token_values"] for record in first.values()} == {None}
    assert records(run(hf(model, tokenizer, OwnCall))) == first and OwnCall.calls == calls


def test_a_killed_run_goes_on_where_it_was(
    run: Any,
    model: Any,
    tokenizer: Any,
    scored: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(EngineBackend, "at_once", 0)  # else the three are one group
    prepare, seen = PromptScorer.prepare, []  # called while the prompt before is scored

    def killed_at_the_third(self: PromptScorer, job: Any) -> Any:
        seen.append(job)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return prepare(self, job)

    monkeypatch.setattr(PromptScorer, "prepare", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(hf(model, tokenizer))
    monkeypatch.setattr(PromptScorer, "prepare", prepare)
    assert len(scored) == 2
    resumed = run(hf(model, tokenizer))
    assert len(scored) == 3
    whole = evaluate(tmp_path, hf(model, tokenizer))
    assert records(resumed) == records(whole)
    assert figures(resumed) == figures(whole)


def test_of_a_group_that_was_begun_nothing_is_kept(
    run: Any, model: Any, tokenizer: Any, scored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the run that goes on reads the same prompts together, and ends alike to the last bit."""
    score, seen = PromptScorer.score, []

    def killed_at_the_second(self: PromptScorer, job: Any, ready: Any) -> Any:
        seen.append(job)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return score(self, job, ready)

    monkeypatch.setattr(PromptScorer, "score", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(hf(model, tokenizer))
    assert len(scored) == 3
    monkeypatch.setattr(PromptScorer, "score", score)
    run(hf(model, tokenizer))
    assert len(scored) == 6


def test_a_longer_run_scores_what_a_shorter_one_left(
    run: Any, model: Any, tokenizer: Any, scored: list[int]
) -> None:
    run(hf(model, tokenizer), limit=1)
    assert len(scored) == 1
    assert len(records(run(hf(model, tokenizer)))) == 6
    assert len(scored) == 3


def test_a_new_response_is_scored_alone(
    run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    first = records(run(hf(model, tokenizer)))
    write_set(tmp_path, rows(("QwQ", "R1", "s1")))
    found = records(run(hf(model, tokenizer)))
    assert len(scored) == 6 and len(found) == 9
    for key, record in first.items():
        assert found[key] == record


def changed_weights(model: Any, tokenizer: Any) -> Any:
    return hf(student("llama", seed=1), tokenizer)


def other_precision(model: Any, tokenizer: Any) -> Any:
    return hf(student("llama").double(), tokenizer)


def shorter_context(model: Any, tokenizer: Any) -> Any:
    return hf(model, tokenizer, max_length=40)


def other_positions(model: Any, tokenizer: Any) -> Any:
    """The same weights, read in another way."""
    changed = student("llama", rope_parameters={"rope_type": "default", "rope_theta": 77.0})
    changed.load_state_dict(model.state_dict())
    return hf(changed, tokenizer)


@pytest.mark.parametrize(
    "other", [changed_weights, other_precision, shorter_context, other_positions]
)
def test_another_student_is_not_served(
    other: Any, run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    first = records(run(hf(model, tokenizer)))
    found = records(run(other(model, tokenizer)))
    assert len(scored) == 6
    fresh = records(evaluate(tmp_path, other(model, tokenizer)))
    assert found == fresh
    assert [record["totals"] for record in found.values()] != [
        record["totals"] for record in first.values()
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"block": {"windows": [1, "global"]}},
        {"block": {"steps": "line"}},
        {"block": {"markers": "keep"}},
        {"target_delimiter": "\n"},
    ],
    ids=["windows", "steps", "markers", "delimiter"],
)
def test_other_settings_are_not_served(
    change: dict[str, Any],
    run: Any,
    model: Any,
    tokenizer: Any,
    scored: list[int],
    tmp_path: Path,
) -> None:
    run(hf(model, tokenizer))
    write_set(tmp_path, rows(), **change)
    found = records(run(hf(model, tokenizer)))
    assert len(scored) == 6
    assert found == records(evaluate(tmp_path, hf(model, tokenizer)))


def test_another_prompt_or_rendering_is_not_served(
    run: Any, model: Any, tokenizer: Any, scored: list[int]
) -> None:
    run(hf(model, tokenizer))
    run(hf(model, tokenizer), apply_chat_template=True)
    run(hf(model, tokenizer), system_instruction="Be brief.")
    assert len(scored) == 10  # the chat template's own tokens are read once


def test_supplied_steps_are_part_of_what_is_cached(
    run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    cut = [{"steps": [row["response"][:4], row["response"][4:]], **row} for row in rows()]
    recut = [{"steps": [row["response"][:5], row["response"][5:]], **row} for row in rows()]
    block = {"steps": "supplied"}
    cut, recut = ([row for row in found if row["response"][5:]] for found in (cut, recut))
    write_set(tmp_path, cut, block=block)
    first = records(run(hf(model, tokenizer)))
    write_set(tmp_path, recut, block=block)
    second = records(run(hf(model, tokenizer)))
    assert {key: record["spans"] for key, record in first.items()} != {
        key: record["spans"] for key, record in second.items()
    }
    assert len(scored) == 2 * len({key[0] for key in first})


def test_undefined_scores_are_kept_with_their_reason(
    run: Any, model: Any, tokenizer: Any, scored: list[int]
) -> None:
    first = records(run(hf(model, tokenizer, max_length=40)))
    again = records(run(hf(model, tokenizer, max_length=40)))
    assert any(record["undefined"] for record in first.values())
    assert again == first and len(scored) == 3


def test_the_generic_path_is_cached_too(run: Any, model: Any, tokenizer: Any) -> None:
    class OwnCall(type(hf(model, tokenizer))):  # type: ignore[misc]
        calls = 0

        def _model_call(self, *args: Any, **kwargs: Any) -> Any:
            OwnCall.calls += 1
            return super()._model_call(*args, **kwargs)

    first = records(run(hf(model, tokenizer, OwnCall)))
    calls = OwnCall.calls
    assert calls > 0
    assert records(run(hf(model, tokenizer, OwnCall))) == first
    assert OwnCall.calls == calls


def test_a_reloaded_student_is_the_same(
    run: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    """As after a restart: the folder is read anew."""
    helpers_students.student("llama").save_pretrained(tmp_path / "student")
    tokenizer.save_pretrained(tmp_path / "student")

    def loaded() -> Any:
        return hf(str(tmp_path / "student"), None, device="cpu", dtype="float32")

    first = records(run(loaded()))
    assert records(run(loaded())) == first
    assert len(scored) == 3
    for key, record in records(evaluate(tmp_path, loaded())).items():
        assert_near(record["totals"]["4"], first[key]["totals"]["4"])


def test_another_tokenizer_is_not_served_the_old_numbers(
    run: Any, model: Any, tokenizer: Any, scored: list[int]
) -> None:
    """One that encodes the prompts alike and the responses otherwise."""
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["Second"])
    larger = copy.deepcopy(model)  # the other tests share `model`
    larger.resize_token_embeddings(len(other))
    run(hf(larger, tokenizer))
    before = len(scored)
    run(hf(larger, other))
    assert len(scored) == 2 * before


def test_another_reading_of_a_response_is_not_served(
    run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    """A template that trims replies leaves the prompt, and so its digest, as it was."""
    write_set(tmp_path, [row | {"response": "First step. Wait.\n\n"} for row in rows()])
    trims = copy.deepcopy(tokenizer)
    trims.chat_template = tokenizer.chat_template.replace("m['content']", "m['content'] | trim")
    first = records(run(hf(model, tokenizer), apply_chat_template=True))
    before = len(scored)
    second = records(run(hf(model, trims), apply_chat_template=True))
    assert len(scored) > before
    for key, record in first.items():
        assert record["settings_hash"] == second[key]["settings_hash"]
        assert record["ids_digest"] != second[key]["ids_digest"]


def in_cache(folder: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "cache.lnat.sqlite")) as opened:
        found = opened.execute(question).fetchall()
        opened.commit()
        return found


class Planted:
    """Runs code where it is unpickled."""

    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Planted, "ran", True))


def test_no_byte_of_ours_goes_through_lm_evals_pickles(
    run: Any, model: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("__getitem__", "__setitem__", "__contains__"):
        monkeypatch.delattr(SqliteDict, name)
    first = records(run(hf(model, tokenizer)))
    assert records(run(hf(model, tokenizer))) == first
    with closing(sqlite3.connect(tmp_path / "cache_rank0.db")) as opened:
        assert opened.execute("SELECT count(*) FROM unnamed").fetchone() == (0,)
    kept = in_cache(tmp_path, "SELECT record FROM records")
    assert sorted(text for (text,) in kept) == sorted(
        json.dumps(record) for record in first.values()
    )


def test_a_cache_names_the_student_of_its_records(
    run: Any, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    run(hf(model, tokenizer))
    run(hf(student("llama", seed=1), tokenizer))
    students = dict(in_cache(tmp_path, "SELECT * FROM students"))
    assert len(students) == 2
    assert {json.loads(one)["class"] for one in students.values()} == {"LlamaForCausalLM"}
    counts = dict(in_cache(tmp_path, "SELECT student, count(*) FROM records GROUP BY student"))
    assert counts == dict.fromkeys(students, 6)


@pytest.mark.parametrize(
    "text",
    ["", "null", "{}", "[" * 5000, '{"spans": [], "tokens": [], "sums": {}}', "of another"],
)
def test_a_damaged_record_is_read_again(
    text: str, run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    first = records(run(hf(model, tokenizer)))
    key, other = (key for (key,) in in_cache(tmp_path, "SELECT key FROM records LIMIT 2"))
    new = f"(SELECT record FROM records WHERE key = '{other}')" if text[:2] == "of" else f"'{text}'"
    in_cache(tmp_path, f"UPDATE records SET record = {new} WHERE key = '{key}'")
    before = len(scored)
    found = records(run(hf(model, tokenizer)))
    assert len(scored) == before + 1
    for row, record in found.items():
        assert_near(record["totals"]["4"], first[row]["totals"]["4"])
        assert record["teacher"] == first[row]["teacher"]
    assert [one.getMessage() for one in caplog.records if "damaged" in one.getMessage()] == [
        f"--use_cache {tmp_path / 'cache.lnat.sqlite'}: a record in it is damaged; such responses "
        "are read again"
    ]
    run(hf(model, tokenizer))
    assert len(scored) == before + 1


def test_a_planted_pickle_is_not_read(
    run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    first = records(run(hf(model, tokenizer)))
    bomb = pickle.dumps(Planted()).hex()
    in_cache(tmp_path, f"UPDATE records SET record = x'{bomb}'")
    found = records(run(hf(model, tokenizer)))
    assert found == first and len(scored) == 6
    assert not Planted.ran


def test_a_junk_cache_ends_the_run_before_the_student_reads(
    run: Any, model: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    (tmp_path / "cache.lnat.sqlite").write_text("junk " * 1000)
    with pytest.raises(ConfigError, match=r"cache\.lnat\.sqlite: no cache of scores.*Delete it"):
        run(hf(model, tokenizer))
    assert scored == []


@pytest.mark.parametrize("name", ["cache_rank0.db", "cache_rank3.db", "cache.lnat.sqlite"])
def test_a_junk_cache_is_named_before_the_student_is_loaded(name: str, tmp_path: Path) -> None:
    check_cache(str(tmp_path / "cache"))
    assert [*tmp_path.iterdir()] == []
    (tmp_path / name).write_text("junk " * 1000)
    with pytest.raises(ConfigError, match=name) as caught:
        check_cache(str(tmp_path / "cache"))
    assert "delete it, or give --use_cache another path" in str(caught.value).lower()


def fails_from(model: Any, first: int, last: int = 10**9) -> list[int]:
    """The forwards of the numbers `first` to `last` run out of memory; the list counts all."""
    count: list[int] = []

    def hook(*_: Any) -> None:
        count.append(len(count))
        if first <= count[-1] <= last:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.model.layers[0].register_forward_pre_hook(hook)
    return count


def assert_same(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """But for the pass and the rounding that goes with it."""
    assert found.keys() == expected.keys()
    for key, record in found.items():
        other = expected[key]
        assert record["undefined"] == other["undefined"] == {}
        assert record["student"].keys() == other["student"].keys()
        for name in ("sums", "step_statistics", "statistics", "variants"):
            assert record[name].keys() == other[name].keys()
            for one, values in record[name].items():
                np.testing.assert_allclose(values, other[name][one], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("block", "options"),
    [
        ({}, {}),
        ({"sensitivity": "full"}, {"apply_chat_template": True}),
        ({"metrics": ["ifd", "entropy"]}, {}),
    ],
    ids=["plain", "template and variants", "statistics"],
)
def test_what_memory_did_not_suffice_for_is_read_again(
    block: Any, options: Any, tokenizer: Any, scored: list[int], tmp_path: Path
) -> None:
    """Memory runs out at each of several forwards, for the rest of the run or for a while."""
    write_set(tmp_path, rows(), block=block)
    options |= {"log_samples": True}
    # The first forward is that of the engine's look at the output embedding.
    whole = student("llama")
    n_forwards = fails_from(whole, 10**9)
    expected = records(evaluate(tmp_path, hf(whole, tokenizer), **options))
    n_calls = len(scored)
    first, last = 1, len(n_forwards) - 1
    failures = set()
    for n in sorted({*np.linspace(first, last, 3).round().astype(int).tolist()}):
        for end in (10**9, n + 12):
            cache = str(tmp_path / f"cache{n}_{end}")
            broken = student("llama")
            fails_from(broken, n, end)
            lm = hf(broken, tokenizer)
            before = len(scored)
            try:
                found = records(evaluate(tmp_path, lm, use_cache=cache, **options))
            except StudentError:  # memory sufficed for no response
                found = {key: {"undefined": True} for key in expected}
            lm.cache_hook.dbdict.close()
            failed = {key for key, record in found.items() if record["undefined"]}
            failures.add(len(failed))
            with closing(sqlite3.connect(f"{cache}.lnat.sqlite")) as opened:
                (n_kept,) = opened.execute("SELECT count(*) FROM records").fetchone()
            assert n_kept <= len(found) - len(failed)
            before = len(scored)
            lm = hf(student("llama"), tokenizer)
            again = records(evaluate(tmp_path, lm, use_cache=cache, **options))
            lm.cache_hook.dbdict.close()
            assert_same(again, expected)
            if not options.get("apply_chat_template"):
                # There the template's own tokens and the calibration may have failed.
                assert n_kept == len(found) - len(failed)
                assert {key for key in found if again[key] == found[key]} >= found.keys() - failed
            if not block:
                assert len(scored) - before == len({prompt for prompt, *_ in failed})
            assert len(scored) - before <= n_calls
    assert len(failures) > 1 and max(failures) == len(expected)
