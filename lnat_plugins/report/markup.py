"""HTML as text: everything escaped but what was built here. Knows nothing of scores."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from lnat_plugins import formatting as wording

# NUL and half characters cannot stand in an HTML file at all.
_UNWRITABLE: Final = re.compile("[\x00\ud800-\udfff]")


class Markup(str):
    """Text that is HTML already and is written as it is."""

    __slots__ = ()


class Figure(NamedTuple):
    """A number for a table.

    Attributes:
        value: NaN = undefined, which is written as the word.
        digits: after the point.
        reason: why it is undefined, where it is.
    """

    value: float
    digits: int = 4
    reason: str = "no reason was recorded"


Cell = str | int | Figure


def esc(text: object) -> Markup:
    """The text as HTML; markup passes. Line ends survive as they are written."""
    if isinstance(text, Markup):
        return text
    plain = _UNWRITABLE.sub("\ufffd", str(text))
    return Markup(html.escape(plain).replace("\r", "&#13;"))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The parts, each escaped, one after the other."""
    return Markup(esc(between).join(esc(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element. `class_` and `for_` lose their underscore, `aria_label` becomes `aria-label`.

    An attribute that is None or False is left out; one that is True stands without a value.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{esc(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def number(value: float, digits: int = 4) -> str:
    """As `lnat rank` writes it, with commas between thousands; "undefined" for NaN."""
    return wording.number(value, digits, undefined="undefined", separator=",")


def counted(count: int, what: str) -> str:
    """The count with its noun: "1 metric", "2 metrics"."""
    return wording.plural(count, what, separator=",")


def items(lines: Iterable[object]) -> Markup:
    """A list with bullets; nothing for no lines."""
    entries = [tag("li", line) for line in lines]
    return tag("ul", *entries) if entries else Markup()


def folded(summary: str, *content: object) -> Markup:
    """Content that opens on demand, without JavaScript."""
    return tag("details", tag("summary", summary), *content)


def table(
    caption: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    shade: bool = False,
) -> Markup:
    """A table whose first column heads its rows; below it, why figures are undefined.

    Args:
        caption: said above it.
        headers: one a column.
        rows: cells; text and markup to the left, figures and counts to the right.
        shade: whether figures, from -1 to 1, colour their cell.
    """
    reasons: dict[str, None] = {}
    body = []
    numeric: set[int] = set()
    for first, *others in rows:
        cells = [tag("th", first, scope="row")]
        for column, cell in enumerate(others, start=1):
            if not isinstance(cell, str):
                numeric.add(column)
            if isinstance(cell, Figure) and math.isnan(cell.value):
                reasons[cell.reason] = None
            cells.append(_cell(cell, shade))
        body.append(tag("tr", *cells))
    heads = (
        tag("th", header, scope="col", class_="n" if column in numeric else None)
        for column, header in enumerate(headers)
    )
    head = tag("tr", *heads)
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    # Focusable, so that a wide table scrolls without a mouse.
    box = tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)
    why = tag("p", "Undefined: ", "; ".join(reasons), ".", class_="why") if reasons else ""
    return join([box, why])


def _cell(cell: Cell, shade: bool) -> Markup:
    if isinstance(cell, Figure):
        if math.isnan(cell.value):
            return tag("td", "undefined", class_="undefined", title=cell.reason)
        level = f" {shade_of(cell.value)}" if shade else ""
        return tag("td", number(cell.value, cell.digits), class_=f"n{level}")
    return tag("td", cell, class_="n") if isinstance(cell, int) else tag("td", cell)


def shade_of(value: float) -> str:
    """The class of a cell for a figure from -1 to 1: h0 to h5 by its size, g1 to g5 below 0."""
    level = sum(abs(value) >= edge for edge in (0.05, 0.25, 0.5, 0.75, 0.95))
    return f"g{level}" if level and value < 0 else f"h{level}"
