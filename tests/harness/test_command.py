"""Errors as one line, and the whole `lm_eval` command (slow: it scans all tasks of lm-eval)."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval import evaluator
from lm_eval.api.model import LM
from lm_eval.config.evaluate_config import EvaluatorConfig

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.harness import NaturalnessTask
from lnat_plugins.harness.command import own_tasks_only, without_gits_message
from lnat_plugins.scoring.rows import Renderer, RowTokens
from lnat_plugins.scoring.samples import read_scored_set
from lnat_plugins.scoring.tokens import tokenise
from tests.helpers_programs import LM_EVAL, LNAT, run_program
from tests.helpers_students import assert_near

from .lab import evaluate, hf, load, rows, truths, write_set

COMMANDS = ["/venv/bin/lm_eval", "lm-eval", "/x/site-packages/lm_eval/__main__.py", "lm_eval.exe"]
PROGRAMS = ["my_script.py", "/x/lm_eval_wrapper.py", "/x/other/__main__.py", "lm_eval/mine.py", ""]


def without(column: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != column} for row in rows()]


@pytest.mark.parametrize("program", COMMANDS)
def test_the_command_ends_with_one_line(
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(tmp_path, without("response"))
    monkeypatch.setattr(sys, "argv", [program])
    with pytest.raises(SystemExit) as stopped:
        load(tmp_path)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("lnat: error: ")
    assert "my_teachers.jsonl" in line and "'response'" in line


def test_a_misspelled_class_ends_the_command_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another name, such as one of a module, and a program keep the AttributeError."""
    from lnat_plugins import harness

    monkeypatch.setattr(sys, "argv", ["lm_eval"])
    with pytest.raises(SystemExit) as stopped:
        harness.NaturalnesTask  # noqa: B018
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "lnat: error: a YAML's `class`: there is no class 'NaturalnesTask' in lnat_plugins."
        "harness. Did you mean 'NaturalnessTask'? known: NaturalnessTask.\n"
    )
    for name in ("task", "command", "__path__x", "results"):
        assert not hasattr(harness, name) or sys.modules[f"lnat_plugins.harness.{name}"]
    monkeypatch.setattr(sys, "argv", ["program"])
    assert not hasattr(harness, "NaturalnesTask")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gets_the_exception(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, without("response"))
    monkeypatch.setattr(sys, "argv", [program])
    with pytest.raises(DataError, match="my_teachers.jsonl.*response"):
        load(tmp_path)


def test_a_program_without_arguments_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an interpreter that is part of another program."""
    write_set(tmp_path, without("response"))
    monkeypatch.setattr(sys, "argv", [])
    with pytest.raises(DataError):
        load(tmp_path)


@pytest.mark.parametrize(
    ("block", "keys", "message"),
    [
        ({"windows": [4, "4"]}, {}, "duplicate window"),
        ({"windows": ["four"]}, {}, "unknown window"),
        ({"steps": "sentense"}, {}, "sentence"),
        ({"step": "line"}, {}, "Did you mean 'steps'"),
        ({"steps": "supplied"}, {}, "has no steps"),
        ({}, {"dataset_path": "missing.jsonl"}, "missing.jsonl"),
        ({}, {"num_fewshot": 2}, "no few-shot examples"),
        ({}, {"naturalnes": {}}, "naturalness"),
    ],
)
def test_each_bad_setting_is_one_of_our_errors(
    block: dict[str, Any], keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(), block=block, **keys)
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_error_while_scoring_is_one_line_too(
    tmp_path: Path,
    tokenizer: Any,
    model: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(tmp_path, [{**row, "prompt": "x"} for row in rows(prompts=1)], target_delimiter="")
    lm = hf(model, tokenizer)
    nothing = RowTokens(np.array([], int), tokenise(tokenizer, "x"), np.array([], int))
    monkeypatch.setattr(Renderer, "response", lambda *_: nothing)
    with pytest.raises(StudentError, match="prompt p0, teacher QwQ: the prompt has no tokens"):
        evaluate(tmp_path, lm)
    monkeypatch.setattr(sys, "argv", ["lm_eval"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        evaluate(tmp_path, lm)
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "lnat" in line]
    assert lines[-1].startswith("lnat: error: prompt p0")


def test_other_exceptions_keep_their_traceback(
    tmp_path: Path, tokenizer: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, rows(prompts=1))
    lm = hf(model, tokenizer)

    def broken(*_: Any) -> RowTokens:
        raise ZeroDivisionError

    monkeypatch.setattr(Renderer, "response", broken)
    monkeypatch.setattr(sys, "argv", ["lm_eval"])
    with pytest.raises(ZeroDivisionError):
        evaluate(tmp_path, lm)


def test_git_is_silent_where_there_is_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    hosts = evaluator.get_git_commit_hash
    with without_gits_message():
        assert evaluator.get_git_commit_hash() is None
    assert capfd.readouterr() == ("", "")
    assert evaluator.get_git_commit_hash is hosts
    # The host's own call is what it keeps silent, and finds the same.
    assert hosts() is None
    assert "fatal" in capfd.readouterr().err
    monkeypatch.chdir(Path(__file__).parent)
    monkeypatch.delenv("GIT_CEILING_DIRECTORIES")
    commit = hosts()
    with without_gits_message():
        assert evaluator.get_git_commit_hash() == commit


def test_the_request_reaches_models_that_were_there_before(tmp_path: Path) -> None:
    """And is put on lm-eval's base class once, however many tasks are loaded."""

    class Early(LM):
        def loglikelihood(self, requests: Any) -> Any: ...

        loglikelihood_rolling = generate_until = loglikelihood

    early = Early()
    write_set(tmp_path, rows())
    first = load(tmp_path)
    method = early.naturalness
    second = load(tmp_path)
    assert isinstance(first, NaturalnessTask) and isinstance(second, NaturalnessTask)
    assert early.naturalness == method
    assert Early.naturalness is LM.naturalness


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def student_folder(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


COMMANDS = {"lm_eval, few tasks": [LM_EVAL, "run"], "lnat eval": [LNAT, "eval"]}


def lm_eval(
    student: Path, tasks: Path, out: Path, command: str = ""
) -> subprocess.CompletedProcess[str]:
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={student},dtype=float32",
        "--tasks": str(tasks),
        "--limit": "2",
        "--device": "cpu",
        "--output_path": str(out),
    }
    arguments = [*itertools.chain.from_iterable(options.items()), "--log_samples"]
    if command:
        code, *first = COMMANDS[command]
        return run_program(code, [*first, *arguments], cwd=out.parent)
    return subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *arguments],
        cwd=out.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_a_run_prints_a_table_and_writes_the_samples(
    student_folder: Path, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    path = write_set(tmp_path / "sets", rows())
    done = lm_eval(student_folder, path, tmp_path / "out")
    assert done.returncode == 0, done.stderr[-4000:]
    expected = truths(model, tokenizer, rows(prompts=2))
    cells = [
        [cell.strip() for cell in line.split("|")]
        for line in done.stdout.splitlines()
        if line.startswith("|") and "/" in line
    ]
    values = {row[5]: (row[6], row[7]) for row in cells}
    for teacher in ("QwQ", "R1"):
        own = [one.local("4") for (_, name), one in expected.items() if name == teacher]
        arrow, value = values[f"local_naturalness/{teacher}"]
        assert arrow == "↑"
        assert_near(float(value), statistics.fmean(own), 1e-3)
        assert values[f"coverage/{teacher}"] == ("", "1.0000")
    found = read_scored_set([tmp_path / "out"])
    assert found.prompts == ("p0", "p1")
    assert Path(found.student).name == student_folder.name
    for row in found.rows:
        assert row.record.path == "packed"
        assert_near(row.record.sums["4"], expected[row.prompt_id, row.teacher].sums["4"])


def test_a_missing_column_is_one_line_and_exit_code_2(student_folder: Path, tmp_path: Path) -> None:
    bad = [{name: value for name, value in row.items() if name != "response"} for row in rows()]
    path = write_set(tmp_path / "sets", bad)
    done = lm_eval(student_folder, path, tmp_path / "out", "lm_eval, few tasks")
    assert done.returncode == 2
    ours = [line for line in done.stderr.splitlines() if line.startswith("lnat: error: ")]
    assert len(ours) == 1
    assert "my_teachers.jsonl" in ours[0] and "'response'" in ours[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.glob("out/**/*.json*"))


@pytest.mark.parametrize("command", ["lm_eval, few tasks", "lnat eval"])
def test_scores_that_could_not_be_saved_are_an_error(
    command: str, student_folder: Path, tmp_path: Path
) -> None:
    """The harness logs a warning, prints its table and ends with 0."""
    path, out = write_set(tmp_path / "sets", rows(prompts=1)), tmp_path / "out"
    out.mkdir()
    # where the harness makes a folder for the student
    (out / str(student_folder).replace("/", "__")).write_text("in the way", encoding="utf-8")
    done = lm_eval(student_folder, path, out, command)
    assert "|local_naturalness" in done.stdout.replace(" ", ""), done.stderr[-4000:]
    assert done.returncode == 2, done.stderr[-4000:]
    last = [line for line in done.stderr.splitlines() if line.startswith("lnat: ")][-1]
    assert last.startswith(f"lnat: error: {out}: the harness could not save its files (found ")
    assert "exists" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("included", [False, True])
def test_a_run_of_teacher_sets_alone_needs_no_other_task(tmp_path: Path, included: bool) -> None:
    path = write_set(tmp_path / "sets", rows())
    tasks = ["local_naturalness", path.stem if included else str(path)]
    config = EvaluatorConfig(tasks=tasks, include_path=str(path.parent) if included else None)
    with own_tasks_only():
        manager = config.process_tasks({"note": 1})
    assert manager.metadata == {"note": 1}
    assert "local_naturalness" in manager.all_tasks and len(manager.all_tasks) < 20
    found = [task if isinstance(task, str) else task["task"] for task in config.tasks]
    assert found == ["local_naturalness", path.stem]
