"""The command as a whole: version, help, and how errors are reported."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lnat_plugins import __version__
from lnat_plugins.cli import main
from lnat_plugins.cli.shared import print_result
from lnat_plugins.ranking.bootstrap import RESAMPLES


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"lnat-plugins {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for command in (
        "eval",
        "rank",
        "report",
        "select",
        "sft",
        "init",
        "tasks",
        "check",
        "plugins",
        "student",
    ):
        assert f"\n    {command} " in out


@pytest.mark.parametrize("arguments", [[], ["rank"], ["rnk"], ["rank", "out", "--boot", "3"]])
def test_wrong_arguments_end_with_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_an_error_is_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", str(tmp_path / "nowhere")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lnat: error: ")
    assert captured.err.count("\n") == 1
    assert "nowhere: no such file or folder" in captured.err


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from lnat_plugins.cli import main\n"
        "try:\n    main(['rank', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'lm_eval', 'datasets') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("command", ["rank", "report", "study"])
def test_the_commands_resample_as_often_as_the_functions(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their defaults are written out: help loads no numpy."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"--bootstrap_iters BOOTSTRAP_ITERS [^-]*default: {RESAMPLES}\b", words)


def test_a_terminal_without_arrows_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    print_result("↑ better\n")
    sys.stdout.flush()
    assert written.getvalue() == b"? better\n"
