"""The code in docs/plugins.md is code that runs, and the tutorial is the package in tests/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lnat_plugins.plugins import load_plugins

from . import lab

_FILE = re.compile(r"^`([\w/]+\.\w+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed_files(text: str) -> dict[str, str]:
    """Path -> text of every block below a line that is nothing but a path."""
    return dict(_FILE.findall(text))


def files_of(package: Path) -> dict[str, str]:
    """Path -> text of every file of the package."""
    return {
        file.relative_to(package).as_posix(): file.read_text(encoding="utf-8")
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def text(repo: Path) -> str:
    return (repo / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_the_tutorial_prints_the_package_file_by_file(text: str, package: Path) -> None:
    assert printed_files(text) == files_of(package)


def test_a_tutorial_that_lags_behind_is_caught(text: str, package: Path) -> None:
    older = text.replace('"weakest_step"', '"worst_step"')
    assert printed_files(older) != files_of(package)
    assert printed_files(text.replace("`pyproject.toml`\n", "The project\n")) != files_of(package)


def test_the_listing_in_the_tutorial_is_what_is_printed(text: str) -> None:
    """test_third_party.py compares the same lines with the command's output."""
    assert "```text\nshouting\n    from: entry point of lnat-shouting-plugin 0.1.0\n" in text


def test_every_other_plugin_in_it_loads(text: str, tmp_path: Path) -> None:
    single = [code for code in _PYTHON.findall(text) if code not in printed_files(text).values()]
    plugins = [code for code in single if "@hookimpl" in code]
    assert len(plugins) == 3
    for code in plugins:
        (tmp_path / "my_plugin.py").write_text(code, encoding="utf-8")
        (loaded,) = load_plugins(["my_plugin.py"], base_dir=tmp_path).loaded[1:]
        assert loaded.implements
    for code in set(single) - set(plugins):
        exec(compile(code, "docs/plugins.md", "exec"), {})


def test_its_deciders_decide_and_its_observers_are_called(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = []
    for number, code in enumerate(_PYTHON.findall(text)):
        if "def lnat_select" in code:
            names.append(f"plugin_{number}.py")
            (tmp_path / names[-1]).write_text(code, encoding="utf-8")
    found = load_plugins(names, base_dir=tmp_path).select(
        lab.POOL, lab.Student(), lab.spec(strategy="best")
    )
    assert found.weights == (0.5, 0.5)
    assert capsys.readouterr().out == "QwQ: 2 rows\nR1: 0 rows\n"
