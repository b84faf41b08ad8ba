"""The plots: whiskers, scatter, lines and stacked bars as SVG. Knows nothing of metrics.

What is undefined is written as the word, or its point is left out of the line; never drawn as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from lnat_plugins.report.axes import (
    WIDTH,
    Scale,
    at,
    clipped,
    left_of,
    line,
    scale_of,
    svg,
    text,
    x_axis,
    y_axis,
)  # fmt: skip
from lnat_plugins.report.marks import Marks
from lnat_plugins.report.markup import Markup, number, tag

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
