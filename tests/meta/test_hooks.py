"""Every hook is documented with its exact signature, and implemented by a test."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pluggy
import pytest

from lnat_plugins.plugins import hookspecs

Hooks = Mapping[str, Callable[..., Any]]

_FENCE = re.compile(r"^```text\n(.*?)\n^```$", re.MULTILINE | re.DOTALL)


def hooks_of(module: Any) -> dict[str, Callable[..., Any]]:
    """The functions of a module that are marked as specifications."""
    manager = pluggy.PluginManager("lnat_plugins")
    return {
        name: value
        for name, value in vars(module).items()
        if manager.parse_hookspec_opts(module, name) is not None
    }


def signature(name: str, hook: Callable[..., Any]) -> str:
    """`hook(argument: Type) -> Type`; annotations that are kept as text lose their quotes."""
    return name + str(inspect.signature(hook)).replace("'", "")


def undocumented(hooks: Hooks, text: str) -> list[str]:
    """The hooks without a section of their own that begins with their exact signature."""
    wrong = []
    for name, hook in hooks.items():
        _, heading, section = text.partition(f"\n### `{name}`\n")
        fence = _FENCE.search(section.partition("\n### ")[0]) if heading else None
        if fence is None or fence[1] != signature(name, hook):
            wrong.append(name)
    return wrong


def untested(hooks: Hooks, sources: Iterable[str]) -> list[str]:
    """The hooks that no test implements: a function of that name under `@hookimpl`."""
    implemented = {
        node.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and any("hookimpl" in ast.unparse(mark) for mark in node.decorator_list)
    }
    return sorted(set(hooks) - implemented)


def undescribed(hooks: Hooks) -> list[str]:
    """The hooks without a docstring, or with types that do not resolve."""
    wrong = []
    for name, hook in hooks.items():
        types = typing.get_type_hints(hook)
        if not hook.__doc__ or set(types) != {*inspect.signature(hook).parameters, "return"}:
            wrong.append(name)
    return wrong


@pytest.fixture
def hooks() -> Hooks:
    found = hooks_of(hookspecs)
    assert list(found) == ["lnat_register", "lnat_select", "lnat_selected"]
    return found


def test_every_hook_is_documented_with_its_signature(hooks: Hooks, repo: Path) -> None:
    text = (repo / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert undocumented(hooks, text) == []


def test_every_hook_is_implemented_by_a_test(hooks: Hooks, repo: Path) -> None:
    tests = (repo / "tests").rglob("test_*.py")
    assert untested(hooks, (file.read_text(encoding="utf-8") for file in tests)) == []


def test_every_hook_says_what_it_is_and_takes(hooks: Hooks) -> None:
    assert undescribed(hooks) == []


def test_errors_show_the_same_signature(hooks: Hooks) -> None:
    from lnat_plugins.plugins import load as implementations

    for name, hook in hooks.items():
        assert implementations.signature(name) == signature(name, hook)


# that the checks can fail


def lnat_paint(wall: Path, colour: str = "red") -> Path | None:
    """Paint it."""


PAINT = {"lnat_paint": lnat_paint}
DOCUMENTED = (
    "\n### `lnat_paint`\n\n```text\n"
    "lnat_paint(wall: Path, colour: str = red) -> Path | None\n"
    "```\n\nPaints.\n"
)


def test_a_documented_hook_passes() -> None:
    assert undocumented(PAINT, DOCUMENTED) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        DOCUMENTED.replace("colour", "color"),
        DOCUMENTED.replace(" | None", ""),
        DOCUMENTED.replace("### `lnat_paint`", "### `lnat_paints`"),
        DOCUMENTED.replace("\n```text", "\n### `lnat_other`\n\n```text"),
    ],
)
def test_a_hook_without_its_signature_is_caught(text: str) -> None:
    assert undocumented(PAINT, text) == ["lnat_paint"]


def test_a_hook_without_a_test_is_caught() -> None:
    assert untested(PAINT, ["@hookimpl\ndef lnat_paint(wall): pass"]) == []
    assert untested(PAINT, ["class A:\n  @hookimpl(trylast=True)\n  def lnat_paint(x): ..."]) == []
    for source in ("def lnat_paint(wall): pass", "@hookimpl\ndef lnat_paints(wall): pass", ""):
        assert untested(PAINT, [source]) == ["lnat_paint"]


def test_a_hook_that_says_nothing_is_caught() -> None:
    def bare(wall: Path) -> None: ...

    def vague(wall) -> None:  # type: ignore[no-untyped-def]
        """Paint it."""

    assert undescribed({"bare": bare, "vague": vague, **PAINT}) == ["bare", "vague"]
