"""`lnat plugins`, and `--plugins` where a command can use some."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from tests.helpers_samples import teacher_table, write_run
from tests.plugins.lab import write, write_package

METRIC = """\
from dataclasses import replace
from lnat_plugins.metrics import get_metric

@hookimpl
def lnat_register(registry):
    registry.add_metric(replace(get_metric("n_tokens"), name="wordy", higher_is_better=True))
"""
SPLITTER = """\
from lnat_plugins import Splitter

@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("clauses", "1", lambda text: [(0, len(text))]))
"""


def test_the_built_in_plugins_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(
        "lnat_plugins.hooks.splitters\n"
        "    from: built in\n"
        "    implements: lnat_register\n"
        "    splitters: sentence, line, paragraph, turn\n"
    )
    assert captured.out.endswith(
        "lnat_plugins.hooks.select\n    from: built in\n    implements: lnat_select\n"
    )


def test_named_ones_are_listed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.py", METRIC)
    write(tmp_path / "b.py", SPLITTER)
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "--plugins", "a.py, b.py"]) == 0
    out = capsys.readouterr().out
    assert "\na.py\n" in out
    assert f"    from: file {tmp_path / 'b.py'}\n" in out
    assert out.endswith("    splitters: clauses\n")


def test_a_named_one_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--plugins", "gone.py"]) == 2
    assert capsys.readouterr().err.startswith("lnat: error: --plugins: the file cannot be read")


def test_an_installed_one_that_fails_is_one_line_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package(tmp_path, "lnat-cli-faulty", "import lnat_gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["plugins"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("lnat: warning: a plugin is left out: mine (entry point of lnat-cli-fau")
    assert (
        "mine\n    from: entry point of lnat-cli-faulty 1.0\n    left out: mine (" in captured.out
    )


def test_the_warning_comes_before_an_error_that_it_explains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package(tmp_path, "lnat-cli-broken", "import lnat_gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    write_run(tmp_path, teacher_table({"A": [-1.0], "B": [-2.0]}))
    assert main(["rank", str(tmp_path), "--metric", "wordy"]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("lnat: warning: a plugin is left out")
    assert error.startswith("lnat: error: --metric: unknown metric 'wordy'")


def test_rank_takes_a_metric_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = write(tmp_path / "a.py", METRIC)
    write_run(tmp_path / "out", teacher_table({"A": [-1.0, -2.0], "B": [-2.0, -1.0]}))
    arguments = ["rank", str(tmp_path / "out"), "--bootstrap_iters", "10", "--metric", "wordy"]
    assert main([*arguments, "--plugins", str(plugin)]) == 0
    assert "metric: wordy (tokens, higher is better)" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "unknown metric 'wordy'" in capsys.readouterr().err


def test_rank_and_plugins_load_no_torch(tmp_path: Path) -> None:
    write_run(tmp_path / "out", teacher_table({"A": [-1.0, -2.0], "B": [-2.0, -1.0]}))
    code = (
        "import sys\n"
        "from lnat_plugins.cli import main\n"
        f"assert main(['rank', {str(tmp_path / 'out')!r}]) == 0\n"
        "assert main(['plugins']) == 0\n"
        "print([m for m in ('torch', 'lm_eval', 'datasets', 'transformers') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("[]\n"), done.stderr
