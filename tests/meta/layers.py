"""Reads the imports of a package and says which of them break its layers.

The table of layers is the caller's.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One import statement: the module it stands in, the line, and the module it names."""

    module: str
    line: int
    target: str


def modules_of(roots: Mapping[str, Path]) -> dict[str, Path]:
    """Dotted name -> file of every module below the roots.

    Args:
        roots: package name -> its folder; a folder may be mapped into another package.
    """
    found: dict[str, Path] = {}
    for package, root in roots.items():
        for file in sorted(root.rglob("*.py")):
            parts = [package, *file.relative_to(root).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


def imports_of(modules: Mapping[str, Path]) -> Iterator[Import]:
    """Every import, inside functions and `if TYPE_CHECKING` too."""
    for module, file in modules.items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for target in _targets(node, package.split("."), modules):
                yield Import(module, getattr(node, "lineno", 0), target)


def _targets(node: ast.AST, package: list[str], modules: Collection[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            full = f"{module}.{alias.name}"  # `from lnat_plugins import engine` names a module
            yield full if full in modules else module
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
            yield node.args[0].value


def breaches(
    roots: Mapping[str, Path],
    layers: Sequence[str],
    allowed: Mapping[str, Collection[str]],
    free: Collection[str] = (),
) -> list[str]:
    """What is wrong with the imports below the roots, one sentence each, empty if nothing is.

    Args:
        roots: package name -> its folder; the first is the package itself.
        layers: the parts of the package (folders and files at its top), lowest first; an import
            may only name its own part or a lower one.
        allowed: third-party module -> the only parts that may import it.
        free: modules of the package whose import of the package itself is no breach (they read
            its version).
    """
    top = next(iter(roots))
    level = {part: place for place, part in enumerate(layers)}
    modules = modules_of(roots)
    wrong: list[str] = []
    edges: dict[str, set[str]] = {}
    for module, line, target in imports_of(modules):
        part = _part(module, top)
        where = f"{module}:{line}"
        if part not in level:
            wrong.append(f"{where}: `{part}` has no layer")
            continue
        package = target.split(".")[0]
        if package in allowed and part not in allowed[package]:
            wrong.append(f"{where}: `{part}` may not import {package}")
        if package != top or (target == top and module in free):
            continue
        wanted = _part(target, top)
        if wanted not in level:
            wrong.append(f"{where}: `{wanted}` has no layer")
        elif level[wanted] > level[part]:
            wrong.append(f"{where}: `{part}` imports `{wanted}`, which is above it")
        if target != module:
            edges.setdefault(module, set()).add(target)
    return wrong + [f"circle: {' -> '.join(path)}" for path in _circles(edges)]


def _part(module: str, top: str) -> str:
    return module.removeprefix(top).lstrip(".").split(".")[0] or "__init__"


def _circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """One circle for each way back to the module that the search is standing under."""
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
