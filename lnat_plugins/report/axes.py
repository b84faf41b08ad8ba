"""A plot's frame as SVG: scales, ticks, titles. Knows nothing of what is plotted.

Lengths are in units of the drawing; colours come from the page's style by class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lnat_plugins.report.markup import Markup, join, tag

WIDTH = 680


class Scale(NamedTuple):
    """Values `low … high` on the places `start … stop`; `log` = by their logarithm."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.log:
            span = math.log(self.high / self.low)
            share = math.log(value / self.low) / span
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Round values inside, about five of them."""
        return _log_ticks(self) if self.log else _even_ticks(self.low, self.high)


def scale_of(
    values: Sequence[float], start: float, stop: float, *, log: bool = False, around: float = 0.06
) -> Scale:
    """A scale that holds all the values, with some room around them.

    Args:
        values: at least one, all finite; above 0 for a logarithmic scale.
        start, stop: the places of its ends.
        log: by the values' logarithm.
        around: room at each end, as a share of the values' range.
    """
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** around, 1.05)
        return Scale(low / room, high * room, start, stop, log=True)
    room = (high - low) * around or max(abs(high), 1.0) * around
    return Scale(low - room, high + room, start, stop)


def svg(name: str, height: float, title: str, description: str, *content: object) -> Markup:
    """The drawing; `name` makes its ids, `description` tells in words what it shows."""
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-description"),
        *content,
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
        viewBox=f"0 0 {WIDTH} {height:g}",
        class_="plot",
    )


def figure(drawing: Markup, caption: object) -> Markup:
    """The drawing in a box of its own, which scrolls where the window is narrow."""
    box = tag("div", drawing, class_="scroll", tabindex="0", role="group", aria_label="Plot")
    return tag("figure", box, tag("figcaption", caption))


def text(x: float, y: float, *content: object, anchor: str = "start", class_: str = "") -> Markup:
    """Words at a place."""
    return tag(
        "text", *content, x=at(x), y=at(y), text_anchor=anchor, class_=class_ or None
    )  # fmt: skip


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("path", d=f"M{at(x1)} {at(y1)}L{at(x2)} {at(y2)}", class_=class_)


def at(place: float) -> str:
    """A coordinate as it is written: a tenth of a unit is finer than a screen."""
    written = f"{place:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def x_axis(scale: Scale, top: float, bottom: float, title: str, ticks: Sequence[float]) -> Markup:
    """Lines upwards from each tick, its number below, and the title below those."""
    digits = _digits(ticks)
    marks: list[object] = []
    for value in ticks:
        x = scale(value)
        marks += [line(x, top, x, bottom, "grid")]
        marks += [text(x, bottom + 16, f"{value:,.{digits}f}", anchor="middle", class_="tick")]
    middle = (scale.start + scale.stop) / 2
    return tag("g", *marks, text(middle, bottom + 36, title, anchor="middle"))


def y_axis(scale: Scale, left: float, right: float, title: str, ticks: Sequence[float]) -> Markup:
    """Lines from each tick to the right, its number before them, and the title at the top."""
    digits = _digits(ticks)
    marks: list[object] = []
    for value in ticks:
        y = scale(value)
        marks += [line(left, y, right, y, "grid")]
        marks += [text(left - 6, y + 4, f"{value:,.{digits}f}", anchor="end", class_="tick")]
    top = min(scale.start, scale.stop)
    return tag("g", *marks, text(4, top - 12, title))


def clipped(name: str, width: int) -> Markup:
    """A name of so many letters, its middle cut: names differ at either end. Whole on hover."""
    if len(name) <= width:
        return join([name])
    end = (width - 1) // 2
    return join([name[: width - 1 - end], "…", name[-end:], tag("title", name)])


def _even_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _log_ticks(scale: Scale) -> list[float]:
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [10.0**power * factor for power in powers for factor in factors]
        found = [value for value in found if scale.low <= value <= scale.high]
        if len(found) >= 3:
            return found
    return _even_ticks(scale.low, scale.high)


def _digits(ticks: Sequence[float]) -> int:
    return next(
        (d for d in range(6) if all(math.isclose(t, round(t, d), abs_tol=1e-9) for t in ticks)), 6
    )
