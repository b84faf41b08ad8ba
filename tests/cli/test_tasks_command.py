"""`lnat tasks`: the listing and the check."""

from __future__ import annotations

from pathlib import Path

import pytest

from lnat_plugins.cli import main
from tests.helpers_samples import write_lines
from tests.plugins.lab import write_package

YAML = """\
task: mine
class: !function lnat_plugins.harness.NaturalnessTask
dataset_path: json
dataset_kwargs:
  data_files: rows.jsonl
test_split: train
metadata:
  version: 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(YAML, encoding="utf-8")
    rows = [
        {"prompt_id": f"p{i}", "prompt": "What?", "teacher": teacher, "response": "So. Yes."}
        for i in range(2)
        for teacher in ("A", "B")
    ]
    write_lines(tmp_path / "rows.jsonl", rows)
    return tmp_path


def test_a_folder_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--include_path", str(folder)]) == 0
    out = capsys.readouterr().out
    file = folder / "mine.yaml"
    assert f"\nmine\n    data: rows.jsonl\n    file: {file}\n" in out
    assert out.startswith("local_naturalness")


def test_a_broken_yaml_does_not_vanish(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.yaml").write_text(YAML + "naturalness:\n  stepz: line\n", encoding="utf-8")
    assert main(["tasks", "--include_path", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "cannot be used: " in out
    assert "stepz" in out


def test_a_usable_yaml_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--check", str(folder / "mine.yaml")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder / 'mine.yaml'}: ok\ntask: mine, prompts: 2, data: ")
    assert "teacher A: 2 responses\n" in out


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("metrics: [rsrr]", "unknown metric 'rsrr'"),
        ("metrics: [rsr, car]", "rows.jsonl row 1: metric 'car' needs a reward"),
        ("windows: [4]\n  metrics: [ifd]", "metric 'ifd' reads the window 'global'"),
    ],
)
def test_metrics_are_checked_too(
    folder: Path, capsys: pytest.CaptureFixture[str], block: str, message: str
) -> None:
    path = folder / "bad.yaml"
    path.write_text(f"{YAML}naturalness:\n  {block}\n", encoding="utf-8")
    assert main(["tasks", "--check", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_an_unusable_yaml_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rows.jsonl").unlink()
    assert main(["tasks", "--check", str(folder / "mine.yaml")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lnat: error: ")
    assert captured.out == ""


SPLITTER = """\
from lnat_plugins import Splitter, hookimpl

@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("whole", "1", lambda text: [(0, len(text))]))
"""


def test_a_check_loads_the_plugins_of_the_yaml(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/")
    (folder / "mine.py").write_text(SPLITTER, encoding="utf-8")
    block = "naturalness: {steps: whole%s}\n"
    (folder / "mine.yaml").write_text(YAML + block % ", plugins: [mine.py]", encoding="utf-8")
    assert main(["tasks", "--check", str(folder / "mine.yaml")]) == 0
    (folder / "mine.yaml").write_text(YAML + block % "", encoding="utf-8")
    assert main(["tasks", "--check", str(folder / "mine.yaml")]) == 2
    assert "naturalness: steps: unknown steps setting" in capsys.readouterr().err


def test_a_listing_knows_the_splitters_of_installed_packages(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.yaml").write_text(YAML + "naturalness: {steps: whole}\n", encoding="utf-8")
    arguments = ["tasks", "--include_path", str(folder)]
    main(arguments)
    assert "cannot be used: " in capsys.readouterr().out
    site = folder / "site"
    site.mkdir()
    write_package(site, "lnat-whole", SPLITTER)
    monkeypatch.syspath_prepend(site)
    main(arguments)
    assert "cannot be used: " not in capsys.readouterr().out


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--include_path", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err
