"""What a program calls: the same definitions as the commands, plugins included."""

from __future__ import annotations

from pathlib import Path

import pytest

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import ConfigError
from lnat_plugins.plugins import load_with_plugins
from lnat_plugins.teacher_set.config import parse_task

PLUGIN = """\
from lnat_plugins import Loader, Splitter, hookimpl

def read(path, shown):
    return [{"prompt": "p", "teacher": t, "response": "r"} for t in path.read_text().split()]

@hookimpl
def lnat_register(registry):
    registry.add_loader(Loader("names", (".names",), read))
    registry.add_splitter(Splitter("whole", "1", lambda text: [(0, len(text))]))
"""
KEYS = {"task": "t", "dataset_path": "rows.names"}
BLOCK = {"plugins": ["mine.py"], "steps": "whole"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "rows.names").write_text("QwQ R1")
    (tmp_path / "t.yaml").write_text(
        "task: t\ndataset_path: rows.names\nnaturalness: {plugins: [mine.py], steps: whole}\n"
    )
    return tmp_path


def test_a_yaml_brings_its_plugins(folder: Path) -> None:
    found = load_teacher_set(folder / "t.yaml")
    assert found.teachers == ("QwQ", "R1")
    assert found.settings.steps == "whole"
    assert load_teacher_set(str(folder / "t.yaml")) == found


def test_a_dictionary_starts_from_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    config = {**KEYS, "naturalness": BLOCK}
    found = load_teacher_set(config)
    assert found.n_responses == 2
    assert load_with_plugins(parse_task(config)) == found


def test_a_plugin_that_is_not_there_names_the_yaml(folder: Path) -> None:
    (folder / "mine.py").unlink()
    with pytest.raises(ConfigError, match=r"t\.yaml: naturalness: plugins: the file cannot be"):
        load_teacher_set(folder / "t.yaml")
