"""`--use_cache`: a killed run is resumed, and no score of another run is taken for its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.engine.engine import Engine
from lnat_plugins.harness.prompt_scorer import PromptScorer
from tests import helpers_students
from tests.helpers_students import assert_near, student

from .lab import evaluate, figures, hf, records, rows, write_set


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prompts' token counts, in the order in which an engine scored them."""
    prompt_lengths: list[int] = []
    original = Engine.score

    def watched(engine: Engine, prompt: Any, runs: Any) -> Any:
        prompt_lengths.append(len(prompt))
        return original(engine, prompt, runs)

    monkeypatch.setattr(Engine, "score", watched)
    return prompt_lengths


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
    # Three prompts; in further ways each of them twice more, and once for the calibration.
    assert readings == [3, 0, 3, 0, 12, 0, 0]


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
