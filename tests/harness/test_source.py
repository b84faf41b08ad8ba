"""Data paths start from the YAML's folder, however lm-eval was given the YAML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.config.evaluate_config import EvaluatorConfig
from lm_eval.tasks import TaskManager

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.harness.task import source_of

from .lab import CLASS, evaluate, hf, records, rows, write_set


@pytest.fixture(autouse=True)
def no_built_in_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's command scans its own tasks, which takes long and finds nothing of ours."""
    original = TaskManager.__init__

    def quick(self: TaskManager, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{"include_defaults": False, **kwargs})

    monkeypatch.setattr(TaskManager, "__init__", quick)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is not the set's folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def by_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """The tasks that the command line loads, without running it."""
    from lm_eval._cli.harness import HarnessCLI

    monkeypatch.setattr(sys, "argv", ["lm_eval", "run", *arguments])
    config = EvaluatorConfig.from_cli(HarnessCLI().parse_args())
    manager = config.process_tasks()
    return dict(manager.load(config.tasks)["tasks"])


def prompts_of(task: Any) -> int:
    return len(task.test_docs())


@pytest.mark.parametrize("given", ["absolute", "relative", "--tasks=", "twice"])
def test_a_path_on_the_command_line(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    spelled = {
        "absolute": ["--tasks", str(path)],
        "relative": ["--tasks", "../sets/my_teachers.yaml"],
        "--tasks=": [f"--tasks={path}"],
        "twice": ["--tasks", f"{path},{path}"],
    }
    tasks = by_command(monkeypatch, *spelled[given])
    assert prompts_of(tasks["my_teachers"]) == 3


@pytest.mark.parametrize("spelled", ["list", "arguments", "glob", "folder"])
def test_several_yamls_on_the_command_line(
    spelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_set(tmp_path / "sets", rows(prompts=1), "one")
    two = write_set(tmp_path / "sets", rows(prompts=2), "two")
    arguments = {
        "list": ["--tasks", f"{one},{two}"],
        "arguments": ["--tasks", str(one), str(two)],
        "glob": ["--tasks", str(tmp_path / "sets" / "*.yaml")],
        "folder": ["--tasks", str(tmp_path / "sets")],
    }
    tasks = by_command(monkeypatch, *arguments[spelled])
    assert {name: prompts_of(task) for name, task in tasks.items()} == {"one": 1, "two": 2}


@pytest.mark.parametrize("tasks", ["list", "text"])
def test_a_yaml_that_a_configuration_of_the_run_names(
    tasks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    run = {"model": "hf", "tasks": [str(path)] if tasks == "list" else str(path)}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    loaded = by_command(monkeypatch, "--config", str(tmp_path / "run.yaml"))
    assert prompts_of(loaded["my_teachers"]) == 3


def test_a_name_found_under_include_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "sets" / "deep", rows())
    options = ("--include_path", str(tmp_path / "sets"), "--tasks", "my_teachers")
    assert prompts_of(by_command(monkeypatch, *options)["my_teachers"]) == 3


def test_an_included_template_keeps_the_yamls_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    (tmp_path / "template").write_text(CLASS + "naturalness: {windows: [2]}\n")
    text = path.read_text().replace(CLASS, "include: ../template\n")
    path.write_text(text.replace("naturalness: {}\n", ""))
    task = by_command(monkeypatch, "--tasks", str(path))["my_teachers"]
    assert prompts_of(task) == 3
    assert task.run_settings()["windows"] == ["2"]


def test_two_sets_of_one_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder under --include_path holds a set that is called the same."""
    write_set(tmp_path / "shipped", rows(prompts=1))
    mine = write_set(tmp_path / "mine", rows(prompts=2))
    options = ("--include_path", str(tmp_path / "shipped"), "--tasks", str(mine))
    assert prompts_of(by_command(monkeypatch, *options)["my_teachers"]) == 2


def test_a_set_of_the_same_name_among_the_arguments_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_set(tmp_path / "other", rows(), block={"windows": [1]})
    mine = write_set(tmp_path / "mine", rows())
    monkeypatch.setattr(sys, "argv", ["lm_eval", str(other), str(mine)])
    assert source_of(read_yaml(mine)) == mine


def test_a_relative_path_from_a_program(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    write_set(tmp_path / "sets", rows())
    assert len(records(evaluate(tmp_path / "sets", hf(model, tokenizer), limit=1))) == 2


def test_a_dictionary_starts_from_the_working_directory(elsewhere: Path) -> None:
    from lnat_plugins.harness import NaturalnessTask

    write_set(elsewhere, rows())
    config = {"task": "inline", "dataset_path": "my_teachers.jsonl", "class": NaturalnessTask}
    tasks = TaskManager().load([config])["tasks"]
    assert prompts_of(tasks["inline"]) == 3
    assert source_of(config) == "<dict>"


def test_other_yamls_on_the_command_line_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path / "sets", rows())
    (tmp_path / "broken.yaml").write_text("task: [my_teachers\n")
    (tmp_path / "list.yaml").write_text("- my_teachers\n")
    monkeypatch.setattr(
        sys, "argv", ["x", str(tmp_path / "broken.yaml"), str(tmp_path / "list.yaml"), str(path)]
    )
    assert source_of(read_yaml(path)) == path


def test_an_error_names_the_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_set(tmp_path / "sets", rows(), block={"window": [4]})
    monkeypatch.setattr(sys, "argv", ["a_program", str(path)])
    with pytest.raises(ConfigError, match=f"{path}.*found 'window'.*Did you mean 'windows'"):
        TaskManager(include_path=str(tmp_path / "sets")).load(["my_teachers"])
