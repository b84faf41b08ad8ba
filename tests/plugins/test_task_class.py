"""A class that a YAML names in place of the package's: one that lm-eval can run, or one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.plugins.task_class import check_own_class
from tests.teacher_set.conftest import jsonl, two

REST = "\ntask: t\ndataset_path: rows.jsonl\n"
MINE = """
from lnat_plugins.harness import NaturalnessTask
class MyNaturalnessTask(NaturalnessTask): ...
class OtherNaturalnessTask: ...
def make_NaturalnessTask(config): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two()), encoding="utf-8")
    for name, text in (
        ("mine", MINE), ("inner/mine", MINE), ("site/installed_sets/tasks", MINE),
        ("broken", "1 / 0"), ("quits", "raise SystemExit"),
    ):  # fmt: skip
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.py")
    return tmp_path


def named(folder: Path, name: str) -> Path:
    path = folder / "t.yaml"
    path.write_text(f"class: !function {name}{REST}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "lnat_plugins.harness.NaturalnessTask", "lnat_plugins.harness.task.NaturalnessTask",
        "mine.MyNaturalnessTask", "inner.mine.MyNaturalnessTask", "mine.NaturalnessTask",
        "installed_sets.tasks.MyNaturalnessTask",
    ],
)  # fmt: skip
def test_a_class_that_lm_eval_can_run(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By both names of the package's own; in a file beside the YAML, or an installed module."""
    monkeypatch.syspath_prepend(folder / "site")
    assert main(["check", str(named(folder, name))]) == 0, capsys.readouterr().err


def test_an_included_class_is_looked_for_beside_the_file_that_names_it(folder: Path) -> None:
    (folder / "mine.py").unlink()
    base = folder / "inner" / "base.yaml"
    base.write_text("class: !function mine.MyNaturalnessTask\n", encoding="utf-8")
    path = folder / "t.yaml"
    path.write_text(f"include: inner/base.yaml{REST}", encoding="utf-8")
    check_own_class(read_yaml(path), path)
    base.write_text("class: !function mine.YourNaturalnessTask\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no attribute 'YourNaturalnessTask'"):
        check_own_class(read_yaml(path), path)


NOT_IMPORTED = "the class cannot be imported: "
CORRECT = "Correct it, or write `class: !function lnat_plugins.harness.NaturalnessTask`."


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lnat_plugin.harness.NaturalnessTask", "ModuleNotFoundError: No module named '{first}'"),
        ("inner.gone.NaturalnessTask", "ModuleNotFoundError: No module named '{first}'"),
        ("broken.NaturalnessTask", "ZeroDivisionError: division by zero"),
        ("quits.NaturalnessTask", "SystemExit: "),
        ("json.NaturalnessTask", "AttributeError: module 'json' has no attribute '{last}'"),
    ],
)
def test_one_that_cannot_be_imported(
    folder: Path, name: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = named(folder, name)
    assert main(["check", str(path)]) == 2
    problem = problem.format(first=name.partition(".")[0], last=name.rpartition(".")[2])
    assert capsys.readouterr().err == (
        f"lnat: error: {path}: class: {NOT_IMPORTED}{problem} (found {name!r}). {CORRECT}\n"
    )


@pytest.mark.parametrize("name", ["mine.OtherNaturalnessTask", "mine.make_NaturalnessTask"])
def test_one_that_is_no_class_of_ours(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = named(folder, name)
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"lnat: error: {path}: class: this is no class derived from NaturalnessTask (found "
        f"{name!r}). Derive it: `from lnat_plugins.harness import NaturalnessTask`.\n"
    )


def test_a_module_that_is_a_pipe_is_not_waited_for(folder: Path) -> None:
    path = named(folder, "pipe.NaturalnessTask")
    with pytest.raises(ConfigError, match="class: this is a pipe, not a file"):
        check_own_class(read_yaml(path), path)
