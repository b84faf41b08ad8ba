"""A worker scores one prompt at a time, to the numbers of a whole run of lm-eval."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.harness import worker as module
from lnat_plugins.harness.worker import ScoredLine, Worker, check_back_end
from lnat_plugins.plugins import load_plugins
from lnat_plugins.plugins.configured import plan_of
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.ways import extra_of
from lnat_plugins.teacher_set import Prompt, Response, TeacherSet
from tests.harness.lab import TASK, evaluate, hf, rows, save, write_set
from tests.helpers_students import student, tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student's folder."""
    folder = tmp_path_factory.mktemp("student")
    student().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def worker_of(saved: str, teacher_set: TeacherSet, template: bool | None = None) -> Worker:
    plan = plan_of(
        teacher_set.settings, load_plugins().registry, tokens=teacher_set.tokens,
        sensitivity=teacher_set.sensitivity,
    )  # fmt: skip
    arguments = {"pretrained": saved, "dtype": "float32", "device": "cpu"}
    return Worker("hf", arguments, plan, teacher_set.name, template)


def lines_of(worker: Worker, teacher_set: TeacherSet) -> list[ScoredLine]:
    texts = [one.text for prompt in teacher_set.prompts for one in prompt.responses]
    plan = plan_of(
        teacher_set.settings, load_plugins().registry, tokens=True, sensitivity="none"
    )  # fmt: skip
    n, depth = len(teacher_set.prompts), teacher_set.sensitivity
    extra = extra_of(depth, n, texts, plan.steps, plan.windows)
    return [
        worker.score(i, prompt, narrower=extra.narrower_in(i), variants=extra.variants_in(i))
        for i, prompt in enumerate(teacher_set.prompts)
    ]


@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize(
    "block",
    [
        {},
        {"metrics": "all", "sensitivity": "full"},
        {"prefix": "8 steps", "sensitivity": "none", "tokens": False, "markers": "keep"},
    ],
)
def test_lines_are_those_of_lm_eval(
    saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: bool,
    block: dict[str, Any],
) -> None:  # fmt: skip
    # Of prompts that are read together the last bits differ; a worker reads each by itself.
    monkeypatch.setattr(EngineBackend, "at_once", 0)
    path = write_set(tmp_path / "set", rows(prompts=4), block=block)
    lm = hf(saved, None, dtype="float32", device="cpu")
    results = evaluate(path.parent, lm, log_samples=True, apply_chat_template=template)
    (tmp_path / "student").mkdir()
    expected = [
        json.loads(line)
        for line in save(results, tmp_path).read_text(encoding="utf-8").splitlines()
    ]
    teacher_set = load_teacher_set(path)
    found = lines_of(worker_of(saved, teacher_set, template), teacher_set)
    assert [one.reason for one in found] == [""] * 4 and all(one.final for one in found)
    for one, other in zip(found, expected, strict=True):
        own = json.loads(one.line)
        assert own == {name: other[name] for name in own}


def with_thinking(saved: str, folder: Path) -> str:
    """The student with a template that takes thinking apart."""
    found = tokenizer()
    found.chat_template = found.chat_template.replace(
        "{{ m['content'] }}",
        "{% if m.reasoning_content is defined %}<think>{{ m.reasoning_content }}</think>"
        "{% endif %}{{ m['content'] }}",
    )
    shutil.copytree(saved, folder)
    found.save_pretrained(folder)
    return str(folder)


def test_thinking_that_stands_apart_is_joined_as_by_lm_eval(saved: str, tmp_path: Path) -> None:
    data = [
        {"prompt": "What is 3 + 4?", "teacher": teacher, "thinking": thinking, "response": "Seven."}
        for teacher, thinking in {"QwQ": "Three and four. Wait.", "R1": "Easy."}.items()
    ]
    path = write_set(tmp_path / "set", data, block={"columns": {"think": "thinking"}})
    other = with_thinking(saved, tmp_path / "thinks")
    lm = hf(other, None, dtype="float32", device="cpu")
    results = evaluate(path.parent, lm, log_samples=True, apply_chat_template=True)
    teacher_set = load_teacher_set(path)
    (found,) = lines_of(worker_of(other, teacher_set), teacher_set)
    own = json.loads(found.line)
    assert own["doc"] == results["samples"][TASK][0]["doc"]
    assert "turn" in own["doc"]["responses"][0]
    assert [one for (one,) in own["resps"]] == [
        str(one) for (one,) in results["samples"][TASK][0]["resps"]
    ]


def test_a_prompt_that_fails_has_a_reason_and_the_next_is_scored(
    saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher_set = load_teacher_set(write_set(tmp_path, rows(prompts=2)))
    worker = worker_of(saved, teacher_set)
    one, other = teacher_set.prompts
    original = module.document_of
    errors = iter([RuntimeError("no luck\nat all"), DataError("no such row", where="row 1")])

    def fails_on_one(prompt: Prompt) -> dict[str, Any]:
        if prompt.prompt_id == one.prompt_id:
            raise next(errors)
        return original(prompt)

    monkeypatch.setattr(module, "document_of", fails_on_one)
    failed = worker.score(0, one, narrower=False, variants=False)
    assert failed == ("", "RuntimeError: no luck", False, "RuntimeError: no luck")
    failed = worker.score(0, one, narrower=False, variants=False)
    assert failed == ("", "no such row", False, "row 1: no such row.")
    assert worker.score(1, other, narrower=False, variants=False).final

    def fails(prompt: Prompt) -> dict[str, Any]:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(module, "document_of", fails)
    with pytest.raises(StudentError, match=r"prompt p0: the student fails on everything since"):
        worker.score(0, one, narrower=False, variants=False)


def test_what_may_pass_is_not_final(saved: str, tmp_path: Path, monkeypatch: Any) -> None:
    teacher_set = load_teacher_set(write_set(tmp_path, rows(prompts=1)))
    worker = worker_of(saved, teacher_set)
    whole = worker.score(0, teacher_set.prompts[0], narrower=False, variants=False)
    assert whole.final
    original: Callable[..., Any] = module.PromptScorer.score

    def out_of_memory(*of: Any) -> Any:
        return [replace(record, may_pass=True) for record in original(*of)]

    monkeypatch.setattr(module.PromptScorer, "score", out_of_memory)
    again = worker.score(0, teacher_set.prompts[0], narrower=False, variants=False)
    assert again == whole._replace(final=False)


def test_text_that_utf_8_cannot_hold_is_escaped(saved: str, tmp_path: Path) -> None:
    teacher_set = load_teacher_set(write_set(tmp_path, rows(prompts=1)))
    asked = replace(teacher_set.prompts[0], responses=(Response("QwQ", "So. Na\u00efve.", extra={
        "note": "\ud800"}),))  # fmt: skip
    line = worker_of(saved, teacher_set).score(0, asked, narrower=False, variants=False).line
    assert (
        "\\ud800" in line and json.loads(line.encode())["doc"]["responses"][0]["note"] == "\ud800"
    )


def test_a_student_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    teacher_set = load_teacher_set(write_set(tmp_path, rows(prompts=1)))
    with pytest.raises(StudentError, match=r"^hf, .*: the student cannot be loaded: .*\.$"):
        worker_of(str(tmp_path), teacher_set)
    check_back_end("hf")
    with pytest.raises(StudentError, match=r"^model: lm-eval has no such back end .*'hg'"):
        check_back_end("hg")
