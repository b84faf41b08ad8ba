"""`lnat eval` checks the student's path and leaves everything else to lm_eval."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.cli import main
from lnat_plugins.harness import command


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness's set-up outlives a test and hides its log from the others."""
    monkeypatch.setattr(command, "setup_logging", lambda: None)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been run: the harness's parsed arguments and its argv."""
    seen: list[Any] = []
    monkeypatch.setattr(
        command.HarnessCLI, "execute", lambda self, args: seen.append((args, list(sys.argv)))
    )
    return seen


def arguments(student: str) -> list[str]:
    return ["eval", "--model", "hf", "--model_args", f"pretrained={student}", "--tasks", "x"]


@pytest.mark.parametrize("student", ["/no/such/folder", "./none", "~/none", "a/b/c"])
def test_a_path_that_does_not_exist_is_one_line(
    student: str, executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(student)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("lnat: error: --model_args pretrained: the student's folder does not")
    assert executed == []


def test_a_folder_without_a_model_is_one_line(
    tmp_path: Path, executed: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(str(tmp_path))) == 2
    assert "has no config.json" in capsys.readouterr().err
    assert executed == []


@pytest.mark.parametrize("student", ["gpt2", "Qwen/Qwen2.5-7B-Instruct"])
def test_a_hub_name_is_left_to_the_harness(student: str, executed: list[Any]) -> None:
    before = list(sys.argv)
    assert main([*arguments(student), "--limit", "3"]) == 0
    ((parsed, argv),) = executed
    assert parsed.model_args["pretrained"] == student
    assert parsed.limit == 3
    assert argv[0] == "lm_eval"  # so that errors of the task end in one line too
    assert sys.argv == before


def test_a_folder_with_a_model_is_let_through(tmp_path: Path, executed: list[Any]) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert main(arguments(str(tmp_path))) == 0
    assert len(executed) == 1


def test_the_harness_refuses_its_own_arguments_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--no_such_flag"]) == 2
    assert "no_such_flag" in capsys.readouterr().err
