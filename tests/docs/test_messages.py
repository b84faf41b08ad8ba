"""Every message that docs/troubleshooting.md quotes still stands in the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ANY = "…"
_CELL = re.compile(r"^\| (?:`` (.+?) ``|`(.+?)`) \|", re.MULTILINE)


def quoted(page: str) -> list[str]:
    """The messages of the page: the code in the first cells of its tables."""
    return [one or other for one, other in _CELL.findall(page)]


def texts_of(source: str) -> list[str]:
    """The texts of a module, with `…` for what is filled in, and joined where `+` joins them."""
    return [text for node in ast.walk(ast.parse(source)) if (text := _text(node))]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or ANY for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return (left or ANY) + (right or ANY) if left or right else ""
    return ""


def missing(messages: Iterable[str], texts: list[str]) -> list[str]:
    """The messages that no text contains."""
    whole = "\n".join(text.replace("\n", " ") for text in texts)
    return [
        message
        for message in messages
        if not re.search(".*".join(map(re.escape, message.split(ANY))), whole)
    ]


@pytest.fixture(scope="module")
def texts(repo: Path) -> list[str]:
    files = [*(repo / "lnat_plugins").rglob("*.py"), *(repo / "hooks").rglob("*.py")]
    return [text for file in files for text in texts_of(file.read_text(encoding="utf-8"))]


def test_every_message_is_in_the_sources(repo: Path, texts: list[str]) -> None:
    messages = quoted((repo / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))
    assert len(messages) > 60
    assert missing(messages, texts) == []


def test_a_message_that_is_gone_is_caught() -> None:
    source = 'raise E(f"the {kind} is {x!r}, " "so it fails" + more, where=here)\n'
    page = "| `the … is …, so it fails` | c | d |\n| `` `x` fails `` | c | d |\n| plain | c | d |\n"
    assert missing(quoted(page), texts_of(source)) == ["`x` fails"]
