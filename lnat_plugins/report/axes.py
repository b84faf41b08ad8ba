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
    """The drawing, which shrinks with the window, over its caption."""
    return tag("figure", drawing, tag("figcaption", caption))


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
    marks: list[object] = []
    for value, words in zip(ticks, tick_labels(ticks), strict=True):
        x = scale(value)
        marks += [line(x, top, x, bottom, "grid")]
        marks += [text(x, bottom + 16, words, anchor="middle", class_="tick")]
    middle = (scale.start + scale.stop) / 2
    return tag("g", *marks, text(middle, bottom + 36, title, anchor="middle"))


def y_axis(scale: Scale, left: float, right: float, title: str, ticks: Sequence[float]) -> Markup:
    """Lines from each tick to the right, its number before them, and the title at the top."""
    marks: list[object] = []
    for value, words in zip(ticks, tick_labels(ticks), strict=True):
        y = scale(value)
        marks += [line(left, y, right, y, "grid")]
        marks += [text(left - 6, y + 4, words, anchor="end", class_="tick")]
    top = min(scale.start, scale.stop)
    return tag("g", *marks, text(4, top - 12, title))


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks' numbers, as short as they differ: 0.25, 2,000, 150k, 2M."""
    if max(map(abs, ticks), default=0) < 10_000:
        digits = _digits(ticks)
        return [f"{value:,.{digits}f}" for value in ticks]
    return [_compact(value) for value in ticks]


def left_of(ticks: Sequence[float], least: float) -> float:
    """Where a plot begins, so that the longest number before its y axis is not cut."""
    return max(least, 14 + 8.0 * max(map(len, tick_labels(ticks)), default=0))


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


def _compact(value: float) -> str:
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.9g}{letter}"
    return f"{value:.9g}"


def _digits(ticks: Sequence[float]) -> int:
    return next(
        (d for d in range(6) if all(math.isclose(t, round(t, d), abs_tol=1e-9) for t in ticks)), 6
    )
