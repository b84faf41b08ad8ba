"""The documents say what is there: the README's tree, the changelog, no loose ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lnat_plugins
from tests.meta.readme_tree import complaints, tree_of
from tests.meta.test_packaging import files_below

LONGEST = 300
CODE = ("lnat_plugins", "hooks", "tasks", "examples")
# The brackets keep the pattern from finding itself.
LOOSE_ENDS = re.compile(r"\b([T]ODO|[F]IXME|[X]XX|[H]ACK)\b")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ""}


def too_long(folder: Path) -> list[str]:
    """The Python files below `folder` that have more than LONGEST lines."""
    return [
        f"{file.relative_to(folder)}: {lines} lines"
        for file in sorted(folder.rglob("*.py"))
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > LONGEST
    ]


def loose_ends(root: Path, names: set[str]) -> list[str]:
    """The lines of those text files that hold a note to come back."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name in sorted(names)
        if (root / name).suffix in TEXT
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1)
        if LOOSE_ENDS.search(line)
    ]


def source_files(repo: Path, *folders: str) -> set[str]:
    return {f"{folder}/{name}" for folder in folders for name in files_below(repo / folder)}


@pytest.mark.parametrize("folder", CODE)
def test_no_file_is_too_long(repo: Path, folder: str) -> None:
    assert too_long(repo / folder) == []


def test_a_long_file_is_caught(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("x = 1\n" * LONGEST, encoding="utf-8")
    (tmp_path / "over.py").write_text("x = 1\n" * (LONGEST + 1), encoding="utf-8")
    assert too_long(tmp_path) == [f"over.py: {LONGEST + 1} lines"]


def test_the_readme_shows_the_tree(repo: Path) -> None:
    entries = tree_of((repo / "README.md").read_text(encoding="utf-8"))
    shown = [entry for entry in entries if entry.path.split("/")[0] in CODE]
    files = source_files(repo, *CODE)
    assert shown, "README.md draws no tree"
    assert complaints(shown, files) == []


README = """
```text
pkg/               the package
├── cli.py         the commands
├── steps/         cutting text
│   └── rules.py   where a sentence ends
└── student/       the bundled model
tasks/             what lm-eval reads
  a.yaml           one task
```
"""
FILES = {
    "pkg/__init__.py",
    "pkg/cli.py",
    "pkg/steps/__init__.py",
    "pkg/steps/rules.py",
    "pkg/student/config.json",
    "pkg/student/model.safetensors",
    "tasks/a.yaml",
}


def test_a_whole_tree_passes() -> None:
    assert complaints(tree_of(README), FILES) == []


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ("pkg/steps/blocks.py", "not in the tree: pkg/steps/blocks.py"),
        ("pkg/extra/code.py", "not in the tree: pkg/extra/code.py"),
        ("pkg/extra/__init__.py", "not in the tree: pkg/extra/__init__.py"),
        ("pkg/extra/data.json", "not in the tree: pkg/extra/data.json"),
        ("pkg/student/load.py", "not in the tree: pkg/student/load.py"),
        ("tasks/b.yaml", "not in the tree: tasks/b.yaml"),
    ],
)
def test_a_file_without_a_line_is_caught(extra: str, complaint: str) -> None:
    assert complaint in complaints(tree_of(README), FILES | {extra})


def test_a_line_without_a_file_is_caught() -> None:
    found = complaints(tree_of(README), FILES - {"tasks/a.yaml"} | {"tasks/__init__.py"})
    assert found == ["not in the repository: tasks/a.yaml"]


def test_a_line_that_says_nothing_is_caught() -> None:
    readme = README.replace("cli.py         the commands", "cli.py")
    assert complaints(tree_of(readme), FILES) == ["says nothing: pkg/cli.py"]


def test_the_changelog_has_this_version(repo: Path) -> None:
    changelog = (repo / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert lnat_plugins.__version__ in headings


def test_no_loose_ends(repo: Path) -> None:
    top = {file.name for file in repo.iterdir() if file.is_file() and file.name[0] != "."}
    names = source_files(repo, *CODE, "docs", "tests") | top
    assert loose_ends(repo, names) == []


def test_a_loose_end_is_caught(tmp_path: Path) -> None:
    note = "todo".upper()
    (tmp_path / "a.py").write_text(f"x = 1  # {note}: two\nhacker = 2\n", encoding="utf-8")
    assert loose_ends(tmp_path, {"a.py"}) == [f"a.py:1: x = 1  # {note}: two"]
