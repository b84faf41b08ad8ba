"""Which plots there are, what they show of the figures, and one of them as a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import altair as alt
import vl_convert

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.metrics import GLOBAL
from lnat_plugins.ranking import Ranking
from lnat_plugins.ranking.bootstrap import INTERVAL, LEVEL
from lnat_plugins.report import charts
from lnat_plugins.report.cells import counted, last_part
from lnat_plugins.report.data import BINS, Figures, ReportOptions, gather, ranking_of
from lnat_plugins.report.looks import Looks, drawable, in_light
from lnat_plugins.report.prompts import prompts_of
from lnat_plugins.report.tables import no_interval, unit_of
from lnat_plugins.report.traces import points
from lnat_plugins.scoring.samples import ScoredSet

KINDS: Final = (
    "difference", "length", "position", "stability", "local_global", "windows", "gain", "winners",
)  # fmt: skip
"""The plots of one student's ranking, in the order of the page."""

_WIDTH: Final = 720
_ROOM: Final = 24
"""At the sides, for names: where a picture is shown its font may be wider than the one measured."""

_LABELS: Final = 110
"""Of the width, what two plots one above the other leave to the names of teachers."""
_SCALE: Final = 2.0


class Plot(NamedTuple):
    """One plot.

    Attributes:
        title: the heading.
        chart: as Vega-Lite; None where it cannot be given.
        caption: what is shown; the reason where there is no chart.
    """

    title: str
    chart: Mapping[str, Any] | None
    caption: str


def plots_of(figures: Figures, looks: Looks, every: int = 1) -> dict[str, Plot]:
    """All of `KINDS`, by name.

    Args:
        every: one in so many responses is drawn.
    """
    ranking, found = figures.ranking, figures.positions
    tenths = "position in the trace, % of its steps"
    dropped = f"; {found.dropped} dropped, which lack one of the windows" if found.dropped else ""
    behind = (
        f"Mean over {counted(found.responses, 'response')}{dropped}: of each, the mean score of "
        "its steps in the tenth."
    )
    made: dict[str, Plot] = {"difference": difference(ranking, looks)}

    def add(name: str, title: str, chart: Mapping[str, Any] | None, caption: str) -> None:
        made[name] = Plot(title, chart, caption)

    drawn = f"One in {every} responses is drawn." if every > 1 else "Every response is drawn."
    full = f"{drawn} Full points: teachers' means, with {INTERVAL}s where these are defined."
    title = "Score against length"
    means = {line.teacher: line.controls["n_tokens"] for line in ranking.teachers}
    centres = [
        {"teacher": line.teacher, "x": means[line.teacher], **_up(line.mean, line.low, line.high)}
        for line in ranking.teachers
        if means[line.teacher] > 0
    ]
    if centres:
        x, y = ("tokens", "tokens of the response, by their logarithm"), ("score", _axis(ranking))
        add("length", title, charts.scatter(x, y, centres, looks, title, log_x=True), full)
    else:
        add("length", title, None, "no response holds a token")

    title = "Score along the trace"
    no_steps = "no response has a score for each of its steps under every window"
    if found.by_teacher:
        series = {who: _tenths(found.by_teacher[who]) for who in looks.teachers
                  if who in found.by_teacher}  # fmt: skip
        axes = (tenths, "mean step score, nats per token")
        caption = f"{charts.window_name(figures.local_window).capitalize()}. {behind}"
        add("position", title, charts.lines(series, axes, title, looks=looks), caption)
    else:
        add("position", title, None, no_steps)

    title, stability = "How the order settles", ranking.stability
    if stability.sizes:
        caption = (
            f"Share of resamples with {looks.teachers[0]} first, and tau-b with the order of all "
            f"prompts; resamples of fewer and of more prompts than the {ranking.prompts_used} "
            "used. Beyond that number, further prompts are taken to be like these."
        )
        add("stability", title, charts.stability(stability, looks.teachers[0]), caption)
    else:
        alone = len(ranking.teachers) < 2
        add("stability", title, None, "one teacher only" if alone else no_interval(ranking))

    title = "Local against global"
    one, other = figures.local_means, figures.global_means
    if isinstance(one, str) or isinstance(other, str):
        add("local_global", title, None, one if isinstance(one, str) else str(other))
    else:
        whole = {line.teacher: line for line in other}
        centres = [
            {"teacher": line.teacher, **_across(line.mean, line.low, line.high),
             **_up(*(getattr(whole[line.teacher], end) for end in ("mean", "low", "high")))}
            for line in one if line.teacher in whole
        ]  # fmt: skip
        across = ("local", f"local, window {figures.local_window}")
        chart = charts.scatter(across, ("global", "global"), centres, looks, title)
        add("local_global", title, chart, f"Local and global naturalness, nats per token. {full}")

    title = "Windows along the trace"
    if found.means:
        named = {charts.window_name(w): _tenths(means) for w, means in found.means.items()}
        axes = (tenths, "mean step score, nats per token")
        add("windows", title, charts.lines(named, axes, title), f"All teachers. {behind}")
    else:
        add("windows", title, None, no_steps)

    title = "Global minus local along the trace"
    gains = {who: _tenths(found.gains[who]) for who in looks.teachers if who in found.gains}
    if gains:
        caption = "What a step gains from seeing the whole trace before it, by its position."
        axes = (tenths, f"global minus window {figures.local_window}")
        add("gain", title, charts.lines(gains, axes, title, looks=looks, level=0.0), caption)
    else:
        add("gain", title, None, "global minus local needs both windows, and they are not one")

    title = "Winners by teacher"
    if isinstance(figures.comparison, str):
        add("winners", title, None, figures.comparison)
    else:
        shares = {name: {who: of[who] for who in looks.teachers}
                  for name, of in figures.composition.items()}  # fmt: skip
        caption = (
            "Share of prompts on which a teacher's response is the best (of t equal ones each "
            "counts 1/t), by each metric's own direction: what choosing one response a prompt "
            "would train on."
        )
        add("winners", title, charts.winners(shares, looks), caption)
    return made


def difference(ranking: Ranking, looks: Looks) -> Plot:
    """The first plot."""
    caption = (
        f"{unit_of(ranking)}. Mean minus the leader's, over the same prompts; the bar is the "
        f"{LEVEL:.0%} interval, simultaneous over all pairs of teachers."
    )
    if len(ranking.teachers) > 1 and math.isnan(ranking.teachers[1].difference_low):
        why = no_interval(ranking) if math.isnan(ranking.teachers[0].low) else "there is no verdict"
        caption = f"{unit_of(ranking)}. Mean minus the leader's. Intervals undefined: {why}."
    return Plot("Difference to the leader", charts.difference(ranking, looks), caption)


def enlarged(ranking: Ranking, looks: Looks) -> Plot | None:
    """The first plot of the teachers that may be best alone, where the others hide how they stand.

    None where the first plot shows it.
    """
    near = charts.too_near(ranking)
    if not near:
        return None
    return Plot(
        "Enlarged: the teachers that may be best",
        charts.difference(ranking, looks, near),
        "The same differences and intervals, on a scale of their own.",
    )


def plot(scored: ScoredSet, options: ReportOptions, kind: str = "difference") -> Any:
    """One plot as an Altair chart, in light colours and with its data in it.

    Raises:
        ConfigError: no such kind, or one that cannot be given for these scores.
    """
    if kind not in KINDS:
        raise ConfigError(
            "no such plot", where="plot: kind", found=kind, remedy=did_you_mean(kind, KINDS)
        )
    if kind == "difference":
        ranking = ranking_of(scored, options)
        looks = Looks(line.teacher for line in ranking.teachers)
        made = difference(ranking, looks)
        near = enlarged(ranking, looks)
    else:
        near = None
        figures = gather(scored, options)
        looks = Looks(figures.teachers)
        prompts = prompts_of(scored, figures.teachers, options, figures.local_window)
        columns, every = points(
            scored, prompts, figures.teachers, scores=figures.scores, local=figures.local_scores,
            whole=figures.global_scores,
        )  # fmt: skip
        made = plots_of(figures, looks, every)[kind]
        if made.chart is not None:
            datasets = {**made.chart.get("datasets", {})}
            if kind in ("length", "local_global"):
                datasets[charts.POINTS] = _rows(columns, figures.teachers, prompts.ids)
            made = made._replace(chart={**made.chart, "datasets": datasets})
    if made.chart is None:
        raise ConfigError(
            f"this plot cannot be given: {made.caption}", where=f"plot: {kind}",
            remedy="score with the windows and teachers that it needs",
        )  # fmt: skip
    title = {
        "text": made.title, "anchor": "start", "fontSize": 15, "offset": 12,
        "subtitle": textwrap.wrap(f"{scored.task}, student “{last_part(scored.student)}”, "
                                  f"{counted(len(scored.prompts), 'prompt')}. {made.caption}", 105),
    }  # fmt: skip
    chart = {
        **in_light(drawable(made.chart)),
        "title": title,
        "width": _WIDTH,
        "background": "white",
        "padding": {"left": _ROOM, "right": _ROOM, "top": 5, "bottom": 5},
    }
    if near is not None and near.chart is not None:
        return alt.Chart.from_dict(_above(chart, in_light(drawable(near.chart)), near.title))
    return alt.Chart.from_dict(chart)


def _above(chart: dict[str, Any], other: dict[str, Any], title: str) -> dict[str, Any]:
    """Two plots of one style as one, the other below with a title of its own."""
    shared = ("$schema", "config", "background", "title", "description", "datasets", "padding")
    head = {"text": title, "anchor": "start", "fontSize": 13, "offset": 8}
    panels = [
        {name: value for name, value in one.items() if name not in (*shared, "autosize")}
        | {"width": _WIDTH - _LABELS}
        for one in (chart, other)
    ]
    panels[1]["title"] = head
    return {
        **{name: chart[name] for name in shared if name in chart},
        "datasets": {**chart.get("datasets", {}), **other.get("datasets", {})},
        "vconcat": panels, "bounds": "flush", "spacing": 80,
    }  # fmt: skip


def picture(scored: ScoredSet, options: ReportOptions, format: Literal["png", "svg"]) -> bytes:
    """The first plot as a picture, drawn without a browser."""
    chart = plot(scored, options).to_dict()
    if format == "svg":
        return vl_convert.vegalite_to_svg(chart).encode("utf-8")
    drawn: bytes = vl_convert.vegalite_to_png(chart, scale=_SCALE)
    return drawn


def _rows(
    columns: Mapping[str, Any], teachers: Sequence[str], ids: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {"teacher": teachers[teacher], "prompt": ids[p], **dict(zip(_FIELDS, values, strict=True))}
        for p, teacher, *values in zip(
            columns["p"], columns["teacher"], *(columns[name] for name in _FIELDS), strict=True
        )
    ]


_FIELDS: Final = ("tokens", "score", "local", "global")


def _tenths(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(100 * (i + 0.5) / BINS, value) for i, value in enumerate(values)]


def _axis(ranking: Ranking) -> str:
    window = f"[{ranking.window}]" if ranking.window not in (None, GLOBAL) else ""
    return f"{ranking.metric}{window}"


def _across(mean: float, low: float, high: float) -> dict[str, float]:
    return {"x": mean, "x_low": low, "x_high": high}


def _up(mean: float, low: float, high: float) -> dict[str, float]:
    return {"y": mean, "y_low": low, "y_high": high}
