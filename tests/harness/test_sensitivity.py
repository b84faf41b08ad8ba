"""What a run keeps beside its scores: the numbers of every token, and a sample of prompts scored in
further ways.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.harness.requests import score_requests
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.samples import read_scored_set
from lnat_plugins.scoring.ways import sampled
from tests.helpers_students import assert_near

from .lab import TASK, TEXTS, evaluate, hf, load, records, rows, save, write_set

MANY = 23  # prompts, more than are sampled
VARIANTS = ["steps line", "window 10%"]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    short = [row | {"response": TEXTS[5]} for row in rows(prompts=MANY)]
    write_set(folder, short, block={"sensitivity": "full", "windows": [1], "tokens": False})
    return folder


def sampled_prompts(found: dict[tuple[str, str, Any], Any]) -> list[str]:
    """Whose responses have variants, all or none of a prompt's."""
    by_prompt: dict[str, set[bool]] = {}
    for (prompt, _, _), record in found.items():
        by_prompt.setdefault(prompt, set()).add([*record["variants"]] == VARIANTS)
        assert record["variants"] == {} or [*record["variants"]] == VARIANTS
    assert all(len(has) == 1 for has in by_prompt.values())
    return [prompt for prompt, (has,) in by_prompt.items() if has]


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({}, range(MANY)),
        ({"limit": 22}, range(22)),
        ({"limit": 3}, range(3)),
        ({"limit": 0.95}, range(22)),
        ({"samples": {TASK: [*range(1, MANY)]}}, range(1, MANY)),
        ({"samples": {TASK: [2, 9, 11]}}, [2, 9, 11]),
        # In whatever order and however often, lm-eval reads each once, in the order of the file.
        ({"samples": {TASK: [*range(MANY - 1, 0, -1), 5, 5]}}, range(1, MANY)),
        ({"samples": {TASK: []}}, range(MANY)),
    ],
    ids=str,
)
def test_the_sample_is_spread_over_the_prompts_that_are_read(
    options: Any, read: Sequence[int], many: Path, model: Any, tokenizer: Any
) -> None:
    found = records(evaluate(many, hf(model, tokenizer), **options))
    assert len({prompt for prompt, *_ in found}) == len(read)
    assert sampled_prompts(found) == [f"p{read[i]}" for i in sorted(sampled(len(read)))]


@pytest.mark.parametrize("markers", ["skip", "keep"])
def test_variants_are_the_scores_of_runs_with_these_settings(
    markers: str, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    block = {"markers": markers, "windows": [4, "global"], "sensitivity": "full"}
    write_set(tmp_path, rows(), block=block)
    results = evaluate(tmp_path, hf(model, tokenizer))
    ways = [("steps line", {"steps": "line"}, "4"), ("window 10%", {"windows": ["10%"]}, "10%")]
    if markers == "keep":
        ways.append(("markers skip", {"markers": "skip"}, "4"))
    for name, change, window in ways:
        folder = tmp_path / name.strip("%")
        write_set(folder, rows(), block={"markers": markers, **change})
        other = read_scored_set([save(evaluate(folder, hf(model, tokenizer)), folder / "out")])
        for row in other.rows:
            found = records(results)[row.prompt_id, row.teacher, row.sample]["variants"][name]
            assert_near(found, METRICS["local_naturalness"].of(row.record, window))
    basic = tmp_path / "basic"
    write_set(basic, rows(), block=block | {"sensitivity": "basic"})
    for key, record in records(evaluate(basic, hf(model, tokenizer))).items():
        assert record["variants"] == {}
        assert record["settings_hash"] == records(results)[key]["settings_hash"]
        for window in record["sums"]:
            assert_near(record["sums"][window], records(results)[key]["sums"][window])


def test_variants_that_do_not_fit_are_null_with_a_reason(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), block={"windows": [0], "sensitivity": "full"})
    found = records(evaluate(tmp_path, hf(model, tokenizer, max_length=40)))
    undefined = [record for record in found.values() if record["variants"]["steps line"] is None]
    assert undefined
    for record in undefined:
        assert "the student reads at most" in record["undefined"]["steps line"]


def test_tokens_are_kept_unless_the_set_says_otherwise(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    found = []
    for block in ({}, {"tokens": False}):
        write_set(tmp_path, rows(), block=block)
        results = evaluate(tmp_path, hf(model, tokenizer))
        found.append(records(results))
        stored = read_scored_set([save(results, tmp_path / f"out{len(found)}")])
        assert [row.record.token_values is not None for row in stored.rows] == [not block] * 6
    for key, record in found[0].items():
        assert record | {"token_values": None} == found[1][key]


def test_two_sets_with_one_prompt_keep_what_each_asks_for(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """Same prompt, same settings: what is kept beside the scores is each set's own."""
    together: list[Any] = []
    for sensitivity, tokens in [("basic", True), ("full", True), ("full", False)]:
        folder = tmp_path / f"{sensitivity}{tokens}"
        write_set(folder, rows(prompts=1), block={"sensitivity": sensitivity, "tokens": tokens})
        task = load(folder)
        task.build_all_requests(limit=None, samples=None, rank=0, world_size=1)
        together += task.instances
    kept = [reply.record for reply in score_requests(hf(model, tokenizer), together)]
    assert [bool(record.variants) for record in kept] == [False] * 2 + [True] * 4
    assert [record.token_values is not None for record in kept] == [True] * 4 + [False] * 2


def test_two_prompts_with_one_text_are_sampled_apart(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    same = [row | {"prompt": "What?", "response": TEXTS[5]} for row in rows(prompts=MANY)]
    write_set(tmp_path, same, block={"sensitivity": "full", "windows": [1], "tokens": False})
    found = sampled_prompts(records(evaluate(tmp_path, hf(model, tokenizer))))
    assert found == [f"p{i}" for i in sorted(sampled(MANY))]


def test_the_student_runs_in_one_thread_only(
    many: Path, model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts of several kinds (sampled or not) are prepared in a second thread."""
    forward, threads = model.forward, set()

    def noted(*args: Any, **kwargs: Any) -> Any:
        threads.add(threading.current_thread())
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", noted)
    student = hf(model, tokenizer)
    text = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    monkeypatch.setattr(student.tokenizer, "chat_template", text)
    evaluate(many, student, apply_chat_template=True)
    assert threads == {threading.current_thread()}
