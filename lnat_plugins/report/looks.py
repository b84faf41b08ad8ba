"""Colour and shape of each teacher, the same in every plot, list and table of a page.

Colours are the variables of the page's style, so that plots follow dark mode and print without
being drawn again; for a picture or a notebook they are replaced by the light ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

COLOURS: Final = 8
"""Colours t0 … t7 of the style; pairs with a shape repeat after 88 teachers."""

SHAPES: Final = (
    ("circle", "●"), ("square", "■"), ("triangle-up", "▲"), ("diamond", "◆"),
    ("triangle-down", "▼"), ("cross", "✚"), ("triangle-right", "▶"), ("triangle-left", "◀"),
    ("M0,-1L.24,-.32L.95,-.31L.38,.12L.59,.81L0,.4L-.59,.81L-.38,.12L-.95,-.31L-.24,-.32Z", "★"),
    ("M-.9,0L-.45,-.78L.45,-.78L.9,0L.45,.78L-.45,.78Z", "⬢"),
    ("M0,-.95L.9,-.29L.56,.77L-.56,.77L-.9,-.29Z", "⬟"),
)  # fmt: skip
"""Names or paths that Vega draws, and the character that stands for each in text."""

# Control characters, half characters and those that are none.
_UNDRAWABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

DASHES: Final = ([1, 0], [7, 4], [2, 3], [10, 3, 2, 3])
"""Strokes of lines that are no teachers."""


class Looks:
    """Of these teachers, by their position in the list."""

    def __init__(self, teachers: Iterable[str]) -> None:
        self.teachers = tuple(teachers)
        self._index: Mapping[str, int] = {name: i for i, name in enumerate(self.teachers)}

    def colour(self, teacher: str) -> str:
        """The class that sets its colour."""
        return f"t{self._index[teacher] % COLOURS}"

    def variable(self, teacher: str) -> str:
        """The colour as a plot names it."""
        return f"var(--{self.colour(teacher)})"

    def shape(self, teacher: str) -> str:
        """The shape as Vega calls it."""
        return SHAPES[self._index[teacher] % len(SHAPES)][0]

    def glyph(self, teacher: str) -> str:
        """The shape as a character."""
        return SHAPES[self._index[teacher] % len(SHAPES)][1]


def drawable(value: Any) -> Any:
    """A plot's specification without the characters that end a process in vl-convert, such as NUL.

    They are replaced in names and values alike, so that both still fit each other.
    """
    if isinstance(value, str):
        return _UNDRAWABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {drawable(key): drawable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [drawable(entry) for entry in value]
    return value


def style() -> str:
    """The page's style."""
    return (files("lnat_plugins.report") / "templates" / "style.css").read_text(encoding="utf-8")


@cache
def light() -> Mapping[str, str]:
    """Variable -> its colour in the light style."""
    root = style().split("}", maxsplit=1)[0]
    return {f"var(--{name})": value for name, value in re.findall(r"--(\w+): (#\w{6})", root)}


def in_light(specification: Mapping[str, Any]) -> dict[str, Any]:
    """A plot's specification with light colours in place of the variables."""
    text = json.dumps(specification)
    for variable, value in light().items():
        text = text.replace(f'"{variable}"', f'"{value}"')
    found: dict[str, Any] = json.loads(text)
    return found
