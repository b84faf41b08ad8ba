"""No example is left out: each public file in examples/ is named by a test of examples."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .scripts import EXAMPLES


def public(folder: Path) -> list[Path]:
    """The files that a user is meant to open, those of sub-folders included."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("_", ".")) and path.suffix != ".pyc"
    ]


def unnamed(names: Iterable[str], tests: Iterable[str]) -> list[str]:
    """The files that no test names: a script by its file or module name, others by file name."""
    text = "\n".join(tests)
    return [
        name
        for name in names
        if not re.search(rf"[\"'/]{re.escape(name.removesuffix('.py'))}(\.py)?[\"']", text)
    ]


def sources(repo: Path) -> list[str]:
    files = [*(repo / "tests/examples").glob("test_*.py"), *(repo / "tests/bundle").glob("*.py")]
    return [path.read_text(encoding="utf-8") for path in files if path.name != Path(__file__).name]


def test_every_example_is_named_by_a_test(repo: Path) -> None:
    assert unnamed([path.name for path in public(EXAMPLES)], sources(repo)) == []


def test_an_example_that_is_not_named_is_caught(repo: Path, tmp_path: Path) -> None:
    for name in ("sft.yaml", "rank_teachers.py", "ranks.py", "_private.py", "more.yaml"):
        (tmp_path / name).touch()
    names = [path.name for path in public(tmp_path)]
    assert unnamed(names, sources(repo)) == ["more.yaml", "ranks.py"]


def test_every_script_says_how_it_is_run() -> None:
    for path in public(EXAMPLES):
        name = path.relative_to(EXAMPLES).as_posix()
        text = path.read_text(encoding="utf-8")
        if not name.endswith((".jsonl", "tools.json")):
            assert f"examples/{name}" in text, f"{name} does not say how it is run"
        if name.endswith(".sh"):
            assert os.access(path, os.X_OK)
