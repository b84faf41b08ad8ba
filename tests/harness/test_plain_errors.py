"""Bad input: one line and exit code 2 under the command, an exception in a program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.model import LM

from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.harness import NaturalnessTask

from .lab import evaluate, hf, load, rows, write_set

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
    monkeypatch.setattr(lm, "tok_encode", lambda text, **_: [])
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

    def broken(text: str, **_: Any) -> list[int]:
        raise ZeroDivisionError

    monkeypatch.setattr(lm, "tok_encode", broken)
    monkeypatch.setattr(sys, "argv", ["lm_eval"])
    with pytest.raises(ZeroDivisionError):
        evaluate(tmp_path, lm)


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
