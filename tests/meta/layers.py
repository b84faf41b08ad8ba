"""Reads the imports of a package and says which of them break its layers.

Knows nothing of the package's own layers: the table is the caller's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One import statement: the file, its component, the line, and the module it names."""

    file: Path
    component: str
    line: int
    target: str


def component_of(file: Path, root: Path) -> str:
    """The first name below the package: `scorer` for both scorer.py and scorer/backend.py."""
    return file.relative_to(root).parts[0].removesuffix(".py")


def imports_of(root: Path) -> Iterator[Import]:
    """Every import below `root`, inside functions and `if TYPE_CHECKING` too."""
    for file in sorted(root.rglob("*.py")):
        package = [root.name, *file.relative_to(root).parent.parts]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for target in _targets(node, package, root.name):
                line = getattr(node, "lineno", 0)
                yield Import(file, component_of(file, root), line, target)


def _targets(node: ast.AST, package: list[str], top: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        if module == top:  # `from lnat_plugins import engine` names a component
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            yield module
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
            yield node.args[0].value


def breaches(
    root: Path,
    layer: Mapping[str, int],
    allowed: Mapping[str, frozenset[str]],
    bare: frozenset[str],
) -> list[str]:
    """What is wrong with the imports below `root`, one sentence each, empty if nothing is.

    Args:
        root: the package's folder.
        layer: component -> layer; an import may only name its own layer or a lower one.
        allowed: third-party module -> the only components that may import it.
        bare: names in the package's `__init__` that any layer may import.
    """
    wrong: list[str] = []
    edges: dict[str, set[str]] = {}
    for file, component, line, target in imports_of(root):
        where = f"{file.relative_to(root.parent)}:{line}"
        if component not in layer:
            wrong.append(f"{where}: `{component}` has no layer")
            continue
        top, *rest = target.split(".")
        if component not in allowed.get(top, frozenset({component})):
            wrong.append(f"{where}: `{component}` may not import {top}")
        if top != root.name or target in bare:
            continue
        wanted = rest[0] if rest else "__init__"
        if wanted == component:
            continue
        edges.setdefault(component, set()).add(wanted)
        if wanted not in layer:
            wrong.append(f"{where}: `{wanted}` has no layer")
        elif layer[wanted] > layer[component]:
            wrong.append(f"{where}: `{component}` imports `{wanted}`, which is above it")
    return wrong + [f"cycle: {' -> '.join(path)}" for path in _cycles(edges)]


def _cycles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """One cycle for each way back to the component that the search is standing under."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for wanted in sorted(edges.get(name, ())):
                visit(wanted, [*path, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    return found
