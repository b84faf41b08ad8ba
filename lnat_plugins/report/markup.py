"""HTML as text: everything is escaped but what was built here."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from lnat_plugins import formatting

# NUL and half characters cannot stand in an HTML file at all.
_UNWRITABLE: Final = re.compile("[\x00\ud800-\udfff]")

_NO_REASON: Final = "no reason was recorded"


class Markup(str):
    """Text that is HTML already and is written as it is."""

    __slots__ = ()


class Figure(NamedTuple):
    """A number for a table, with its decimals, and the reason if it is undefined (NaN)."""

    value: float
    digits: int = 4
    reason: str = _NO_REASON


Cell = str | int | Figure


def cells(values: Iterable[float], digits: int = 4, reason: str = _NO_REASON) -> list[Cell]:
    """Numbers alike in decimals and in the reason for being undefined."""
    return [Figure(value, digits, reason) for value in values]


def esc(text: object) -> Markup:
    """The text as HTML; markup passes. Line ends survive as they are written."""
    if isinstance(text, Markup):
        return text
    plain = _UNWRITABLE.sub("\ufffd", str(text))
    return Markup(html.escape(plain).replace("\r", "&#13;"))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The parts, each escaped, one after the other."""
    return Markup(esc(between).join(map(esc, parts)))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element. `class_` and `for_` lose their underscore, `aria_label` becomes `aria-label`.

    An attribute that is None or False is not written; one that is True has no value.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{esc(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def number(value: float, digits: int = 4) -> str:
    """As `lnat rank` writes it, with commas between thousands; "undefined" for NaN."""
    return formatting.number(value, digits, undefined="undefined", separator=",")


def counted(count: int, noun: str) -> str:
    """ "1 metric", "2,000 metrics"."""
    return formatting.plural(count, noun, separator=",")


def items(lines: Iterable[object]) -> Markup:
    """A list with bullets; nothing for no lines."""
    entries = [tag("li", line) for line in lines]
    return tag("ul", *entries) if entries else Markup()


def folded(summary: str, *content: object) -> Markup:
    """Content that opens on demand, without JavaScript."""
    return tag("details", tag("summary", summary), *content)


def undefined(reason: str) -> Markup:
    """What stands in place of a plot or a table that cannot be given."""
    return tag("p", tag("strong", "Undefined: "), reason, ".", class_="why")


def table(
    caption: str, headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, shade: bool = False
) -> Markup:
    """A table whose first column heads its rows; below it, why figures are undefined.

    Args:
        caption: stands above it.
        headers: one a column.
        rows: cells; text and markup to the left, figures and counts to the right.
        shade: whether figures, from -1 to 1, colour their cell: h0 to h5 by size, g1 to g5 below 0.
    """
    reasons: dict[str, None] = {}
    numeric: set[int] = set()
    body = []
    for first, *others in rows:
        line = [tag("th", first, scope="row")]
        for column, cell in enumerate(others, start=1):
            if isinstance(cell, str):
                line.append(tag("td", cell))
                continue
            numeric.add(column)
            if isinstance(cell, int):
                line.append(tag("td", cell, class_="n"))
            elif math.isnan(cell.value):
                reasons[cell.reason] = None
                line.append(tag("td", "undefined", class_="undefined", title=cell.reason))
            else:
                level = sum(abs(cell.value) >= edge for edge in (0.05, 0.25, 0.5, 0.75, 0.95))
                hue = f" {'g' if level and cell.value < 0 else 'h'}{level}" if shade else ""
                line.append(tag("td", number(cell.value, cell.digits), class_=f"n{hue}"))
        body.append(tag("tr", *line))
    head = tag("tr", *(
        tag("th", header, scope="col", class_="n" if column in numeric else None)
        for column, header in enumerate(headers)
    ))  # fmt: skip
    element = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    # Focusable, so that a wide table scrolls without a mouse.
    box = tag("div", element, class_="scroll", tabindex="0", role="region", aria_label=caption)
    why = tag("p", "Undefined: ", "; ".join(reasons), ".", class_="why") if reasons else ""
    return join([box, why])
