"""Plots as Altair charts: for the page, for a picture, and for a notebook.

Colours are the variables of the page's style (`looks`). A teacher has a colour and a shape of its
own, so that neither is needed alone. What is undefined is not drawn; the table beside a plot says
why. The response-level plots read the data named `POINTS`, which the page keeps compressed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import altair as alt

from lnat_plugins.metrics import GLOBAL
from lnat_plugins.ranking import Ranking, TeacherRank
from lnat_plugins.ranking.bootstrap import LEVEL, Stability
from lnat_plugins.report.cells import number
from lnat_plugins.report.looks import DASHES, Looks

POINTS: Final = "points"
"""The name of the rows {teacher, prompt, p, tokens, score, local, global}."""

FONT: Final = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif'

_INK, _QUIET, _RULE, _PAPER = "var(--ink)", "var(--quiet)", "var(--rule)", "var(--paper)"
_FEW_TEACHERS: Final = 6
_WIDE_ENOUGH: Final = 0.02
_NEAR: Final = 0.1

_LEGEND: Final = alt.Legend()

Rows = list[dict[str, Any]]


def finished(chart: Any, title: str, words: str) -> dict[str, Any]:
    """The chart as Vega-Lite, as wide as what holds it, with its description and the style."""
    quiet = {"labelColor": _QUIET, "titleColor": _QUIET, "labelFontSize": 13, "titleFontSize": 13}
    axis = {
        **quiet, "titleFontWeight": "normal", "gridColor": _RULE, "domain": False,
        "ticks": False, "labelPadding": 7, "titlePadding": 8, "labelFlush": False,
    }  # fmt: skip
    legend = {
        "orient": "bottom", "direction": "horizontal", "labelFontSize": 13, "labelColor": _INK,
        "symbolSize": 90, "symbolOpacity": 1, "symbolStrokeWidth": 0, "columns": 4,
        "labelLimit": 220, "title": None, "rowPadding": 4, "columnPadding": 14,
    }  # fmt: skip
    configured = chart.properties(
        description=f"{title}. {words}",
        width="container",
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    ).configure(
        background="transparent", font=FONT, padding=2, axis=axis, legend=legend,
        view={"stroke": None}, axisY={"labelLimit": 240},
    )  # fmt: skip
    # Not validated: the tests do that, and it takes as long as all else.
    found: dict[str, Any] = configured.to_dict(validate=False)
    return found


def difference(
    ranking: Ranking, looks: Looks, teachers: Sequence[str] | None = None
) -> dict[str, Any]:
    """Each teacher's mean minus the leader's, with the interval simultaneous over all pairs.

    Args:
        teachers: draw only these; by default all.
    """
    rows: Rows = []
    words = []
    for line in ranking.teachers:
        if teachers is not None and line.teacher not in teachers:
            continue
        low, high = line.difference_low, line.difference_high
        interval = "interval undefined"
        row = {"teacher": line.teacher, "difference": _short(line.difference)}
        if line.rank == 1:
            interval = "the leader"
        elif not math.isnan(low):
            interval = f"{number(low)} to {number(high)}"
            row |= {"low": _short(low), "high": _short(high)}
        row["interval"] = interval
        rows.append(row)
        words.append(f"{line.teacher} {number(line.difference)}, {interval}")
    unit = "" if ranking.unit == "none" else f", {ranking.unit}"
    base, y = _chart(rows), _teacher_axis(looks)
    tip = [
        alt.Tooltip("teacher:N", title="teacher"),
        alt.Tooltip("difference:Q", title="difference"),
        alt.Tooltip("interval:N", title=f"{LEVEL:.0%}, all pairs"),
    ]
    zero = _chart([{"zero": 0}]).mark_rule(color=_QUIET).encode(x="zero:Q")
    bars = base.transform_filter("isValid(datum.low)").mark_rule(
        strokeWidth=6, opacity=0.45, strokeCap="round"
    )  # fmt: skip
    dots = base.mark_point(filled=True, size=170, opacity=1)
    drawn = bars.encode(y=y, x="low:Q", x2="high:Q", color=_colour(looks, None), tooltip=tip)
    chart = alt.layer(
        zero,
        *([drawn] if any("low" in row for row in rows) else []),
        dots.encode(
            y=y, color=_colour(looks, None), shape=_shape(looks, None), tooltip=tip,
            x=alt.X("difference:Q", title=f"difference{unit}", axis=alt.Axis(tickCount=6)),
        ),
    )  # fmt: skip
    return finished(_stepped(chart, len(rows)), "Difference to the leader", "; ".join(words))


def too_near(ranking: Ranking) -> tuple[str, ...]:
    """The teachers that may be best, where `difference` does not show them apart; else none.

    So where their points and intervals cover less than `_NEAR` of the axis.
    """
    near = [line for line in ranking.teachers if line.may_be_best]
    if not 1 < len(near) < len(ranking.teachers):
        return ()
    if _reach(near) >= _NEAR * _reach(ranking.teachers):
        return ()
    return tuple(line.teacher for line in near)


def _reach(lines: Iterable[TeacherRank]) -> float:
    """The length of the axis that holds their differences and intervals."""
    ends = [0.0]
    for line in lines:
        ends += [line.difference, *((line.difference_low, line.difference_high) if line.rank > 1
                                    else ())]  # fmt: skip
    return max(ends) - min(ends)


def means(ranking: Ranking, looks: Looks, title: str) -> dict[str, Any]:
    """Each teacher's mean with its own interval."""
    known = {line.teacher: line for line in ranking.teachers}
    rows: Rows = []
    for teacher in looks.teachers:
        if teacher in known:
            line = known[teacher]
            row = {"teacher": teacher, "mean": line.mean, "low": line.low, "high": line.high}
            rows.append(_rounded(row))
    base, y = _chart(rows), _teacher_axis(looks)
    tip = [alt.Tooltip("teacher:N"), alt.Tooltip("mean:Q")]
    unit = ranking.metric if ranking.unit == "none" else ranking.unit
    chart = alt.layer(
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=6, opacity=0.45, strokeCap="round")
        .encode(y=y, x="low:Q", x2="high:Q", color=_colour(looks, None), tooltip=tip),
        base.mark_point(filled=True, size=150, opacity=1).encode(
            y=y, color=_colour(looks, None), shape=_shape(looks, None), tooltip=tip,
            x=alt.X("mean:Q", title=f"mean, {unit}", scale=alt.Scale(zero=False),
                    axis=alt.Axis(tickCount=4)),
        ),
    )  # fmt: skip
    words = "; ".join(f"{row['teacher']} {row['mean']}" for row in rows)
    return finished(_stepped(chart, len(rows)), title, words)


def scatter(
    x: tuple[str, str], y: tuple[str, str], centres: Rows, looks: Looks, title: str,
    *, log_x: bool = False, points: Rows | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Responses as faint points, teachers' means as full ones with an interval each way.

    Args:
        x, y: the field of the points, and the title of the axis.
        centres: {teacher, x, y, x_low, x_high, y_low, y_high}; an end may be missing.
        points: the rows of `POINTS`; by default they come by that name.
        log_x: x by its logarithm.
    """
    scale_x = alt.Scale(type="log", nice=False) if log_x else alt.Scale(zero=False)
    axis_x = alt.Axis(title=x[1], tickCount=5, format="~s" if log_x else alt.Undefined)
    up = alt.Y(f"{y[0]}:Q", title=y[1], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    responses = alt.Chart(alt.NamedData(name=POINTS)) if points is None else _chart(points)
    tip = [
        alt.Tooltip("teacher:N"), alt.Tooltip("prompt:N"), alt.Tooltip(f"{x[0]}:Q"),
        alt.Tooltip(f"{y[0]}:Q"),
    ]  # fmt: skip
    faint = responses.mark_point(filled=True, size=26, opacity=0.35)
    middle = _chart([_rounded(row) for row in centres])
    ends = {
        "x_low": {"x": "x_low:Q", "x2": "x_high:Q", "y": "y:Q"},
        "y_low": {"x": "x:Q", "y": "y_low:Q", "y2": "y_high:Q"},
    }
    rules = [
        middle.transform_filter(f"isValid(datum.{name})")
        .mark_rule(strokeWidth=2)
        .encode(**fields, color=_colour(looks))
        for name, fields in ends.items()
        if any(not math.isnan(row.get(name, math.nan)) for row in centres)
    ]
    tips = [alt.Tooltip("teacher:N"), alt.Tooltip("x:Q", title=f"mean {x[0]}"),
            alt.Tooltip("y:Q", title=f"mean {y[0]}")]  # fmt: skip
    chart = alt.layer(
        faint.encode(
            x=alt.X(f"{x[0]}:Q", scale=scale_x, axis=axis_x), y=up, color=_colour(looks),
            shape=_shape(looks), tooltip=tip,
        ),
        *rules,
        middle.mark_point(filled=True, size=190, opacity=1, stroke=_PAPER, strokeWidth=1.5).encode(
            x=alt.X("x:Q"), y="y:Q", color=_colour(looks), shape=_shape(looks), tooltip=tips
        ),
    ).properties(height=250)  # fmt: skip
    words = "; ".join(f"{r['teacher']} at {number(r['x'])}, {number(r['y'])}" for r in centres)
    return finished(chart, title, f"Teachers' means: {words}")


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], axes: tuple[str, str], title: str,
    *, looks: Looks | None = None, log_x: bool = False, level: float | None = None,
    y_range: tuple[float, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A line a series, with a point at every value; an undefined one breaks the line.

    Args:
        series: name -> points in order; NaN = undefined.
        looks: where the series are teachers; else strokes and shapes differ, and ink is the colour.
        level: a height to mark across the plot.
    """
    names = list(series)
    rows: Rows = [
        {"teacher": name, "x": _short(x), "y": None if math.isnan(y) else _short(y)}
        for name, of in series.items()
        for x, y in of
    ]
    base = _chart(rows)
    scale_x = alt.Scale(type="log", nice=False) if log_x else alt.Scale()
    scale_y = alt.Scale(domain=list(y_range)) if y_range else alt.Scale(zero=False)
    axis = alt.Axis(title=axes[0], tickCount=6, format="~s" if log_x else alt.Undefined)
    x = alt.X("x:Q", scale=scale_x, axis=axis)
    y = alt.Y("y:Q", scale=scale_y, axis=alt.Axis(title=axes[1], tickCount=5))
    tip = [alt.Tooltip("teacher:N", title=" "), alt.Tooltip("x:Q", title=axes[0]),
           alt.Tooltip("y:Q", title=axes[1])]  # fmt: skip
    own = looks or Looks(names)
    shape = _shape(own, names=names)
    if looks is None:
        inks = [_INK if i % 2 == 0 else _QUIET for i in range(len(names))]
        scale = alt.Scale(domain=names, range=inks)
        colour = alt.Color("teacher:N", scale=scale, legend=alt.Legend())
        strokes = [DASHES[i % len(DASHES)] for i in range(len(names))]
        dash = {"strokeDash": alt.StrokeDash(
            "teacher:N", scale=alt.Scale(domain=names, range=strokes), legend=alt.Legend()
        )}  # fmt: skip
    else:
        colour, dash = _colour(own, names=names), {}
    layers = [
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, **dash),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=tip
        ),
    ]
    if level is not None:
        mark = _chart([{"level": level}])
        layers.insert(0, mark.mark_rule(color=_QUIET, strokeDash=[5, 4]).encode(y="level:Q"))
    words = "; ".join(
        f"{name}: {', '.join(number(value) for _, value in of)}" for name, of in series.items()
    )
    return finished(alt.layer(*layers).properties(height=250), title, words)


def stability(found: Stability, leader: str) -> dict[str, Any]:
    """In which share of the resamples the leader is first, and tau-b, by number of prompts."""
    series = {
        f"{leader} first": list(zip(found.sizes, found.first, strict=True)),
        "Kendall's tau-b": list(zip(found.sizes, found.tau, strict=True)),
    }
    known = [y for y in (*found.first, *found.tau) if not math.isnan(y)]
    return lines(
        series, ("prompts, by their logarithm", "share, or tau-b"), "How the order settles",
        log_x=True, y_range=(min(0.0, *known), 1.0),
    )  # fmt: skip


def winners(shares: Mapping[str, Mapping[str, float]], looks: Looks) -> dict[str, Any]:
    """One full-length bar a metric, cut into the shares of the prompts that teachers win."""
    rows: Rows = []
    for metric, of in shares.items():
        start = 0.0
        for teacher, share in of.items():
            if share:
                rows.append({
                    "metric": metric, "teacher": teacher, "share": _short(share),
                    "start": _short(start), "end": _short(start + share),
                    "middle": _short(start + share / 2),
                    "label": looks.glyph(teacher) if share >= _WIDE_ENOUGH else "",
                })  # fmt: skip
            start += share
    # A bar shows no shape: the legend names it.
    named = {teacher: f"{looks.glyph(teacher)} {teacher}" for teacher in looks.teachers}
    base = _chart(rows)
    y = alt.Y("metric:N", sort=None, title=None, axis=alt.Axis(labelColor=_INK, grid=False))
    axis = alt.Axis(title="share of prompts", format="%", tickCount=5)
    tip = [alt.Tooltip("metric:N"), alt.Tooltip("teacher:N"),
           alt.Tooltip("share:Q", format=".0%")]  # fmt: skip
    chart = alt.layer(
        base.mark_bar(opacity=0.45, stroke=_PAPER).encode(
            y=y, x=alt.X("start:Q", axis=axis, scale=alt.Scale(domain=[0, 1])), x2="end:Q",
            color=_colour(looks, alt.Legend(labelExpr=f"{json.dumps(named)}[datum.label]")),
            tooltip=tip,
        ),
        base.mark_text(fontSize=12, fill=_INK).encode(y=y, x="middle:Q", text="label:N"),
    ).properties(height=28 * len(shares))  # fmt: skip
    words = "; ".join(
        f"{metric}: " + ", ".join(f"{who} {share:.0%}" for who, share in of.items())
        for metric, of in shares.items()
    )
    return finished(chart, "Best response per prompt", words)


def trained(
    scores: Mapping[str, float], accuracy: Mapping[str, tuple[float, float, float]],
    metric: str, looks: Looks,
) -> dict[str, Any]:  # fmt: skip
    """A metric's scores of the teachers against the accuracy after training on each.

    Args:
        scores: teacher -> its score, higher = better.
        accuracy: teacher -> mean and the two ends of its interval.
    """
    rows: Rows = []
    for teacher in looks.teachers:
        if teacher in accuracy and not math.isnan(scores.get(teacher, math.nan)):
            mean, low, high = accuracy[teacher]
            row = {"teacher": teacher, "score": scores[teacher], "accuracy": mean}
            rows.append(_rounded({**row, "low": low, "high": high}))
    base = _chart(rows)
    scale = alt.Scale(zero=False, padding=14)
    x = alt.X("score:Q", title="score", scale=scale, axis=alt.Axis(tickCount=4))
    tip = [alt.Tooltip("teacher:N"), alt.Tooltip("score:Q"), alt.Tooltip("accuracy:Q")]
    chart = alt.layer(
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, opacity=0.6)
        .encode(x=x, y="low:Q", y2="high:Q", color=_colour(looks, None)),
        base.mark_point(filled=True, size=120, opacity=1).encode(
            x=x, y=alt.Y("accuracy:Q", title="accuracy after training",
                         scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)),
            color=_colour(looks, None), shape=_shape(looks, None), tooltip=tip,
        ),
    ).properties(height=170)  # fmt: skip
    words = "; ".join(f"{r['teacher']} {r['score']}, {r['accuracy']}" for r in rows)
    return finished(chart, f"{metric} against accuracy", words)


def window_name(window: str) -> str:
    """ "window 4", or "global"."""
    return "global" if window == GLOBAL else f"window {window}"


def _chart(rows: Rows) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows))


def _stepped(chart: Any, rows: int) -> Any:
    return chart.properties(height=rows * (38 if rows <= _FEW_TEACHERS else 27))


def _teacher_axis(looks: Looks) -> alt.Y:
    axis = alt.Axis(labelColor=_INK, labelFontWeight="bold", grid=False)
    return alt.Y("teacher:N", sort=list(looks.teachers), title=None, axis=axis)


def _colour(
    looks: Looks, legend: alt.Legend | None = _LEGEND, names: Iterable[str] | None = None
) -> alt.Color:
    scale = _scale(names or looks.teachers, looks.variable)
    return alt.Color("teacher:N", scale=scale, legend=legend)


def _shape(
    looks: Looks, legend: alt.Legend | None = _LEGEND, names: Iterable[str] | None = None
) -> alt.Shape:
    scale = _scale(names or looks.teachers, looks.shape)
    return alt.Shape("teacher:N", scale=scale, legend=legend)


def _scale(names: Iterable[str], look: Callable[[str], str]) -> alt.Scale:
    domain = list(names)
    return alt.Scale(domain=domain, range=[look(name) for name in domain])


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with five digits; those that are NaN left out."""
    return {
        name: _short(value) if isinstance(value, float) else value
        for name, value in row.items()
        if not (isinstance(value, float) and math.isnan(value))
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")
