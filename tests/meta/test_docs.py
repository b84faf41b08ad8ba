"""The documents say what is there: the README's tree, the changelog, no loose ends; file sizes."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

import pytest

import lnat_plugins
from tests.meta.test_packaging import files_below

LONGEST = 450
SHORTEST = 40
LONGEST_TREE = 20
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


def too_short(folder: Path) -> list[str]:
    """The modules with less than SHORTEST lines, but for those that only list things."""
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*.py"))
        if file.name not in ("__init__.py", "builtin.py", "hookspecs.py")
        and len(file.read_text(encoding="utf-8").splitlines()) < SHORTEST
    ]


def tree_of(readme: str) -> list[str]:
    """The lines of the README's tree: the fenced block that begins with the package."""
    found = re.search(r"^```text\n(lnat_plugins/.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return found.group(1).splitlines() if found else []


def folders_of(package: Path) -> list[str]:
    return sorted(file.parent.name for file in package.glob("*/__init__.py"))


def unnamed(tree: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The folders that have no line in the tree."""
    named = {line.split()[0] for line in tree}
    return [folder for folder in folders if f"{folder}/" not in named]


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


@pytest.mark.parametrize("folder", ["lnat_plugins", "hooks"])
def test_no_module_is_three_lines_of_logic(repo: Path, folder: str) -> None:
    assert too_short(repo / folder) == []


def test_a_short_module_is_caught(tmp_path: Path) -> None:
    for name in ("__init__.py", "ends.py", "under.py"):
        (tmp_path / name).write_text("x = 1\n" * (SHORTEST - (name != "ends.py")), "utf-8")
    assert too_short(tmp_path) == ["under.py"]


def test_a_long_file_is_caught(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("x = 1\n" * LONGEST, encoding="utf-8")
    (tmp_path / "over.py").write_text("x = 1\n" * (LONGEST + 1), encoding="utf-8")
    assert too_long(tmp_path) == [f"over.py: {LONGEST + 1} lines"]


def test_the_readme_names_every_folder_in_few_lines(repo: Path) -> None:
    tree = tree_of((repo / "README.md").read_text(encoding="utf-8"))
    assert 0 < len(tree) <= LONGEST_TREE
    assert unnamed(tree, folders_of(repo / "lnat_plugins")) == []


def test_a_folder_without_a_line_is_caught() -> None:
    tree = ["lnat_plugins/   the package", "  steps/   cuts", "  engine_room/   numbers"]
    assert unnamed(tree, ["engine", "steps"]) == ["engine"]


def missing_imports(text: str) -> list[str]:
    """What Python blocks of a document import from the package and is not there."""
    found = []
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lnat_plugins"):
                try:
                    module = importlib.import_module(str(node.module))
                except ImportError:
                    found.append(str(node.module))
                    continue
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found += [name for name in names if not hasattr(module, name.rpartition(".")[2])]
    return found


def test_documents_import_what_is_there(repo: Path) -> None:
    files = [repo / "README.md", *sorted((repo / "docs").rglob("*.md"))]
    found = {file.name: missing_imports(file.read_text(encoding="utf-8")) for file in files}
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_an_import_of_what_is_gone_is_caught() -> None:
    text = (
        "```python\nfrom lnat_plugins import score, scoer\nfrom lnat_plugins.gone import x\n```\n"
    )
    assert missing_imports(text) == ["lnat_plugins.scoer", "lnat_plugins.gone"]


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


def test_the_citation_is_of_this_version_and_names_the_paper(repo: Path) -> None:
    import yaml

    found = yaml.safe_load((repo / "CITATION.cff").read_text(encoding="utf-8"))
    assert found["version"] == lnat_plugins.__version__
    assert found["cff-version"] == "1.2.0" and found["authors"] and found["message"]
    assert [one["value"] for paper in found["references"] for one in paper["identifiers"]] == [
        "arXiv:2510.03988"
    ]
