"""`lnat student`: the path alone, or an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from lnat_plugins.cli import info as _student
from lnat_plugins.cli import main


def test_the_path_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_student, "files", lambda package: tmp_path)
    (tmp_path / "student").mkdir()
    assert main(["student"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'student'}\n"


def test_a_missing_student_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_student, "files", lambda package: tmp_path)
    assert main(["student"]) == 2
    assert "the bundled student is missing" in capsys.readouterr().err
