"""Tables of a page as data: cells with their look, decimals, and why they are undefined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from lnat_plugins import formatting

_NO_REASON: Final = "no reason was recorded"

_EDGES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Sizes at which the shade of a cell changes."""


class Figure(NamedTuple):
    """A number with its decimals, and the reason if it is undefined (NaN)."""

    value: float
    digits: int = 4
    reason: str = _NO_REASON


class Teacher(NamedTuple):
    """A teacher's name, which stands behind its shape and colour."""

    name: str


class Whole(NamedTuple):
    """Text that is not broken over lines."""

    text: str


Cell = str | int | Figure | Teacher | Whole


class Shown(NamedTuple):
    """A cell as it is written.

    Attributes:
        text: the words or digits.
        classes: of the page's style; "" for none.
        title: shown on hover; "" for none.
        teacher: whose shape stands before the text; "" for none.
    """

    text: str
    classes: str = ""
    title: str = ""
    teacher: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column heads its rows.

    Attributes:
        caption: stands above it.
        headers: one a column.
        rows: cells; text to the left, figures and counts to the right.
        shade: whether figures, from -1 to 1, colour their cell: h0 to h5 by size, g1 to g5 below 0.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    shade: bool = False

    @property
    def numeric(self) -> frozenset[int]:
        """The columns that hold figures or counts."""
        return frozenset(
            column
            for row in self.rows
            for column, cell in enumerate(row)
            if column and isinstance(cell, int | Figure)
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why figures are undefined, each once."""
        undefined = (
            cell.reason
            for row in self.rows
            for cell in row
            if isinstance(cell, Figure) and math.isnan(cell.value)
        )
        return tuple(dict.fromkeys(undefined))

    @property
    def shown(self) -> list[list[Shown]]:
        """The cells as they are written, row by row."""
        return [[self._shown(cell) for cell in row] for row in self.rows]

    def _shown(self, cell: Cell) -> Shown:
        if isinstance(cell, str):
            return Shown(cell)
        if isinstance(cell, int):
            return Shown(str(cell), "n")
        if isinstance(cell, Teacher):
            return Shown(cell.name, teacher=cell.name)
        if isinstance(cell, Whole):
            return Shown(cell.text, "whole")
        if math.isnan(cell.value):
            return Shown("undefined", "undefined", cell.reason)
        hue = ""
        if self.shade:
            level = sum(abs(cell.value) >= edge for edge in _EDGES)
            hue = f" {'g' if level and cell.value < 0 else 'h'}{level}"
        return Shown(number(cell.value, cell.digits), f"n{hue}")


def cells(values: Iterable[float], digits: int = 4, reason: str = _NO_REASON) -> list[Cell]:
    """Numbers alike in decimals and in the reason for being undefined."""
    return [Figure(value, digits, reason) for value in values]


def number(value: float, digits: int = 4) -> str:
    """As `lnat rank` writes it, with commas between thousands; "undefined" for NaN."""
    return formatting.number(value, digits, undefined="undefined", separator=",")


def last_part(student: str) -> str:
    """The last part of a name or path."""
    return PurePosixPath(student.replace("\\", "/")).name or student


def counted(count: int, noun: str) -> str:
    """ "1 metric", "2,000 metrics"."""
    return formatting.plural(count, noun, separator=",")
