"""A plot's frame as SVG: scales, ticks, titles. Knows nothing of what is plotted.

Lengths are in units of the drawing; colours come from the page's style by class.

How a teacher is drawn: a colour and a shape of its own, so that neither is needed alone.

Knows nothing of scores and places.

The plots: whiskers, scatter, lines and stacked bars as SVG. Knows nothing of metrics.

What is undefined is written as the word, or its point is left out of the line; never drawn as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from lnat_plugins.report.markup import Markup, join, number, tag

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


COLOURS: Final = 8
"""Colours t0 … t7 and w0 … w7 of the page's style; one more than the shapes, so that pairs
repeat late."""

_LEGEND: Final = 36
"""Letters of a name in a legend."""

# In units of the radius, from the middle: what follows `M x y` in a path.
_SHAPES: Final[tuple[tuple[tuple[str, tuple[float, ...]], ...], ...]] = (
    (("m", (-1, 0)), ("a", (1, 1)), (" 0 1 0 ", (2, 0)), ("a", (1, 1)), (" 0 1 0 ", (-2, 0))),
    (("m", (-0.9, -0.9)), ("h", (1.8,)), ("v", (1.8,)), ("h", (-1.8,))),
    (("m", (0, -1.2)), ("l", (1.2, 2.2)), ("h", (-2.4,))),
    (("m", (0, -1.4)), ("l", (1.4, 1.4)), ("l", (-1.4, 1.4)), ("l", (-1.4, -1.4))),
    (("m", (0, 1.2)), ("l", (1.2, -2.2)), ("h", (-2.4,))),
    (("m", (-1.2, -0.5)), ("h", (2.4,)), ("v", (1,)), ("h", (-2.4,))),
    (("m", (-0.5, -1.2)), ("h", (1,)), ("v", (2.4,)), ("h", (-1,))),
)


class Marks:
    """The look of each teacher, by its place in the list; the same in every plot.

    Of lines that are no teachers (`plain`) the colours are black and grey, and the strokes differ.
    """

    def __init__(self, teachers: Sequence[str], *, plain: bool = False) -> None:
        self._letter = "w" if plain else "t"
        self._place: Mapping[str, int] = {name: place for place, name in enumerate(teachers)}

    def colour(self, teacher: str) -> str:
        """The class that sets its colour."""
        return f"{self._letter}{self._place[teacher] % COLOURS}"

    def path(self, teacher: str, places: Iterable[tuple[float, float]], radius: float) -> str:
        """Its shape at each place, as the data of one SVG path."""
        strokes = _SHAPES[self._place[teacher] % len(_SHAPES)]
        shape = "".join(pen + " ".join(at(radius * n) for n in by) for pen, by in strokes) + "z"
        return "".join(f"M{at(x)} {at(y)}{shape}" for x, y in places)

    def dot(self, teacher: str, x: float, y: float, radius: float = 5) -> Markup:
        """Its shape, once, filled."""
        return tag(
            "path", d=self.path(teacher, [(x, y)], radius), class_=f"dot {self.colour(teacher)}"
        )

    def inline(self, teacher: str) -> Markup:
        """Its shape as a picture beside its name in running text."""
        return tag(
            "svg", self.dot(teacher, 8, 8), viewBox="0 0 16 16", class_="key", aria_hidden="true"
        )

    def legend(self, y: float, left: float, right: float) -> tuple[Markup, float]:
        """All teachers in lines from `y` down, and the height that they take."""
        parts = []
        x, top = left, y
        for name in self._place:
            label = clipped(name, _LEGEND)
            room = 34 + 8.2 * min(len(name), _LEGEND)
            if x > left and x + room > right:
                x, y = left, y + 20
            parts += [self.dot(name, x + 6, y), text(x + 17, y + 4, label)]
            x += room
        return tag("g", *parts), y + 20 - top


MOST_POINTS: Final = 3000
"""Responses drawn in a scatter plot; of more, every second, third, ... one."""

_LEFT: Final = 64
_RIGHT: Final = WIDTH - 16
_TOP: Final = 34
_NAME: Final = 32
"""Letters of a teacher's name beside its line."""
_LETTER: Final = 8.2
"""Room for one, at the size of the page's plots."""


class Spread(NamedTuple):
    """A mean and its interval; NaN = undefined."""

    mean: float
    low: float = math.nan
    high: float = math.nan

    def known(self) -> list[float]:
        """Those of the three that are defined."""
        return [value for value in self if not math.isnan(value)]


def whiskers(
    name: str, title: str, spreads: Mapping[str, Spread], marks: Marks, x_title: str
) -> Markup:
    """One line a teacher: its mean, and its interval as a bar through it."""
    bottom = _TOP + 34 * len(spreads)
    left = 28 + _LETTER * min(_NAME, max(map(len, spreads)))
    x = scale_of([v for each in spreads.values() for v in each.known()], left, _RIGHT - 30)
    parts: list[object] = [x_axis(x, _TOP - 14, bottom - 8, x_title, x.ticks())]
    told = []
    for place, (teacher, each) in enumerate(spreads.items()):
        y = _TOP + 34 * place + 6
        parts.append(text(left - 14, y + 4, clipped(teacher, _NAME), anchor="end"))
        if len(each.known()) == 3:
            parts += _whisker(x(each.low), y, x(each.high), y, marks.colour(teacher))
            told.append(f"{teacher} {number(each.mean)}, {number(each.low)} to {number(each.high)}")
        else:
            side = (12, "start") if x(each.mean) < (x.start + x.stop) / 2 else (-12, "end")
            words = "interval undefined"
            parts.append(text(x(each.mean) + side[0], y + 4, words, anchor=side[1], class_="tick"))
            told.append(f"{teacher} {number(each.mean)}, interval undefined")
        parts.append(marks.dot(teacher, x(each.mean), y))
    return svg(name, bottom + 38, title, "; ".join(told), *parts)


def scatter(
    name: str,
    title: str,
    points: Mapping[str, Sequence[tuple[float, float]]],
    means: Mapping[str, tuple[Spread, Spread]],
    marks: Marks,
    axes: tuple[str, str],
    *,
    log_x: bool = False,
) -> Markup:
    """Responses as faint points, teachers as full ones with an interval in each direction.

    Args:
        name: makes the drawing's ids.
        title: what it shows.
        points: teacher -> (x, y) of its responses, all finite.
        means: teacher -> its figures along x and y.
        marks: how teachers are drawn.
        axes: the titles of x and y.
        log_x: x by its logarithm; then above 0 throughout.
    """
    every = -(-sum(map(len, points.values())) // MOST_POINTS) or 1
    drawn = {teacher: of[::every] for teacher, of in points.items()}
    every_x = [x for of in drawn.values() for x, _ in of]
    every_y = [y for of in drawn.values() for _, y in of]
    every_x += [value for x, _ in means.values() for value in x.known()]
    every_y += [value for _, y in means.values() for value in y.known()]
    bottom = _TOP + 330
    y = scale_of(every_y, bottom, _TOP)
    left = left_of(y.ticks(), _LEFT)
    x = scale_of(every_x, left, _RIGHT, log=log_x)
    parts: list[object] = [
        x_axis(x, _TOP, bottom, axes[0], x.ticks()),
        y_axis(y, left, _RIGHT, axes[1], y.ticks()),
    ]
    for teacher, of in drawn.items():
        if of:
            data = marks.path(teacher, [(x(one), y(other)) for one, other in of], 2.2)
            parts.append(tag("path", d=data, class_=f"faint {marks.colour(teacher)}"))
    told = []
    for teacher, (across, up) in means.items():
        if len(across.known()) == 3:
            ends = x(across.low), y(up.mean), x(across.high), y(up.mean)
            parts += _whisker(*ends, marks.colour(teacher))
        if len(up.known()) == 3:
            ends = x(across.mean), y(up.low), x(across.mean), y(up.high)
            parts += _whisker(*ends, marks.colour(teacher))
        told.append(f"{teacher} at {number(across.mean)}, {number(up.mean)}")
    parts += [marks.dot(teacher, x(a.mean), y(u.mean), 6) for teacher, (a, u) in means.items()]
    legend, height = marks.legend(bottom + 62, _LEFT, _RIGHT)
    thinned = f"; one in {every} of the responses is drawn" if every > 1 else ""
    return svg(name, bottom + 56 + height, title, "; ".join(told) + thinned, *parts, legend)


def lines(
    name: str,
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    marks: Marks,
    axes: tuple[str, str],
    *,
    x_ticks: Sequence[float],
    log_x: bool = False,
    y_range: tuple[float, float] | None = None,
    level: float | None = None,
) -> Markup:
    """A line a series, with its shape at every point; an undefined point breaks the line.

    Args:
        name, title: as for `scatter`.
        series: name -> points in order; a NaN y = undefined.
        marks: how the series are drawn.
        axes: the titles of x and y.
        x_ticks: where the x axis has numbers.
        log_x: x by its logarithm.
        y_range: the ends of the y axis; by default those of the points.
        level: a height to mark across the plot.
    """
    bottom = _TOP + 240
    known = [y for of in series.values() for _, y in of if not math.isnan(y)]
    xs = [x for of in series.values() for x, _ in of]
    y = Scale(*y_range, bottom, _TOP) if y_range else scale_of(known, bottom, _TOP)
    left = left_of(y.ticks(), _LEFT)
    x = scale_of([*xs, *x_ticks], left, _RIGHT, log=log_x, around=0.03)
    parts: list[object] = [
        x_axis(x, _TOP, bottom, axes[0], x_ticks),
        y_axis(y, left, _RIGHT, axes[1], y.ticks()),
    ]
    if level is not None:
        parts.append(line(left, y(level), _RIGHT, y(level), "level"))
    told = []
    for label, of in series.items():
        joined, pen = "", "M"
        for one, other in of:
            joined += "" if math.isnan(other) else f"{pen}{at(x(one))} {at(y(other))}"
            pen = "M" if math.isnan(other) else "L"
        places = [(x(one), y(other)) for one, other in of if not math.isnan(other)]
        colour = marks.colour(label)
        parts.append(tag("path", d=joined, class_=f"line {colour}"))
        parts.append(tag("path", d=marks.path(label, places, 3.5), class_=f"dot {colour}"))
        told.append(f"{label}: {', '.join(number(other) for _, other in of)}")
    legend, height = marks.legend(bottom + 62, _LEFT, _RIGHT)
    return svg(name, bottom + 56 + height, title, "; ".join(told), *parts, legend)


def bars(name: str, title: str, shares: Mapping[str, Mapping[str, float]], marks: Marks) -> Markup:
    """One full-length bar a label, cut into the teachers' shares; all shares defined."""
    left, right = 236, _RIGHT
    x = Scale(0, 1, left, right)
    parts: list[object] = []
    told = []
    for place, (label, of) in enumerate(shares.items()):
        y = 8 + 34 * place
        parts.append(text(left - 10, y + 18, clipped(label, 30), anchor="end"))
        start = 0.0
        for teacher, share in of.items():
            if share > 0:
                parts.append(_segment(teacher, share, x(start), y, x(start + share), marks))
                start += share
        told.append(f"{label}: " + ", ".join(f"{who} {share:.0%}" for who, share in of.items()))
    height = 8 + 34 * len(shares)
    legend, more = marks.legend(height + 14, 12, right)
    return svg(name, height + 14 + more, title, "; ".join(told), *parts, legend)


def _segment(teacher: str, share: float, x: float, y: float, end: float, marks: Marks) -> Markup:
    """As much as fits: its shape, and its share in words; both on hover."""
    width = end - x
    colour = marks.colour(teacher)
    box = tag("rect", x=at(x), y=at(y), width=at(width), height=26, class_=f"bar {colour}")
    told = tag("title", f"{teacher} {share:.1%}")
    inside = [box]
    if width >= 18:
        inside.append(marks.dot(teacher, x + min(11, width / 2), y + 13, 4))
    if width >= 58:
        inside.append(text(x + 20, y + 18, f"{share:.0%}"))
    return tag("g", told, *inside)


def _whisker(x1: float, y1: float, x2: float, y2: float, colour: str) -> list[Markup]:
    ends = (
        [line(x, y1 - 5, x, y1 + 5, f"line {colour}") for x in (x1, x2)]
        if y1 == y2
        else [line(x1 - 5, y, x1 + 5, y, f"line {colour}") for y in (y1, y2)]
    )
    return [line(x1, y1, x2, y2, f"line {colour}"), *ends]
