"""What SECURITY.md promises of the source: no pickled file is read, no remote code is turned on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lnat_plugins.harness.cache import SUFFIX

FOLDERS = ("lnat_plugins", "hooks", "examples")
READERS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "joblib.load", "dill.load",
    "dill.loads", "marshal.loads", "shelve.open", "SqliteDict",
}  # fmt: skip
OWN_PIPES = "lnat_plugins/processes.py"
"""Reads what processes that it started itself write to pipes of their own."""
READING_MODULES = {name.rpartition(".")[0] for name in READERS}


def breaches(source: str) -> Iterator[str]:
    """Calls that unpickle, and `trust_remote_code` given as true."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {one.arg: one.value for one in node.keywords}
            if name in READERS and not _is_true(given.get("weights_only")):
                yield f"{node.lineno}: {name}"
            if _is_true(given.get("trust_remote_code")):
                yield f"{node.lineno}: trust_remote_code"
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                named = isinstance(key, ast.Constant) and key.value == "trust_remote_code"
                if named and _is_true(value):
                    yield f"{value.lineno}: trust_remote_code"
        if isinstance(node, ast.ImportFrom) and node.module in READING_MODULES:
            yield from (
                f"{node.lineno}: {one.name}" for one in node.names
                if f"{node.module}.{one.name}" in READERS
            )  # fmt: skip


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_pickle_is_read_and_no_remote_code_turned_on(repo: Path, folder: str) -> None:
    found = {
        str(file.relative_to(repo)): broken
        for file in sorted((repo / folder).rglob("*.py"))
        if file != repo / OWN_PIPES
        if (broken := [*breaches(file.read_text(encoding="utf-8"))])
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "pickle.loads(x)",
        "from pickle import loads",
        "torch.load(path)",
        "SqliteDict(path)",
        "load_model(name, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
    ],
)
def test_a_breach_is_found(source: str) -> None:
    assert [*breaches(source)]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "json.loads(x)",
        "load_model(name, trust_remote_code=given)",
        "pickle.dumps(x)",
    ],
)
def test_what_is_no_breach_is_not_found(source: str) -> None:
    assert not [*breaches(source)]


def test_it_says_where_the_cache_lies(repo: Path) -> None:
    text = (repo / "SECURITY.md").read_text(encoding="utf-8")
    assert f"PATH{SUFFIX}" in text and "trust_remote_code" in text
