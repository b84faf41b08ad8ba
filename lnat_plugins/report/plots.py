"""Plots as SVG: whiskers, scatter, lines and stacked bars.

Lengths are in units of the drawing; colours come from the page's style by class. A teacher has a
colour and a shape of its own, so that neither is needed alone. What is undefined is written as the
word, or its point is missing from the line; it is never drawn as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from lnat_plugins.report.markup import Markup, join, number, tag

MOST_POINTS: Final = 3000
"""Responses drawn in a scatter plot; of more, every second, third, ... one."""

_WIDTH: Final = 680
_LEFT: Final = 64
_RIGHT: Final = _WIDTH - 16
_TOP: Final = 34
_NAME: Final = 32
"""Letters of a teacher's name beside its line."""
_LEGEND: Final = 36
"""Letters of a name in a legend."""
_LETTER: Final = 8.2
"""Room for one, at the size of the page's plots."""

_COLOURS: Final = 8
"""Colours t0 … t7 and w0 … w7 of the page's style; one more than the shapes, so that pairs
repeat late."""

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


class Scale(NamedTuple):
    """Maps values `low … high` to coordinates `start … stop`; `log` = by their logarithm."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Round values inside, about five of them."""
        low, high = self.low, self.high
        if self.log:
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for factors in ((1,), (1, 3), (1, 2, 5)):
                found = [10.0**power * factor for power in powers for factor in factors]
                found = [value for value in found if low <= value <= high]
                if len(found) >= 3:
                    return found
        rough = (high - low) / 5
        power = 10 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def scale_of(
    values: Sequence[float], start: float, stop: float, *, log: bool = False, margin: float = 0.06
) -> Scale:
    """A scale that holds all the values, with a share of their range as margin at each end.

    At least one value, all finite; above 0 for a logarithmic scale.
    """
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** margin, 1.05)
        return Scale(low / room, high * room, start, stop, log=True)
    room = (high - low) * margin or max(abs(high), 1.0) * margin
    return Scale(low - room, high + room, start, stop)


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks' numbers, as short as they differ: 0.25, 2,000, 150k, 2M."""

    def compact(value: float) -> str:
        units = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
        unit, letter = next((each for each in units if abs(value) >= each[0]), (1, ""))
        return f"{value / unit:.9g}{letter}"

    if max(map(abs, ticks), default=0) >= 10_000:
        return [compact(value) for value in ticks]
    digits = next(
        (d for d in range(6) if all(math.isclose(t, round(t, d), abs_tol=1e-9) for t in ticks)), 6
    )
    return [f"{value:,.{digits}f}" for value in ticks]


def left_of(ticks: Sequence[float], least: float) -> float:
    """Where a plot begins, so that the longest number before its y axis is not cut."""
    return max(least, 14 + 8.0 * max(map(len, tick_labels(ticks)), default=0))


def figure(drawing: Markup, caption: object) -> Markup:
    """The drawing, which shrinks with the window, over its caption."""
    return tag("figure", drawing, tag("figcaption", caption))


def _svg(name: str, height: float, title: str, description: str, *content: object) -> Markup:
    """The drawing; `name` makes its ids, `description` gives its numbers in words."""
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-description"),
        *content,
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
        viewBox=f"0 0 {_WIDTH} {height:g}",
        class_="plot",
    )


def _text(x: float, y: float, *content: object, anchor: str = "start", class_: str = "") -> Markup:
    return tag("text", *content, x=_at(x), y=_at(y), text_anchor=anchor, class_=class_ or None)


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("path", d=f"M{_at(x1)} {_at(y1)}L{_at(x2)} {_at(y2)}", class_=class_)


def _at(coordinate: float) -> str:
    """A coordinate as it is written: a tenth of a unit is finer than a screen."""
    written = f"{coordinate:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def _x_axis(scale: Scale, top: float, bottom: float, title: str, ticks: Sequence[float]) -> Markup:
    """Lines upwards from each tick, its number below, and the title below those."""
    parts = []
    for value, label in zip(ticks, tick_labels(ticks), strict=True):
        x = scale(value)
        parts.append(_line(x, top, x, bottom, "grid"))
        parts.append(_text(x, bottom + 16, label, anchor="middle", class_="tick"))
    middle = (scale.start + scale.stop) / 2
    return tag("g", *parts, _text(middle, bottom + 36, title, anchor="middle"))


def _y_axis(scale: Scale, left: float, title: str) -> Markup:
    """Lines from each tick to the right, its number before them, and the title at the top."""
    parts = []
    ticks = scale.ticks()
    for value, label in zip(ticks, tick_labels(ticks), strict=True):
        y = scale(value)
        parts.append(_line(left, y, _RIGHT, y, "grid"))
        parts.append(_text(left - 6, y + 4, label, anchor="end", class_="tick"))
    return tag("g", *parts, _text(4, scale.stop - 12, title))


def _clipped(name: str, width: int) -> Markup:
    """A name of so many letters, its middle cut: names differ at either end. Whole on hover."""
    if len(name) <= width:
        return join([name])
    end = (width - 1) // 2
    return join([name[: width - 1 - end], "…", name[-end:], tag("title", name)])


class Markers:
    """Colour and shape of each teacher, by its position in the list; the same in every plot.

    Of lines that are no teachers (`plain`) the colours are black and grey, and the strokes differ.
    """

    def __init__(self, names: Iterable[str], *, plain: bool = False) -> None:
        self._letter = "w" if plain else "t"
        self._index: Mapping[str, int] = {name: i for i, name in enumerate(names)}

    def colour(self, name: str) -> str:
        """The class that sets its colour."""
        return f"{self._letter}{self._index[name] % _COLOURS}"

    def path(self, name: str, points: Iterable[tuple[float, float]], radius: float) -> str:
        """Its shape at each point, as the data of one SVG path."""
        strokes = _SHAPES[self._index[name] % len(_SHAPES)]
        shape = "".join(pen + " ".join(_at(radius * n) for n in by) for pen, by in strokes) + "z"
        return "".join(f"M{_at(x)} {_at(y)}{shape}" for x, y in points)

    def dot(self, name: str, x: float, y: float, radius: float = 5) -> Markup:
        """Its shape, once, filled."""
        path = self.path(name, [(x, y)], radius)
        return tag("path", d=path, class_=f"dot {self.colour(name)}")

    def inline(self, name: str) -> Markup:
        """Its shape as a picture beside its name in running text."""
        return tag(
            "svg", self.dot(name, 8, 8), viewBox="0 0 16 16", class_="key", aria_hidden="true"
        )

    def legend(self, y: float, left: float = _LEFT) -> tuple[Markup, float]:
        """All names in lines from `y` down, and where the drawing ends below them."""
        parts = []
        x = left
        for name in self._index:
            room = 34 + _LETTER * min(len(name), _LEGEND)
            if x > left and x + room > _RIGHT:
                x, y = left, y + 20
            parts += [self.dot(name, x + 6, y), _text(x + 17, y + 4, _clipped(name, _LEGEND))]
            x += room
        return tag("g", *parts), y


class Spread(NamedTuple):
    """A mean and its interval; NaN = undefined."""

    mean: float
    low: float = math.nan
    high: float = math.nan

    def known(self) -> list[float]:
        """Those of the three that are defined."""
        return [value for value in self if not math.isnan(value)]


def whiskers(
    name: str, title: str, spreads: Mapping[str, Spread], markers: Markers, x_title: str
) -> Markup:
    """One line a teacher: its mean, and its interval as a bar through it."""
    bottom = _TOP + 34 * len(spreads)
    left = 28 + _LETTER * min(_NAME, max(map(len, spreads)))
    x = scale_of([v for spread in spreads.values() for v in spread.known()], left, _RIGHT - 30)
    parts = [_x_axis(x, _TOP - 14, bottom - 8, x_title, x.ticks())]
    words = []
    for i, (teacher, spread) in enumerate(spreads.items()):
        y = _TOP + 34 * i + 6
        mean, low, high = spread
        parts.append(_text(left - 14, y + 4, _clipped(teacher, _NAME), anchor="end"))
        if len(spread.known()) == 3:
            parts += _whisker(x(low), y, x(high), y, markers.colour(teacher))
            interval = f"{number(low)} to {number(high)}"
        else:
            interval = "interval undefined"
            side, anchor = (12, "start") if x(mean) < (x.start + x.stop) / 2 else (-12, "end")
            parts.append(_text(x(mean) + side, y + 4, interval, anchor=anchor, class_="tick"))
        words.append(f"{teacher} {number(mean)}, {interval}")
        parts.append(markers.dot(teacher, x(mean), y))
    return _svg(name, bottom + 38, title, "; ".join(words), *parts)


def scatter(
    name: str, title: str, points: Mapping[str, Sequence[tuple[float, float]]],
    means: Mapping[str, tuple[Spread, Spread]], markers: Markers, axes: tuple[str, str],
    *, log_x: bool = False,
) -> Markup:  # fmt: skip
    """Responses as faint points, teachers as full ones with an interval in each direction.

    Args:
        name: makes the drawing's ids, as in every plot.
        points: teacher -> (x, y) of its responses, all finite.
        means: teacher -> its figures along x and y.
        axes: the titles of x and y.
        log_x: x by its logarithm; then above 0 throughout.
    """
    every = -(-sum(map(len, points.values())) // MOST_POINTS) or 1
    drawn = {teacher: of[::every] for teacher, of in points.items() if of}
    xs = [x for of in drawn.values() for x, _ in of]
    ys = [y for of in drawn.values() for _, y in of]
    xs += [value for across, _ in means.values() for value in across.known()]
    ys += [value for _, up in means.values() for value in up.known()]
    bottom = _TOP + 330
    y = scale_of(ys, bottom, _TOP)
    left = left_of(y.ticks(), _LEFT)
    x = scale_of(xs, left, _RIGHT, log=log_x)
    parts = [_x_axis(x, _TOP, bottom, axes[0], x.ticks()), _y_axis(y, left, axes[1])]
    for teacher, of in drawn.items():
        data = markers.path(teacher, [(x(one), y(other)) for one, other in of], 2.2)
        parts.append(tag("path", d=data, class_=f"faint {markers.colour(teacher)}"))
    words = []
    for teacher, (across, up) in means.items():
        at_x, at_y, colour = x(across.mean), y(up.mean), markers.colour(teacher)
        if len(across.known()) == 3:
            parts += _whisker(x(across.low), at_y, x(across.high), at_y, colour)
        if len(up.known()) == 3:
            parts += _whisker(at_x, y(up.low), at_x, y(up.high), colour)
        words.append(f"{teacher} at {number(across.mean)}, {number(up.mean)}")
    parts += [markers.dot(teacher, x(a.mean), y(u.mean), 6) for teacher, (a, u) in means.items()]
    legend, end = markers.legend(bottom + 62)
    thinned = f"; one in {every} of the responses is drawn" if every > 1 else ""
    return _svg(name, end + 14, title, "; ".join(words) + thinned, *parts, legend)


def lines(
    name: str, title: str, series: Mapping[str, Sequence[tuple[float, float]]], markers: Markers,
    axes: tuple[str, str], *, x_ticks: Sequence[float], log_x: bool = False,
    y_range: tuple[float, float] | None = None, level: float | None = None,
) -> Markup:  # fmt: skip
    """A line a series, with its shape at every point; an undefined point breaks the line.

    Args:
        series: name -> points in order; a NaN y = undefined.
        axes, log_x: as for `scatter`.
        x_ticks: where the x axis has numbers.
        y_range: the ends of the y axis; by default those of the points.
        level: a height to mark across the plot.
    """
    bottom = _TOP + 240
    ys = [y for points in series.values() for _, y in points if not math.isnan(y)]
    xs = [x for points in series.values() for x, _ in points]
    y = Scale(*y_range, bottom, _TOP) if y_range else scale_of(ys, bottom, _TOP)
    left = left_of(y.ticks(), _LEFT)
    x = scale_of([*xs, *x_ticks], left, _RIGHT, log=log_x, margin=0.03)
    parts = [_x_axis(x, _TOP, bottom, axes[0], x_ticks), _y_axis(y, left, axes[1])]
    if level is not None:
        parts.append(_line(left, y(level), _RIGHT, y(level), "level"))
    words = []
    for label, points in series.items():
        joined, pen = "", "M"
        for one, other in points:
            joined += "" if math.isnan(other) else f"{pen}{_at(x(one))} {_at(y(other))}"
            pen = "M" if math.isnan(other) else "L"
        dots = [(x(one), y(other)) for one, other in points if not math.isnan(other)]
        colour = markers.colour(label)
        parts.append(tag("path", d=joined, class_=f"line {colour}"))
        parts.append(tag("path", d=markers.path(label, dots, 3.5), class_=f"dot {colour}"))
        words.append(f"{label}: {', '.join(number(other) for _, other in points)}")
    legend, end = markers.legend(bottom + 62)
    return _svg(name, end + 14, title, "; ".join(words), *parts, legend)


def bars(
    name: str, title: str, shares: Mapping[str, Mapping[str, float]], markers: Markers
) -> Markup:
    """One full-length bar a label, cut into the teachers' shares; all shares defined."""
    left = 236
    x = Scale(0, 1, left, _RIGHT)
    parts: list[Markup] = []
    words = []
    for i, (label, of) in enumerate(shares.items()):
        y = 8 + 34 * i
        parts.append(_text(left - 10, y + 18, _clipped(label, 30), anchor="end"))
        start = 0.0
        for teacher, share in of.items():
            if share == 0:
                continue
            # As much as fits: its shape, and its share in words; both on hover.
            place, width = x(start), x(start + share) - x(start)
            segment = [
                tag("title", f"{teacher} {share:.1%}"),
                tag("rect", x=_at(place), y=_at(y), width=_at(width), height=26,
                    class_=f"bar {markers.colour(teacher)}"),
            ]  # fmt: skip
            if width >= 18:
                segment.append(markers.dot(teacher, place + min(11, width / 2), y + 13, 4))
            if width >= 58:
                segment.append(_text(place + 20, y + 18, f"{share:.0%}"))
            parts.append(tag("g", *segment))
            start += share
        words.append(f"{label}: " + ", ".join(f"{who} {share:.0%}" for who, share in of.items()))
    legend, end = markers.legend(22 + 34 * len(shares), 12)
    return _svg(name, end + 20, title, "; ".join(words), *parts, legend)


def _whisker(x1: float, y1: float, x2: float, y2: float, colour: str) -> list[Markup]:
    """A line with a short one across each end."""
    class_ = f"line {colour}"
    dx, dy = (0, 5) if y1 == y2 else (5, 0)
    ends = [_line(x - dx, y - dy, x + dx, y + dy, class_) for x, y in ((x1, y1), (x2, y2))]
    return [_line(x1, y1, x2, y2, class_), *ends]
